"""Measures our XenStore server against the host's own daemon; prints one JSON object.

Runs in a dom0: the daemon there cannot be started a second time (the hypervisor
has one store), so it is asked as it is, under a folder of our own, and ours
runs beside it with the same content. Both answer the same client, which speaks
in prepared frames through a bare socket, so that the servers are what is
measured. The client and the servers share one CPU: what counts then is what a
request costs, and not how long an idle CPU takes to wake up, which is the same
for both (`--apart` shows that as well). Turns are interleaved (A B A B ...); what
is compared is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.bench.storecontent import FOLDER, domain_nodes
from xentool.abi import xs_wire
from xentool.store.client import StoreClient
from xentool.store.codec import HEADER, Decoder, encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xentool.store.codec import Message

DAEMONS = ("xenstored", "oxenstored")
NODE = f"{FOLDER}/node".encode()


class Requests(Protocol):
    """One thing that a client does with the store, over and over."""

    name: str

    def once(self, sock: socket.socket) -> None:
        """Do it, and wait until it is done."""


def ask(sock: socket.socket, data: bytes | bytearray, size: int) -> bytes:
    """Send frames, and take exactly the `size` bytes of their replies."""
    sock.sendall(data)
    came = sock.recv(65536)
    while len(came) < size:
        more = sock.recv(65536)
        if not more:
            raise EOFError("the daemon hung up")
        came += more
    return came


def checked(sock: socket.socket, data: bytes) -> int:
    """Send frames, see that none is refused; the size of the replies."""
    wanted = len(Decoder().feed(data))
    sock.sendall(data)
    decoder = Decoder()
    replies: list[Message] = []
    size = 0
    while len(replies) < wanted:
        came = sock.recv(65536)
        size += len(came)
        replies += decoder.feed(came)
    for reply in replies:
        if reply[0] == xs_wire.XS_ERROR:
            raise ValueError(f"the daemon refused a request: {reply[3]!r}")
    return size


class Steps:
    """Requests, each group of which is sent in one go when the one before is answered."""

    def __init__(self, name: str, *groups: bytes) -> None:
        self.name = name
        self._groups = groups
        self._sizes: dict[int, list[int]] = {}

    def once(self, sock: socket.socket) -> None:
        sizes = self._sizes.get(sock.fileno())
        if sizes is None:
            self._sizes[sock.fileno()] = [checked(sock, group) for group in self._groups]
            return
        for group, size in zip(self._groups, sizes, strict=True):
            ask(sock, group, size)


class WriteTransaction:
    """A transaction of `count` writes: its start, then all of the rest, in one go or one by one."""

    def __init__(self, name: str, count: int, *, at_once: bool) -> None:
        self.name = name
        self._start = encode(xs_wire.XS_TRANSACTION_START, 1, 0, b"\0")
        frames = [encode(xs_wire.XS_WRITE, 2 + at, 0, b"%s/tx/%d\0value" % (NODE, at)) for at in range(count)]
        frames.append(encode(xs_wire.XS_TRANSACTION_END, 2 + count, 0, b"T\0"))
        self._sizes = [HEADER.size + 3] * len(frames)
        if at_once:
            self._tx_id_at = [sum(map(len, frames[:at])) + 8 for at in range(len(frames))]
            self._groups = [bytearray(b"".join(frames))]
            self._sizes = [sum(self._sizes)]
        else:
            self._tx_id_at = [8]
            self._groups = [bytearray(frame) for frame in frames]

    def once(self, sock: socket.socket) -> None:
        started = ask(sock, self._start, HEADER.size + 2)
        while started[-1:] != b"\0":
            started += sock.recv(4096)
        tx_id = int(started[HEADER.size : -1]).to_bytes(4, sys.byteorder)
        for group, size in zip(self._groups, self._sizes, strict=True):
            for at in self._tx_id_at:
                group[at : at + 4] = tx_id
            came = ask(sock, group, size)
        if came[-3:] != b"OK\0" or len(came) != size:
            raise ValueError("the daemon refused a transaction")


def all_requests() -> list[Requests]:
    """What is measured. The last one has no bar: it is single requests, too."""
    read = encode(xs_wire.XS_READ, 1, 0, NODE + b"\0")
    made = NODE + b"/made\0"
    return [
        Steps("read", read),
        Steps("write", encode(xs_wire.XS_WRITE, 1, 0, NODE + b"\0value")),
        Steps("directory", encode(xs_wire.XS_DIRECTORY, 1, 0, NODE + b"\0")),
        Steps("mkdir, rm", encode(xs_wire.XS_MKDIR, 1, 0, made), encode(xs_wire.XS_RM, 2, 0, made)),
        Steps("16 reads in one go", read * 16),
        WriteTransaction("transaction of 40 writes in one go", 40, at_once=True),
        WriteTransaction("transaction of 40 writes, one by one", 40, at_once=False),
    ]


class Daemon:
    """A store under test, and the connection through which it is measured."""

    def __init__(self, name: str, path: str, pid: int) -> None:
        self.name = name
        self.path = path
        self.pid = pid
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.watchers: list[StoreClient] = []

    def fill(self, nodes: dict[str, str]) -> None:
        with StoreClient(self.path) as client:
            items = list(nodes.items())
            for at in range(0, len(items), 1000):
                with client.batch() as batch:
                    for path, value in items[at : at + 1000]:
                        batch.write(path, value)

    def watch(self, count: int, connections: int) -> None:
        """`count` watches by one more client, and one by each of `connections` others."""
        for number in range(connections + 1):
            client = StoreClient(self.path)
            self.watchers.append(client)
            paths = [f"{FOLDER}/watched/{number}/{at}" for at in range(count if not number else 1)]
            client.exchange(0, [(xs_wire.XS_WATCH, path.encode() + b"\0token\0") for path in paths])
            for _ in paths:
                client.next_event(10)

    def unwatch(self) -> None:
        while self.watchers:
            self.watchers.pop().close()

    def rate(self, requests: Requests, seconds: float, count: int) -> tuple[float, int]:
        """How many times a second it does them, and how many that were.

        `count` times; 0: as often as goes in `seconds`, roughly.
        """
        once, sock = requests.once, self.socket
        begun = time.perf_counter()
        done = 0
        while done < count or (not count and time.perf_counter() - begun < seconds):
            once(sock)
            done += 1
        return done / (time.perf_counter() - begun), done

    def cpu_seconds(self) -> float:
        """The CPU time that its process has used; 0 where it is no process of this machine."""
        if not self.pid:
            return 0.0
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def close(self) -> None:
        self.unwatch()
        self.socket.close()
        with StoreClient(self.path) as client:
            client.rm(FOLDER)


def pin(pids: Sequence[int], *, apart: bool) -> None:
    """The client and the daemons on one CPU; `apart`: the client on one, the daemons on another."""
    cpus = sorted(os.sched_getaffinity(0))
    for pid in pids:
        os.sched_setaffinity(pid, {cpus[-1] if apart else cpus[0]})
    os.sched_setaffinity(0, {cpus[0]})


def running_daemon() -> int:
    """The process of the host's store; 0: none of this machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "comm").read_text().strip() in DAEMONS:
            return int(entry.name)
    return 0


class Bench:
    """The rows: of requests and surroundings, each daemon's figures."""

    def __init__(self, theirs: Daemon, ours: Daemon, runs: int, seconds: float) -> None:
        self.daemons = (theirs, ours)
        self.runs = runs
        self.seconds = seconds
        self.rows: dict[str, dict[str, dict[str, float]]] = {}

    def measure(self, surroundings: str) -> None:
        for requests in all_requests():
            rates: dict[str, list[float]] = {daemon.name: [] for daemon in self.daemons}
            cpu_us: dict[str, list[float]] = {daemon.name: [] for daemon in self.daemons}
            counts: dict[str, int] = {}
            for daemon in self.daemons:
                requests.once(daemon.socket)
                _, counts[daemon.name] = daemon.rate(requests, self.seconds, 0)
            for _ in range(self.runs):
                for daemon in self.daemons:
                    before = daemon.cpu_seconds()
                    rate, done = daemon.rate(requests, 0, counts[daemon.name])
                    rates[daemon.name].append(rate)
                    cpu_us[daemon.name].append((daemon.cpu_seconds() - before) / done * 1e6)
            row = f"{requests.name}{surroundings}"
            print(
                row, {name: round(statistics.median(them)) for name, them in rates.items()}, file=sys.stderr
            )
            self.rows[row] = {
                name: {
                    "median": statistics.median(them),
                    "min": min(them),
                    "max": max(them),
                    "cpu_us": statistics.median(cpu_us[name]),
                }
                for name, them in rates.items()
            }

    def everything(self, watches: int = 1000, domains: int = 1000) -> None:
        node = NODE.decode()
        for daemon in self.daemons:
            daemon.fill({node: "value"} | {f"{node}/child-{at}": "" for at in range(10)})
        self.measure("")
        for daemon in self.daemons:
            daemon.watch(watches, 20)
        self.measure(f"; {watches:,} watches")
        for daemon in self.daemons:
            daemon.unwatch()
            for domid in range(1, domains + 1):
                daemon.fill(domain_nodes(domid))
        self.measure(f"; {domains:,} domains")


def serve(path: str) -> None:
    """Our server, as it runs in a process of its own."""
    from xentool.store.serve import SocketServer
    from xentool.store.server import Server

    with SocketServer(path, Server()) as sockets:
        signal.signal(signal.SIGTERM, lambda _signal, _frame: sockets.stop())
        print("ready", flush=True)
        sockets.run()


def our_daemon(folder: str) -> Iterator[tuple[str, int]]:
    """Start our server; its socket and its process. It ends with the generator."""
    path = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.store", "--serve", path], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield path, process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--theirs", default="/run/xenstored/socket", help="the host's daemon")
    parser.add_argument("--their-pid", type=int, default=0, help="its process, if it has another name")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a turn is, roughly")
    parser.add_argument("--apart", action="store_true", help="the client and the servers on two CPUs")
    parser.add_argument("--out", help="where the figures go")
    parser.add_argument("--serve", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        for path, pid in our_daemon(folder):
            theirs = options.their_pid or running_daemon()
            pin([pid, theirs] if theirs else [pid], apart=options.apart)
            daemons = Daemon("theirs", options.theirs, theirs), Daemon("ours", path, pid)
            bench = Bench(*daemons, options.runs, options.seconds)
            try:
                bench.everything()
            finally:
                for daemon in bench.daemons:
                    daemon.close()
            if options.out:
                Path(options.out).write_text(json.dumps(bench.rows))


if __name__ == "__main__":
    main()
