"""The lab from a checkout, until the command line has it: python -m xentool.lab build | run | shell."""

from __future__ import annotations

import argparse
import sys

from xentool.errors import XentoolError
from xentool.lab.build import build
from xentool.lab.qemu import Machine
from xentool.lab.recipe import DEFAULT_XEN
from xentool.lab.run import run, shell


def _say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def _write(stream: int) -> object:
    import os

    return lambda data: os.write(stream, data)


def main() -> int:
    """Parse, do, and translate errors."""
    parser = argparse.ArgumentParser(prog="python -m xentool.lab")
    parser.add_argument("what", choices=["build", "run", "shell"])
    parser.add_argument("--xen", default=DEFAULT_XEN)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--memory", type=int, default=4096)
    parser.add_argument("--dom0-memory", type=int, default=1536)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--out", default="")
    parser.add_argument("--checkout", default="")
    parser.add_argument("--keep-log", default="")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    machine = Machine(options.memory, options.dom0_memory, options.cpus)
    try:
        if options.what == "build":
            print(build(options.xen, refresh=options.refresh, progress=_say).folder)
            return 0
        if options.what == "shell":
            return shell(options.xen, out=options.out, machine=machine, log=options.keep_log, progress=_say)
        result = run(
            options.command[1:] if options.command[:1] == ["--"] else options.command,
            xen=options.xen,
            timeout_seconds=options.timeout,
            checkout=options.checkout,
            out=options.out,
            machine=machine,
            log=options.keep_log,
            progress=_say,
            stdout=_write(1),  # type: ignore[arg-type]
            stderr=_write(2),  # type: ignore[arg-type]
        )
    except XentoolError as error:
        if error.detail:
            print(error.detail, file=sys.stderr)
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    _say(f"exit code {result.exit_code} after {result.seconds:.2f} s")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
