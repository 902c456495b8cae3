"""``./dev bench``: xentool against Xen's own tools, on real Xen in the lab; prints tables of ratios.

Its sections, each in a lab of its own: ``commands``, against xl, in seconds and
MiB; ``devices``, the same of plugging; ``libxl``, the same of our commands
through libxl, less the interpreter's start; ``store``, our XenStore server
against the C xenstored, in requests a second. The exit code says whether the
bars hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xentool.errors import XentoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    Rows = dict[str, dict[str, dict[str, float]]]

COMMAND_BARS: Final = {
    "create bzImage, 128 MiB, warm": 0.3,
    "create tiny ELF, 16 MiB": 3.0,
    "create tiny ELF beside 200 others": 1.0,
    "list, 1 domain": 4.0,
    "list, 201 domains": 1.5,
    "attach a vif": 0.25,
    "attach a raw-file disk": 0.25,
    "detach a vif": 1.0,
    "detach a raw-file disk": 1.0,
    "create the usual guest, warm": 0.25,
    "destroy the usual guest, warm": 1.0,
}
"""Row -> the ratio to xl's time that must not be passed."""

LIBXL_BARS: Final = {
    "create tiny PV ELF, 16 MiB": 1.1,
    "create HVM, 64 MiB": 1.1,
    "list, 1 domain": 1.1,
    "save --no-sync, PV, 128 MiB": 1.1,
    "save to the disk, PV, 128 MiB": 1.1,
    "restore, PV, 128 MiB": 1.1,
}
"""Row -> the ratio to xl's time that must not be passed beyond the interpreter's start."""

STORE_BARS: Final = {
    "read": 0.5,
    "write": 0.5,
    "directory": 0.5,
    "mkdir, rm": 0.5,
    "16 reads in one go": 1.0,
    "transaction of 40 writes in one go": 1.0,
}
"""Row, whatever is around -> the ratio to the C daemon's rate that must be reached."""

CHECKOUT = str(Path(__file__).parents[2])


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)


def _to_stderr(data: bytes) -> None:
    os.write(2, data)


def command_table(rows: Rows) -> tuple[str, list[str]]:
    """The table's text, and the rows whose bar is passed."""
    width = max(map(len, rows))
    lines = [
        f"{'':{width}}  {'xl':>8}  {'xentool':>8}  {'ratio':>6}  {'bar':>5}  {'MiB: xl':>8}  {'xentool':>8}"
    ]
    missed = []
    for name, tools in rows.items():
        ours, theirs = tools["xentool"], tools.get("xl")
        bar = COMMAND_BARS.get(name)
        if theirs is None:
            lines.append(f"{name:{width}}  {'':>8}  {ours['median']:8.3f}")
            continue
        ratio = ours["median"] / theirs["median"]
        if bar is not None and ratio > bar:
            missed.append(name)
        peaks = [tool["peak_kib"] / 1024 for tool in (theirs, ours)]
        lines.append(
            f"{name:{width}}  {theirs['median']:8.3f}  {ours['median']:8.3f}  {ratio:6.2f}  "
            f"{'' if bar is None else bar:>5}  {peaks[0]:8.1f}  {peaks[1]:8.1f}"
        )
    return "\n".join(lines), missed


def libxl_table(rows: Rows) -> tuple[str, list[str]]:
    """The table's text, and the rows whose bar is passed."""
    from tests.bench.libxl import START

    width = max(map(len, rows))
    start = rows[START]["xentool"]["median"]
    head = f"{'':{width}}  {'xl':>8}  {'xentool':>8}  {'ratio':>6}  {'beyond':>8}  {'ratio':>6}  {'bar':>5}"
    lines = [f"{head}  {'MiB: xl':>8}  {'xentool':>8}"]
    missed = []
    for name, tools in rows.items():
        ours, theirs = tools["xentool"], tools.get("xl")
        if theirs is None:
            lines.append(f"{name:{width}}  {'':>8}  {ours['median']:8.3f}")
            continue
        bar = LIBXL_BARS.get(name)
        beyond = ours["median"] - start
        if bar is not None and beyond / theirs["median"] > bar:
            missed.append(name)
        peaks = [tool["peak_kib"] / 1024 for tool in (theirs, ours)]
        lines.append(
            f"{name:{width}}  {theirs['median']:8.3f}  {ours['median']:8.3f}  "
            f"{ours['median'] / theirs['median']:6.2f}  {beyond:8.3f}  {beyond / theirs['median']:6.2f}  "
            f"{'' if bar is None else bar:>5}  {peaks[0]:8.1f}  {peaks[1]:8.1f}"
        )
    return "\n".join(lines), missed


def store_table(rows: Rows) -> tuple[str, list[str]]:
    """The table's text, and the rows whose bar is not reached."""
    width = max(map(len, rows))
    lines = [
        f"{'':{width}}  {'C':>8}  {'xentool':>8}  {'ratio':>6}  {'bar':>5}  {'CPU us: C':>9}  {'xentool':>8}"
    ]
    missed = []
    for name, daemons in rows.items():
        ours, theirs = daemons["ours"], daemons["theirs"]
        bar = STORE_BARS.get(name.partition(";")[0])
        ratio = ours["median"] / theirs["median"]
        if bar is not None and ratio < bar:
            missed.append(name)
        lines.append(
            f"{name:{width}}  {theirs['median']:8.0f}  {ours['median']:8.0f}  {ratio:6.2f}  "
            f"{'' if bar is None else bar:>5}  {theirs['cpu_us']:9.0f}  {ours['cpu_us']:8.0f}"
        )
    return "\n".join(lines), missed


def _commands(options: argparse.Namespace, out: str) -> list[str]:
    from tests.support.tinyguest import build

    shutil.copy(build(), f"{out}/tiny.elf")
    return ["tests.bench.measure", "--tiny", "/lab/out/tiny.elf", "--crowd", str(options.crowd)]


def _libxl(options: argparse.Namespace, out: str) -> list[str]:
    return ["tests.bench.libxl", *_commands(options, out)[1:3]]


def _devices(_options: argparse.Namespace, _out: str) -> list[str]:
    return ["tests.bench.devices"]


def _store(options: argparse.Namespace, _out: str) -> list[str]:
    return ["tests.bench.store", *(["--apart"] if options.apart else [])]


Section = tuple[
    str, "Callable[[argparse.Namespace, str], list[str]]", "Callable[[Rows], tuple[str, list[str]]]"
]
SECTIONS: Final[dict[str, Section]] = {
    "commands": ("seconds", _commands, command_table),
    "devices": ("seconds", _devices, command_table),
    "libxl": ("seconds, and what is beyond the interpreter's start", _libxl, libxl_table),
    "store": ("requests or transactions a second", _store, store_table),
}
"""What is measured: its unit; the module and its arguments, given the options and the folder; its table."""


def measured(section: str, options: argparse.Namespace) -> Rows:
    """A section's rows, from a lab of its own."""
    from xentool.lab.qemu import DEFAULT_MACHINE
    from xentool.lab.run import run

    with tempfile.TemporaryDirectory() as out:
        _, command_of, _ = SECTIONS[section]
        command = ["python3", "-m", *command_of(options, out)]
        command += ["--out", "/lab/out/rows.json", "--runs", str(options.runs)]
        result = run(
            command,
            xen=options.xen,
            machine=DEFAULT_MACHINE._replace(random_addresses=True),
            checkout=CHECKOUT,
            out=out,
            timeout_seconds=3000,
            stderr=_to_stderr,
            progress=_say,
        )
        if result.exit_code:
            sys.exit(result.exit_code)
        rows: Rows = json.loads((Path(out) / "rows.json").read_text())
        return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help=f"of {', '.join(SECTIONS)} (by default, all); or hostile, which needs no lab",
    )
    parser.add_argument("--xen", default="4.17")
    parser.add_argument(
        "--runs", type=int, default=5, help="counted runs of each command, turns of each request"
    )
    parser.add_argument(
        "--crowd", type=int, default=200, help="commands: tiny guests to run beside (0: none)"
    )
    parser.add_argument("--apart", action="store_true", help="store: the client and the servers on two CPUs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.sections == ["hostile"]:
        from tests.bench import hostile

        return hostile.main()
    for section in options.sections:
        if section not in SECTIONS:
            parser.error(f"there is no section {section!r}: {', '.join(SECTIONS)}")
    missed: list[str] = []
    figures: dict[str, Rows] = {}
    for section in options.sections or SECTIONS:
        unit, _, table = SECTIONS[section]
        figures[section] = rows = measured(section, options)
        if options.json:
            continue
        text, beyond = table(rows)
        print(
            f"{section}: Xen {options.xen}, {unit}, medians of {options.runs}, interleaved\n{text}\n",
            flush=True,
        )
        missed += [f"{section}: {name}" for name in beyond]
    if options.json:
        print(json.dumps(figures))
        return 0
    for name in missed:
        print(f"misses its bar: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XentoolError as error:
        sys.exit(f"./dev bench: {error}")
