"""What the contract's tests are made of: machines, small PV domains, page tables, the errno of a refusal."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from xentool.abi.paging import PageFlag
from xentool.errors import NotFoundError, XentoolError
from xentool.units import PAGE_SIZE, DomId, Mfn

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.hypervisor.calls import Hypercalls
    from xentool.hypervisor.port import Hypervisor

HANDLE = bytes.fromhex("c0ffee00000040008000000000000001")
NOBODY = DomId(0x7FE0)
"""A domid that no domain has, and that Xen could give to one."""

TABLE = PageFlag.PRESENT | PageFlag.RW | PageFlag.ACCESSED | PageFlag.DIRTY | PageFlag.USER
LEAF = PageFlag.PRESENT | PageFlag.RW | PageFlag.ACCESSED
READ_ONLY = PageFlag.PRESENT | PageFlag.ACCESSED


def errno_of(action: Callable[[], object]) -> int:
    """The errno with which the hypervisor refuses."""
    with pytest.raises((OSError, XentoolError)) as caught:
        action()
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    assert isinstance(error, OSError), f"no errno behind {caught.value!r}"
    assert error.errno is not None
    return error.errno


class Machine:
    """Opens hypervisors on one machine."""

    def __init__(self, open_one: Callable[[], Hypervisor]) -> None:
        self._open_one = open_one
        self._opened: list[Hypervisor] = []

    def open(self) -> Hypervisor:
        hypervisor = self._open_one()
        self._opened.append(hypervisor)
        return hypervisor

    def close(self) -> None:
        for hypervisor in self._opened:
            hypervisor.close()


class Guest:
    """A PV domain of `pages` single frames; page n is `p2m[n]`."""

    def __init__(self, xen: Hypercalls, domid: DomId, pages: int) -> None:
        self.xen = xen
        self.domid = domid
        self.p2m = xen.populate_physmap(domid, array("Q", range(pages)), 0)
        assert len(self.p2m) == pages

    def mfn(self, page: int) -> Mfn:
        return Mfn(self.p2m[page])

    def write(self, page: int, content: bytes | array[int]) -> None:
        """Fill a page: `content`, then zeros."""
        raw = bytes(content)
        with self.xen.gate.map_frames(self.domid, array("Q", [self.p2m[page]])) as mapping:
            mapping.view[:] = raw + bytes(PAGE_SIZE - len(raw))

    def read(self, page: int) -> bytes:
        frames = array("Q", [self.p2m[page]])
        with self.xen.gate.map_frames(self.domid, frames, writable=False) as mapping:
            return bytes(mapping.view)

    def write_tables(self, leaves: dict[int, int], **entries: int) -> None:
        """Page tables in pages 0 (L4), 1 (L3), 2 (L2), 3 (L1): one chain, and `leaves` in the L1.

        `leaves` is index → whole entry. `l4`, `l3`, `l2` replace the one entry of that level.
        """
        tables = {
            0: entries.get("l4", self.entry(1, TABLE)),
            1: entries.get("l3", self.entry(2, TABLE)),
            2: entries.get("l2", self.entry(3, TABLE)),
        }
        for page, entry in tables.items():
            self.write(page, array("Q", [entry]))
        words = array("Q", bytes(PAGE_SIZE))
        for index, entry in leaves.items():
            words[index] = entry
        self.write(3, words)

    def entry(self, page: int, flags: int) -> int:
        return self.p2m[page] * PAGE_SIZE | int(flags)

    def pin(self, page: int = 0) -> None:
        self.xen.pin_l4_table(self.domid, self.mfn(page))


class Guests:
    """Makes domains and remembers them."""

    def __init__(self, xen: Hypercalls) -> None:
        self._xen = xen
        self._domids: list[DomId] = []

    def create(self, **settings: int) -> DomId:
        """An empty domain that may have 16 MiB."""
        domid = self._xen.create_domain(HANDLE, **({"max_vcpus": 1} | settings))
        self._domids.append(domid)
        self._xen.max_mem(domid, 16 << 10)
        return domid

    def build(self, pages: int = 8) -> Guest:
        """A domain with one vcpu and memory."""
        domid = self.create()
        self._xen.max_vcpus(domid, 1)
        return Guest(self._xen, domid, pages)

    def destroy_all(self) -> None:
        while self._domids:
            try:
                self._xen.destroy_domain(self._domids.pop())
            except NotFoundError:
                continue
