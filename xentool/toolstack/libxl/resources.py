"""What a domain has of the host, through libxl: its vcpus, where they run, and its memory.

Source: libxl.h (domain related functions), libxl_utils.h (libxl_bitmap).
"""

from __future__ import annotations

from xentool.cfunctions import byref, c_int
from xentool.errors import LibxlError, NotFoundError
from xentool.toolstack.libxl.domains import info
from xentool.toolstack.libxl.struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from xentool.toolstack.libxl.context import Context
    from xentool.units import DomId


def vcpus(context: Context, domid: DomId) -> list[dict[str, object]]:
    """The domain's vcpus (libxl_vcpuinfo): ``vcpuid``, ``cpu``, ``online``, ``cpumap``, …

    Raises:
        NotFoundError: there is no such domain.
    """
    info(context, domid)
    cpus = c_int()
    count = c_int()
    address = context.library.function("libxl_list_vcpu")(context.handle, domid, byref(count), byref(cpus))
    if not address:
        raise NotFoundError(
            "list the vcpus of domain", domid, "libxl finds none", hint="is it being destroyed?"
        )
    size = context.library.size_of("vcpuinfo")
    try:
        return [context.read("vcpuinfo", address + size * index) for index in range(count.value)]
    finally:
        context.library.function("libxl_vcpuinfo_list_free")(address, count.value)


class Bitmap(Struct):
    """A libxl_bitmap with room for `width` bits, those of `members` set; as a context."""

    def __init__(self, context: Context, width: int, members: set[int]) -> None:
        super().__init__(context, "bitmap")
        self._width = width
        self._members = members

    def __enter__(self) -> Self:
        super().__enter__()
        self._context.call("make", "a bitmap", "libxl_bitmap_alloc", self.address, self._width)
        mark = self._context.library.function("libxl_bitmap_set")
        for member in self._members:
            mark(self.address, member)
        return self


def set_vcpus(context: Context, domid: DomId, online: int) -> None:
    """Put the domain's first `online` vcpus to work, and the others to rest."""
    there = info(context, domid).get("vcpu_max_id", 0)
    highest = (there if isinstance(there, int) else 0) + 1
    if not 1 <= online <= highest:
        raise LibxlError(
            "set the vcpus of domain",
            domid,
            f"it can have 1 to {highest}, not {online}",
            hint="maxvcpus in its config says how many it may have",
        )
    function = context.library.function("libxl_set_vcpuonline")
    with Bitmap(context, highest, set(range(online))) as wanted:
        context.run(
            "set the vcpus of domain",
            domid,
            lambda how: function(context.handle, domid, wanted.address, how),
        )


def pin_vcpu(
    context: Context, domid: DomId, vcpu: int, hard: set[int] | None, soft: set[int] | None = None
) -> None:
    """Say on which CPUs a vcpu may run, and on which it would best; None leaves it as it is."""
    width = context.library.function("libxl_get_max_cpus")(context.handle)
    with Bitmap(context, width, hard or set()) as may, Bitmap(context, width, soft or set()) as best:
        context.call(
            "pin vcpu",
            f"{vcpu} of domain {domid}",
            "libxl_set_vcpuaffinity",
            domid,
            vcpu,
            None if hard is None else may.address,
            None if soft is None else best.address,
        )


def set_memory(context: Context, domid: DomId, target_kib: int) -> None:
    """Have the guest grow or shrink to that; returns when it was asked."""
    context.call("set the memory of domain", domid, "libxl_set_memory_target", domid, target_kib, 0, 1)


def memory_target(context: Context, domid: DomId) -> int:
    """What the guest was asked to have, in KiB."""
    return context.number("read the memory target of domain", domid, "libxl_get_memory_target", domid)


def set_max_memory(context: Context, domid: DomId, max_kib: int) -> None:
    """The most that the domain may have from now on."""
    context.call("set the greatest memory of domain", domid, "libxl_domain_setmaxmem", domid, max_kib)
