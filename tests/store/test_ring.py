from __future__ import annotations

import mmap
import os
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.abi import xs_wire
from xentool.store import codec
from xentool.store.ring import GuestRing
from xentool.store.server import Server


class Guest:
    """A kernel's end of the ring."""

    def __init__(self) -> None:
        self.server = Server()
        self.page = bytearray(b"\xaa" * 4096)
        self.connection = self.server.connect(5)
        self.ring = GuestRing(memoryview(self.page), self.connection)
        self.ring.start()
        self.decoder = codec.Decoder()

    def index(self, offset: int) -> int:
        return int(struct.unpack_from("=I", self.page, offset)[0])

    def put(self, data: bytes) -> bytes:
        """Send as much as there is room for; the rest."""
        produced = self.index(xs_wire.RING_REQ_PROD_OFFSET)
        room = 1024 - (produced - self.index(xs_wire.RING_REQ_CONS_OFFSET)) % 2**32
        for at, byte in enumerate(data[:room]):
            self.page[(produced + at) % 1024] = byte
        struct.pack_into(
            "=I", self.page, xs_wire.RING_REQ_PROD_OFFSET, (produced + len(data[:room])) & 0xFFFFFFFF
        )
        return data[room:]

    def get(self, most: int = 1024) -> list[codec.Message]:
        consumed = self.index(xs_wire.RING_RSP_CONS_OFFSET)
        there = min(most, (self.index(xs_wire.RING_RSP_PROD_OFFSET) - consumed) % 2**32)
        data = bytes(self.page[1024 + (consumed + at) % 1024] for at in range(there))
        struct.pack_into("=I", self.page, xs_wire.RING_RSP_CONS_OFFSET, (consumed + there) & 0xFFFFFFFF)
        return self.decoder.feed(data)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 1024), st.lists(st.integers(0, 3500), min_size=1, max_size=4)
)
def test_whatever_the_indexes_and_sizes_all_replies_come(start: int, most: int, sizes: list[int]) -> None:
    guest = Guest()
    for offset in range(xs_wire.RING_REQ_CONS_OFFSET, xs_wire.RING_RSP_PROD_OFFSET + 4, 4):
        struct.pack_into("=I", guest.page, offset, start)
    dom0 = guest.server.connect()
    for at, size in enumerate(sizes):
        dom0.feed(codec.encode(xs_wire.XS_WRITE, 1, 0, b"/n%d\0" % at + b"x" * size))
    dom0.feed(codec.encode(xs_wire.XS_SET_PERMS, 1, 0, b"/\0r0\0"))
    for at in range(len(sizes)):
        dom0.feed(codec.encode(xs_wire.XS_SET_PERMS, 1, 0, b"/n%d\0r0\0" % at))
    rest = b"".join(codec.encode(xs_wire.XS_READ, at, 0, b"/n%d\0" % at) for at in range(len(sizes)))
    replies: list[codec.Message] = []
    for _ in range(20_000):
        rest = guest.put(rest)
        guest.ring.handle()
        replies += guest.get(most)
        if len(replies) == len(sizes):
            break
    assert [(kind, req_id, len(payload)) for kind, req_id, _, payload in replies] == [
        (xs_wire.XS_READ, at, size) for at, size in enumerate(sizes)
    ]
    assert not guest.ring.handle()


@pytest.mark.parametrize("offset", [xs_wire.RING_REQ_PROD_OFFSET, xs_wire.RING_RSP_PROD_OFFSET])
def test_indexes_that_cannot_be_end_the_conversation(offset: int) -> None:
    guest = Guest()
    struct.pack_into("=I", guest.page, offset, 1025)
    guest.ring.handle()
    assert guest.ring.failed
    assert guest.index(xs_wire.RING_ERROR_OFFSET) == xs_wire.XENSTORE_ERROR_RINGIDX
    assert not guest.connection.may_ask()


def test_a_frame_that_is_too_long_ends_it_as_well() -> None:
    guest = Guest()
    guest.put(codec.HEADER.pack(xs_wire.XS_READ, 1, 0, 4097))
    guest.ring.handle()
    assert guest.index(xs_wire.RING_ERROR_OFFSET) == xs_wire.XENSTORE_ERROR_PROTO
    assert guest.get() == []


def test_a_guest_that_does_not_read_is_not_served_further() -> None:
    guest = Guest()
    read = codec.encode(xs_wire.XS_GET_DOMAIN_PATH, 1, 0, b"5\0")
    for _ in range(200):
        guest.put(read * 10)
        guest.ring.handle()
    domain = guest.connection.domain
    assert domain is not None
    assert domain.outstanding <= guest.server.quota.outstanding + 40
    assert guest.connection.queued_bytes < 4096


_LOOKER = """\
import mmap, sys, time
page = memoryview(mmap.mmap(int(sys.argv[1]), 4096)).cast("I")
index, looks, torn = int(sys.argv[2]) // 4, 0, 0
print("ready", flush=True)
while page[index + 1] == 0:  # the daemon's other index says when to stop
    for _ in range(200):
        looks += 1
        torn += page[index] != 0x01010101
print(looks, torn)
"""


def test_the_guest_never_sees_an_index_half_written() -> None:
    with os.fdopen(os.memfd_create("ring"), "r+b") as file:
        file.truncate(4096)
        page = mmap.mmap(file.fileno(), 4096)
        ring = GuestRing(memoryview(page), Server().connect(5))
        offset = xs_wire.RING_REQ_CONS_OFFSET
        ring._set(offset, 0x01010101)
        looker = subprocess.Popen(
            [sys.executable, "-c", _LOOKER, str(file.fileno()), str(offset)],
            stdout=subprocess.PIPE,
            pass_fds=[file.fileno()],
            text=True,
        )
        with looker:
            assert looker.stdout is not None
            assert looker.stdout.readline() == "ready\n"
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                for _ in range(100):
                    ring._set(offset, 0x01010101)
            ring._set(offset + 4, 1)
            looks, torn = map(int, looker.stdout.readline().split())
    assert looks > 1000
    assert torn == 0
