"""Stands in for QEMU: an agent on the other end of the port, without a machine around it.

What it is to do stands in the environment, XENTOOL_FAKE_QEMU: `serve`, `hang`, `crash` or `complain`.
"""

from __future__ import annotations

import os
import sys
import time

LAUNCHER = """\
#!/bin/sh
cd {checkout}
exec {python} -c 'from tests.lab import fakeqemu; fakeqemu.main()' "$@"
"""


def descriptor(name: str) -> int:
    """The descriptor of the chardev of that name, from the command line."""
    prefix = f"socket,id={name},fd="
    (argument,) = [word for word in sys.argv if word.startswith(prefix)]
    return int(argument.removeprefix(prefix))


def main() -> None:
    console, port = descriptor("console"), descriptor("agent")
    what = os.environ["XENTOOL_FAKE_QEMU"]
    os.write(console, b"(XEN) a fake Xen\r\n")
    if what == "crash":
        os.write(console, b"(XEN) Panic on CPU 0\r\n")
        sys.exit("fake: out of luck")
    if what == "complain":
        os.write(console, b"[  9.9] x\r\nLAB-FAILED: no module\r\n")
    if what != "serve":
        time.sleep(60)
    from xentool.lab import agent

    agent.open_port = lambda: port
    agent.facts = lambda: {"xen": "4.17.0", "kernel": "fake"}
    agent.main()
