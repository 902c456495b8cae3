"""A domain's memory: reservations, claims, the memory map, page tables, the grant table.

Source: public/memory.h, public/xen.h (mmuext_op, mmu_update), public/grant_table.h.
"""

from __future__ import annotations

import errno
from array import array

from xentool.abi import memory
from xentool.abi.grant_table import GNTST_bad_domain, GNTST_okay, GNTTABOP_setup_table, gnttab_setup_table
from xentool.abi.xen import (
    MMUEXT_PIN_L4_TABLE,
    MMUEXT_UNPIN_TABLE,
    HYPERVISOR_grant_table_op,
    HYPERVISOR_mmuext_op,
    mmuext_op,
)
from xentool.hypervisor.calls.core import DATA, CoreCalls
from xentool.units import PAGE_SIZE, DomId, Mfn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.hypervisor.port import Mapping

EXTENTS_AT_ONCE = 16 * PAGE_SIZE // 8  # 64 KiB of hypercall-safe memory, and 16 GiB of guest at order 9
MAX_E820 = 128  # xen/arch/x86/include/asm/e820.h, E820MAX is 1024: more than any guest of ours needs


class MemoryCalls(CoreCalls):
    """Calls about memory; they belong to `xentool.hypervisor.calls.Hypercalls`."""

    def populate_physmap(self, domid: DomId, pfns: array[int], order: int, mem_flags: int = 0) -> array[int]:
        """Give the domain an extent of 2**`order` frames at each of `pfns` (``array('Q')``).

        Returns the first mfn of each extent. The array is shorter than `pfns` where Xen
        gave no more, and Xen does not say why: no memory, not in pieces of that order,
        more than `max_mem` allows, no such domain.
        """
        return self._extents(
            memory.XENMEM_populate_physmap, "populate_physmap", domid, pfns, order, mem_flags
        )

    def decrease_reservation(self, domid: DomId, frames: array[int], order: int = 0) -> int:
        """Take the extents at `frames` (mfns of a PV domain, else pfns) from it; how many were taken."""
        return len(
            self._extents(memory.XENMEM_decrease_reservation, "decrease_reservation", domid, frames, order, 0)
        )

    def _extents(
        self, command: int, name: str, domid: DomId, frames: array[int], order: int, mem_flags: int
    ) -> array[int]:
        done = array("Q")
        at_once = min(len(frames), EXTENTS_AT_ONCE)
        if not at_once:
            return done
        with self.gate.buffer(at_once * 8) as buffer:
            view = buffer.view
            for start in range(0, len(frames), at_once):
                batch = memoryview(frames)[start : start + at_once].cast("B")
                view[: len(batch)] = batch
                count = self.memory_op(
                    command,
                    name,
                    domid,
                    memory.xen_memory_reservation.pack(
                        extent_start=buffer.address,
                        nr_extents=len(batch) // 8,
                        extent_order=order,
                        mem_flags=mem_flags,
                        domid=domid,
                    ),
                )
                done.frombytes(view[: count * 8])
                if count * 8 < len(batch):
                    break
        return done

    def claim_pages(self, domid: DomId, pages: int) -> None:
        """Set memory aside until the domain has `pages` pages; 0 ends the claim.

        Raises:
            NoMemoryError: the host has less than that.
            XenError: EINVAL, the domain has a claim already, or as many pages as that, or may not
                have as many (`max_mem`).
        """
        payload = memory.xen_memory_reservation.pack(nr_extents=pages, domid=domid)
        self.memory_op(memory.XENMEM_claim_pages, "claim_pages", domid, payload)

    def set_memory_map(self, domid: DomId, entries: Sequence[tuple[int, int, int]]) -> None:
        """Set the E820 map that the domain reads: (address, size in bytes, E820_* type) each."""
        if len(entries) > MAX_E820:
            raise ValueError(f"a memory map of {len(entries)} entries")
        view = self.scratch().view
        for index, (address, size, kind) in enumerate(entries):
            memory.e820entry.pack_into(
                view, DATA + index * memory.e820entry.size, addr=address, size=size, type=kind
            )
        payload = memory.xen_foreign_memory_map.pack(
            domid=domid, nr_entries=len(entries), buffer=self.scratch().address + DATA
        )
        self.memory_op(memory.XENMEM_set_memory_map, "set_memory_map", domid, payload)

    def set_memory_map_limit(self, domid: DomId, limit_kib: int) -> None:
        """Tell a PV domain that its memory ends at `limit_kib`, though it may have less of it now."""
        self.set_memory_map(domid, [(0, limit_kib << 10, memory.E820_RAM)])

    def maximum_ram_page(self) -> Mfn:
        """The highest mfn of the host's memory."""
        return Mfn(self.memory_op(memory.XENMEM_maximum_ram_page, "maximum_ram_page", None, b""))

    def pin_l4_table(self, domid: DomId, mfn: Mfn) -> None:
        """Have Xen validate the page tables under this L4 and keep them valid.

        Raises:
            XenError: EBUSY, EINVAL or EPERM, they are not valid: `xl dmesg` says which entry is not.
        """
        self._mmuext(domid, MMUEXT_PIN_L4_TABLE, mfn, "pin_table")

    def unpin_table(self, domid: DomId, mfn: Mfn) -> None:
        """Take back one `pin_l4_table`."""
        self._mmuext(domid, MMUEXT_UNPIN_TABLE, mfn, "unpin_table")

    def _mmuext(self, domid: DomId, command: int, mfn: Mfn, name: str) -> None:
        scratch = self.scratch()
        scratch.view[: mmuext_op.size] = mmuext_op.pack(cmd=command, mfn=mfn)
        self.call(name, HYPERVISOR_mmuext_op, scratch.address, 1, 0, domid, domid=domid)

    def setup_grant_table(self, domid: DomId, frames: int = 1) -> array[int]:
        """Let the domain's grant table have at least so many frames; their mfns."""
        scratch = self.scratch()
        view = scratch.view
        view[: gnttab_setup_table.size] = gnttab_setup_table.pack(
            dom=domid, nr_frames=frames, frame_list=scratch.address + DATA
        )
        self.call(
            "gnttab_setup_table",
            HYPERVISOR_grant_table_op,
            GNTTABOP_setup_table,
            scratch.address,
            1,
            domid=domid,
        )
        status = gnttab_setup_table.get(view, "status")
        if status != GNTST_okay:
            number = errno.ESRCH if status == GNTST_bad_domain else errno.EINVAL
            raise self.failed(number, "gnttab_setup_table", domid, f"grant status {status}")
        found = array("Q")
        found.frombytes(view[DATA : DATA + 8 * frames])
        return found

    def map_frames(self, domid: DomId, frames: array[int]) -> Mapping:
        """Map `frames` of a domain, writable, in their order.

        Raises:
            XenError: a frame is not the domain's, or Domain-0 has no room for the mapping.
        """
        try:
            return self.gate.map_frames(domid, frames)
        except OSError as exc:
            raise self.failed(exc, "map_frames", domid) from exc

    def map_grant_table(self, domid: DomId) -> Mapping:
        """Map the first frame of a domain's grant table: 512 entries of version 1.

        Raises:
            XenError: Xen refused.
        """
        try:
            try:
                return self.gate.map_resource(
                    domid,
                    memory.XENMEM_resource_grant_table,
                    memory.XENMEM_resource_grant_table_id_shared,
                    0,
                    1,
                )
            except OSError as exc:
                if exc.errno != errno.EOPNOTSUPP:
                    raise
                return self.gate.map_frames(domid, self.setup_grant_table(domid, 1))
        except OSError as exc:
            raise self.failed(exc, "map_grant_table", domid) from exc
