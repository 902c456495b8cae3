"""``python -m xentool.mockhost DIRECTORY``: the mock host's process.

It goes into the background, unless ``--foreground``; through ``--ready-fd`` it says
``ready``, or why it cannot be. The machine it plays is set by the environment:
XENTOOL_MOCK_XEN (a release, 4.17), XENTOOL_MOCK_MEMORY (MiB, 16384), XENTOOL_MOCK_CPUS (8),
XENTOOL_MOCK_IDLE (seconds without domains or clients until it ends by itself, 60; 0: never),
XENTOOL_MOCK_OWNER (the id of a process to end with, domains or not).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.mockhost.host import MockHost


def main() -> int:
    from argparse import ArgumentParser

    parser = ArgumentParser(prog="python -m xentool.mockhost", description="Play a host with Xen on it.")
    parser.add_argument("directory", help="where its sockets and logs are")
    parser.add_argument("--ready-fd", type=int, default=-1, help="a descriptor to say `ready` to")
    parser.add_argument("--idle", type=float, help="end after so many idle seconds; 0 is never")
    parser.add_argument("--foreground", action="store_true", help="do not go into the background")
    options = parser.parse_args()
    if not options.foreground and os.fork():
        return 0
    return _serve(os.path.abspath(options.directory), options.idle, options.ready_fd)


def _serve(directory: str, idle: float | None, ready_fd: int) -> int:
    from xentool.errors import XentoolError

    said = "ready"
    try:
        host = _make(directory, idle)
    except (XentoolError, OSError, ValueError) as error:
        said = error.reason if isinstance(error, XentoolError) else str(error)
    if ready_fd >= 0:
        os.write(ready_fd, said.encode())
        os.close(ready_fd)
    if said != "ready":
        sys.stderr.write(f"the mock host cannot start: {said}\n")
        return 3
    host.run()
    return 0


def _make(directory: str, idle: float | None) -> MockHost:
    from xentool.hypervisor.mock.xen import MockXen
    from xentool.mockhost.host import MockHost
    from xentool.units import GIB, MIB

    def setting(name: str, default: int) -> int:
        text = os.environ.get(f"XENTOOL_MOCK_{name}", "")
        if text and not text.isdigit():
            raise ValueError(f"XENTOOL_MOCK_{name} is {text!r}, not a number")
        return int(text) if text else default

    memory = setting("MEMORY", 16384) * MIB
    xen = MockXen(
        os.environ.get("XENTOOL_MOCK_XEN") or "4.17",
        memory_bytes=memory,
        domain_0_bytes=min(GIB, memory // 4 & -(2 * MIB)),
        cpus=setting("CPUS", 8),
    )
    idle_seconds = setting("IDLE", 60) if idle is None else idle
    return MockHost(directory, xen, idle_seconds=idle_seconds, owner=setting("OWNER", 0))


if __name__ == "__main__":
    sys.exit(main())
