"""Measures the libxl toolstack against xl, which drives the same library, inside the lab's dom0.

Runs on real Xen only. As in `tests.bench.measure` the tools take turns. What is the library's own is the same
for both; the rest of a command is the interpreter's start, which is measured too, and what is ours beyond it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from tests.bench.devices import await_up
from tests.bench.measure import Bench, Result, peak_kib, run

NO_SYNC = "--no-sync"
START = "python3 -c pass"
"""The row of the interpreter's start."""


class LibxlBench(Bench):
    """Create, list, save and restore. `images`: where guests are saved to."""

    def __init__(self, tiny: str, runs: int, images: str = "/var/tmp") -> None:
        super().__init__(tiny, runs, 0)
        self.saved = f"{images}/xentool-bench.saved"
        self.start = Result()
        self.hvm = self.config("hvm", type="hvm", memory=64, vga="none")

    def everything(self) -> None:
        os.environ["XENTOOL_TOOLSTACK"] = "libxl"
        run(["xentool", "list"])
        self.list_and_start()
        self.create_and_destroy("tiny PV ELF, 16 MiB", self.tiny, "tiny")
        self.starts()
        self.create_and_destroy("HVM, 64 MiB", self.hvm, "hvm")
        self.starts()
        self.save_and_restore()
        self.starts()
        self.row(START, "xentool", self.start)

    def starts(self) -> None:
        """The interpreter's start, again and again meanwhile: a machine is not as quick all the time."""
        for _ in range(self.runs):
            run(["python3", "-c", "pass"], self.start)

    def list_and_start(self) -> None:
        """The interpreter's start takes turns with what is hardly longer."""
        listed = {tool: Result() for tool in ("xl", "xentool")}
        for tool, result in listed.items():
            result.peak_kib = peak_kib([tool, "list"])
        for _ in range(3 * self.runs):
            for tool, result in listed.items():
                run([tool, "list"], result)
            run(["python3", "-c", "pass"], self.start)
        for tool, result in listed.items():
            self.row("list, 1 domain", tool, result)

    def save_and_restore(self) -> None:
        """A Linux guest of 128 MiB goes into a file and out of it again, by both tools in turn.

        We say that it is saved once the disk has it, xl when the kernel has, as we do with --no-sync. So one
        row is of what it takes until the kernel has it, with both, and one until the disk does; the third, of
        what is typed, compares the one with the other, and has no bar.
        """
        run(["xl", "create", self.linux])
        await_up("linux")
        ways = {"xl": ["xl", "save"], "xentool": ["xentool", "save"], NO_SYNC: ["xentool", "save", NO_SYNC]}
        saved = {way: Result() for way in ways}
        settled = {way: Result() for way in ways}
        restored = {tool: Result() for tool in ("xl", "xentool")}
        for turn in range(self.runs + 1):  # the first turn warms caches, and is for the memory
            for way, words in ways.items():
                save, restore = [*words, "linux", self.saved], [words[0], "restore", self.saved]
                if turn:
                    run(save, saved[way])
                    settled[way].seconds.append(saved[way].seconds[-1] + settle(self.saved))
                    run(restore, restored[words[0]])
                else:
                    saved[way].peak_kib = settled[way].peak_kib = peak_kib(save)
                    restored[words[0]].peak_kib = peak_kib(restore)
                os.unlink(self.saved)
        for tool in restored:
            self.row(f"save {NO_SYNC}, PV, 128 MiB", tool, saved[NO_SYNC if tool == "xentool" else tool])
            self.row("save to the disk, PV, 128 MiB", tool, settled[tool])
            self.row("save, PV, 128 MiB", tool, saved[tool])
            self.row("restore, PV, 128 MiB", tool, restored[tool])
        run(["xl", "destroy", "linux"])


def settle(path: str) -> float:
    """Wait until the disk has a file; the seconds that this took."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", required=True, help="the tiny guest's kernel")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    bench = LibxlBench(options.tiny, options.runs)
    bench.everything()
    Path(options.out).write_text(json.dumps(bench.rows))


if __name__ == "__main__":
    main()
