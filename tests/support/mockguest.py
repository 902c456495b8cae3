"""A domain on the mock, built by hand: memory, page tables, registers; for tests below the builder."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import pytest

from xentool.abi.vcpu import USER_REGS, VGCF_IN_KERNEL, VGCF_online, cpu_user_regs, vcpu_guest_context
from xentool.errors import XentoolError
from xentool.hypervisor.calls import Hypercalls
from xentool.units import DomId, Mfn

READ_ONLY, WRITABLE, TABLE = 0x21, 0x23, 0x67


def errno_of(call: Callable[..., object], *arguments: object, **named: object) -> int:
    """With which errno the hypervisor refuses a call; fails if it does not."""
    with pytest.raises((XentoolError, OSError)) as caught:
        call(*arguments, **named)
    refusal = caught.value.__cause__ or caught.value
    assert isinstance(refusal, OSError), caught.value
    return refusal.errno or 0


class HandMade:
    """A paused domain of `pages` pages, its page tables at the end, not yet pinned.

    `frames` is its p2m; `tables` are the pfns of L4, L3, L2 and the L1s.
    """

    def __init__(self, calls: Hypercalls, pages: int = 1024) -> None:
        self.calls = calls
        self.gate = calls.gate
        self.domid = calls.create_domain(bytes(range(16)), max_vcpus=2)
        calls.max_vcpus(self.domid, 2)
        calls.max_mem(self.domid, pages * 4)
        self.frames = array("Q")
        for start in calls.populate_physmap(self.domid, array("Q", range(0, pages, 512)), 9):
            self.frames.extend(range(start, start + 512))
        count = pages // 512
        self.l4, self.l3, self.l2 = pages - 1, pages - 2, pages - 3
        self.l1s = list(range(pages - 3 - count, pages - 3))
        self.tables = {self.l4, self.l3, self.l2, *self.l1s}
        self._write_tables()

    def _write_tables(self) -> None:
        with self.gate.map_frames(self.domid, self.frames) as mapping:
            words = mapping.view.cast("Q")
            for number, table in enumerate(self.l1s):
                entries = (
                    self.frames[pfn] << 12 | (READ_ONLY if pfn in self.tables else WRITABLE)
                    for pfn in range(number * 512, (number + 1) * 512)
                )
                words[table * 512 : table * 512 + 512] = array("Q", entries)
                words[self.l2 * 512 + number] = self.frames[table] << 12 | TABLE
            words[self.l3 * 512] = self.frames[self.l2] << 12 | TABLE
            words[self.l4 * 512] = self.frames[self.l3] << 12 | TABLE
            words.release()

    def poke(self, pfn: int, slot: int, word: int) -> None:
        """Set one word of a page through a mapping, as a builder would."""
        with self.gate.map_frames(self.domid, self.frames[pfn : pfn + 1]) as mapping:
            mapping.view[slot * 8 : slot * 8 + 8] = word.to_bytes(8, "little")

    def peek(self, pfn: int, slot: int) -> int:
        with self.gate.map_frames(self.domid, self.frames[pfn : pfn + 1], writable=False) as mapping:
            return int.from_bytes(mapping.view[slot * 8 : slot * 8 + 8], "little")

    def pin(self) -> None:
        self.calls.pin_l4_table(self.domid, Mfn(self.frames[self.l4]))

    def context(self, **fields: int) -> bytes:
        """Registers that Xen accepts, but for what `fields` say."""
        registers = {name: fields.pop(name) for name in list(fields) if name in cpu_user_regs.fields}
        cr3 = fields.pop("cr3", self.frames[self.l4] << 12)
        control = [0] * 8
        control[3] = cr3
        control[1] = fields.pop("cr1", 0)
        image = bytearray(vcpu_guest_context.size)
        vcpu_guest_context.pack_into(image, flags=VGCF_IN_KERNEL | VGCF_online, ctrlreg=control)
        vcpu_guest_context.pack_into(image, **fields)
        cpu_user_regs.pack_into(image, USER_REGS, **{"rip": 0x1000, "rsp": 0x2000, **registers})
        return bytes(image)

    def destroy(self) -> None:
        self.calls.destroy_domain(DomId(self.domid))
