"""Which code carries out which hypercall. Each is imported when it is first made."""

from __future__ import annotations

from xentool.abi import xen as abi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.mock.xen import Handler

_MODULES = {
    abi.HYPERVISOR_mmu_update: ("mmu_op", "mmu_update"),
    abi.HYPERVISOR_memory_op: ("memory_op", "memory_op"),
    abi.HYPERVISOR_xen_version: ("version_op", "xen_version"),
    abi.HYPERVISOR_grant_table_op: ("grant_op", "grant_table_op"),
    abi.HYPERVISOR_mmuext_op: ("mmu_op", "mmuext_op"),
    abi.HYPERVISOR_sched_op: ("sched_op", "sched_op"),
    abi.HYPERVISOR_event_channel_op: ("event_op", "event_channel_op"),
    abi.HYPERVISOR_sysctl: ("sysctl", "sysctl"),
    abi.HYPERVISOR_domctl: ("domctl", "domctl"),
}


def handler_of(number: int) -> Handler | None:
    """The function that carries out hypercall `number`; None for one that this mock does not play."""
    if number not in _MODULES:
        return None
    from importlib import import_module

    module, function = _MODULES[number]
    handler: Handler = getattr(import_module(f"xentool.hypervisor.mock.{module}"), function)
    return handler
