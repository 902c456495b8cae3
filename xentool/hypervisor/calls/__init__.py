"""Typed hypercalls: `Hypercalls(gate)` speaks to whatever stands behind the hypervisor port.

Each call encodes `abi` structures, hands them through the gate, and turns an
errno into an error that says what it means here. Names are Xen's. The calls
lie in families, and only `core` is imported at once: `list`, `destroy` and
`pause` need nothing else.

    core     version, domctl and sysctl themselves, domains listed, paused, destroyed
    domain   creating a domain, vcpus, clock, scheduling, shutdown
    policy   CPU policies
    memory   reservations, memory maps, page tables, grant tables
    host     what Xen and the machine are
"""

from __future__ import annotations

from xentool.hypervisor.calls.core import CoreCalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.hypervisor.calls.domain import DomainCalls
    from xentool.hypervisor.calls.host import HostCalls
    from xentool.hypervisor.calls.memory import MemoryCalls
    from xentool.hypervisor.calls.policy import PolicyCalls

    class Hypercalls(DomainCalls, PolicyCalls, MemoryCalls, HostCalls):
        """All typed calls through one gate. Goes with the gate: there is nothing to close."""
else:

    class Hypercalls(CoreCalls):
        """All typed calls through one gate. Goes with the gate: there is nothing to close."""

        def __getattr__(self, name: str) -> object:
            """A call that everyday commands do not make: its family is imported, it becomes a method."""
            if not name.startswith("__"):
                for family in ("domain", "memory", "host", "policy"):
                    calls = vars(_family(family)).get(name)
                    if calls is not None:
                        setattr(type(self), name, calls)
                        return calls.__get__(self)
            raise AttributeError(f"there is no hypercall {name!r}", name=name, obj=self)


def _family(name: str) -> type[CoreCalls]:
    from importlib import import_module

    module = import_module(f"xentool.hypervisor.calls.{name}")
    family: type[CoreCalls] = getattr(module, f"{name.capitalize()}Calls")
    return family
