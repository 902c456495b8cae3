"""``./dev bench``: xentool against xl on real Xen, in one run of the lab; prints a table of ratios.

The exit code says whether the bars hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Row -> the ratio to xl that must not be passed.
BARS = {
    "create bzImage, 128 MiB, warm": 0.3,
    "create tiny ELF, 16 MiB": 3.0,
    "create tiny ELF beside 200 others": 1.0,
    "list, 1 domain": 4.0,
    "list, 201 domains": 1.5,
}


CHECKOUT = str(Path(__file__).parents[2])


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)


def _to_stderr(data: bytes) -> None:
    os.write(2, data)


def table(rows: dict[str, dict[str, dict[str, float]]]) -> tuple[str, list[str]]:
    """The table's text, and the rows whose bar is passed."""
    width = max(map(len, rows))
    lines = [
        f"{'':{width}}  {'xl':>8}  {'xentool':>8}  {'ratio':>6}  {'bar':>5}  {'MiB: xl':>8}  {'xentool':>8}"
    ]
    missed = []
    for name, tools in rows.items():
        ours, theirs = tools["xentool"], tools.get("xl")
        bar = BARS.get(name)
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


def main() -> int:
    from tests.support.tinyguest import build
    from xentool.lab.run import run

    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--xen", default="4.17")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command")
    parser.add_argument("--crowd", type=int, default=200, help="tiny guests to run beside (0: none)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        shutil.copy(build(), f"{out}/tiny.elf")
        command = ["python3", "-m", "tests.bench.measure", "--tiny", "/lab/out/tiny.elf"]
        command += ["--out", "/lab/out/rows.json", "--runs", str(options.runs), "--crowd", str(options.crowd)]
        result = run(
            command,
            xen=options.xen,
            checkout=CHECKOUT,
            out=out,
            timeout_seconds=3000,
            stderr=_to_stderr,
            progress=_say,
        )
        if result.exit_code:
            return result.exit_code
        rows = json.loads((Path(out) / "rows.json").read_text())
    if options.json:
        print(json.dumps(rows))
        return 0
    text, missed = table(rows)
    print(f"Xen {options.xen}, seconds, medians of {options.runs}, interleaved\n{text}")
    for name in missed:
        print(f"over its bar: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
