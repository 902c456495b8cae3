"""Measures commands against each other inside the lab's dom0; prints one JSON object.

Runs on real Xen only. Pairs are interleaved (A B A B …), so that a drift of the
machine's speed hits both; what is compared is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

OUTPUT = os.open(os.devnull, os.O_WRONLY)


class Result:
    """Wall seconds and peak resident KiB of the runs of one command."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.peak_kib = 0

    def as_dict(self) -> dict[str, float]:
        return {
            "median": statistics.median(self.seconds),
            "min": min(self.seconds),
            "max": max(self.seconds),
            "peak_kib": self.peak_kib,
            "runs": len(self.seconds),
        }


def peak_kib(command: list[str]) -> int:
    """Run a command for its memory alone.

    The kernel counts what a process was before its exec, and that is this interpreter if
    we start it ourselves; GNU time is smaller than anything that is measured here.
    """
    with tempfile.NamedTemporaryFile("r") as figure:
        run(["/usr/bin/time", "-f", "%M", "-o", figure.name, *command])
        return int(figure.read())


def run(command: list[str], result: Result | None = None) -> None:
    """Run a command as a whole process; a failure ends the benchmark with its words."""
    error = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, on the way that does not end here
    start = time.perf_counter()
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, OUTPUT, 1), (os.POSIX_SPAWN_DUP2, error.fileno(), 2)],
    )
    _, status = os.waitpid(pid, 0)
    elapsed = time.perf_counter() - start
    if status:
        error.seek(0)
        sys.exit(f"{command}: exit {os.waitstatus_to_exitcode(status)}\n{error.read().decode()}")
    error.close()
    if result is not None:
        result.seconds.append(elapsed)


class Bench:
    """The scenarios, each adding rows name -> tool -> figures to `rows`."""

    def __init__(self, tiny: str, runs: int, crowd: int) -> None:
        self.runs = runs
        self.crowd = crowd
        self.rows: dict[str, dict[str, dict[str, float]]] = {}
        self.folder = Path(tempfile.mkdtemp())
        (kernel,) = Path("/boot").glob("vmlinuz-*")
        ramdisk = "/usr/lib/xentool-lab/guest.cpio.gz"
        self.tiny = self.config("tiny", kernel=tiny, memory=16)
        self.linux = self.config("linux", kernel=str(kernel), ramdisk=ramdisk, memory=128)

    def config(self, name: str, **keys: object) -> str:
        keys = {"name": name, "type": "pv", "vcpus": 1, **keys}
        lines = [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
            for key, value in keys.items()
        ]
        path = self.folder / f"{name}.cfg"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def row(self, name: str, tool: str, result: Result) -> None:
        self.rows.setdefault(name, {})[tool] = result.as_dict()

    def create_and_destroy(self, label: str, config: str, name: str, *, cold: bool = False) -> None:
        """Create (paused) and destroy, by both tools in turn."""
        created = {tool: Result() for tool in ("xl", "xentool")}
        destroyed = {tool: Result() for tool in ("xl", "xentool")}
        for turn in range(self.runs + 1):  # the first turn warms caches, and is for the memory
            for tool in created:
                if cold:
                    shutil.rmtree("/var/cache/xentool", ignore_errors=True)
                create, destroy = [tool, "create", "-p", config], [tool, "destroy", name]
                if turn:
                    run(create, created[tool])
                    run(destroy, destroyed[tool])
                else:
                    created[tool].peak_kib = peak_kib(create)
                    destroyed[tool].peak_kib = peak_kib(destroy)
        for tool, result in created.items():
            self.row(f"create {label}", tool, result)
        if not cold:
            for tool, result in destroyed.items():
                self.row(f"destroy {label}", tool, result)

    def pair(self, label: str, *arguments: str) -> None:
        results = {tool: Result() for tool in ("xl", "xentool")}
        for turn in range(self.runs + 1):
            for tool, result in results.items():
                if turn:
                    run([tool, *arguments], result)
                else:
                    result.peak_kib = peak_kib([tool, *arguments])
        for tool, result in results.items():
            self.row(label, tool, result)

    def everything(self) -> None:
        run(["xentool", "list"])
        self.pair("list, 1 domain", "list")
        self.create_and_destroy("tiny ELF, 16 MiB", self.tiny, "tiny")
        self.create_and_destroy("bzImage, 128 MiB, warm", self.linux, "linux")
        self.create_and_destroy("bzImage, 128 MiB, first time", self.linux, "linux", cold=True)
        if self.crowd:
            self.beside_a_crowd()
        python = Result()
        for _ in range(self.runs):
            run(["python3", "-c", "pass"], python)
        self.row("python3 -c pass", "xentool", python)

    def beside_a_crowd(self) -> None:
        """The same beside many tiny guests, made by xl, each with its monitor process."""
        small = self.config("small", kernel="TINY", memory=8)
        text = Path(small).read_text().replace("TINY", self.tiny_kernel())
        for number in range(self.crowd):
            path = self.folder / "crowd.cfg"
            path.write_text(text.replace('"small"', f'"crowd-{number}"') + 'extra = "idle"\n')
            run(["xl", "create", str(path)])
            if number % 20 == 19:
                print(f"{number + 1} guests run beside", file=sys.stderr, flush=True)
        self.pair(f"list, {self.crowd + 1} domains", "list")
        self.create_and_destroy(f"tiny ELF beside {self.crowd} others", self.tiny, "tiny")
        # They are left running: the lab's end is theirs, and to destroy them one by one takes minutes.

    def tiny_kernel(self) -> str:
        line = next(line for line in Path(self.tiny).read_text().splitlines() if line.startswith("kernel"))
        return line.split('"')[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", required=True, help="the tiny guest's kernel")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--crowd", type=int, default=200)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    bench = Bench(options.tiny, options.runs, options.crowd)
    bench.everything()
    Path(options.out).write_text(json.dumps(bench.rows))


if __name__ == "__main__":
    main()
