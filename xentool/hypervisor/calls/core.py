"""The hypercalls that every command makes, and what all others are made of.

Source: public/version.h, public/domctl.h, public/sysctl.h.
"""

from __future__ import annotations

import errno

from xentool.abi import domctl, sysctl
from xentool.abi.versions import INTERFACES
from xentool.abi.xen import HYPERVISOR_domctl, HYPERVISOR_memory_op, HYPERVISOR_sysctl, HYPERVISOR_xen_version
from xentool.hypervisor.calls.info import DomainInfo
from xentool.units import PAGE_SIZE, DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.errors import XentoolError
    from xentool.hypervisor.port import Buffer, Hypervisor

XENVER_VERSION = 0  # XENVER_version of xentool.abi.version, which is not worth its import here

# The scratch memory: an operation's structure first, then whatever it points to.
SCRATCH_SIZE = 4 * PAGE_SIZE
DATA = 256
DATA_SIZE = SCRATCH_SIZE - DATA
INFO_SIZE = domctl.xen_domctl_getdomaininfo.size
INFOS_AT_ONCE = DATA_SIZE // INFO_SIZE

DOMCTL_U = domctl.xen_domctl.offset("u")
SYSCTL_U = sysctl.xen_sysctl.offset("u")
ERESTART = 85  # public/errno.h; Python's errno has it on Linux only


class CoreCalls:
    """Typed calls through `gate`. Not for two threads at once: they share one piece of scratch memory."""

    def __init__(self, gate: Hypervisor) -> None:
        self.gate = gate
        self._version: tuple[int, int] | None = None
        self._interfaces: tuple[int, int] | None = None
        self._scratch_buffer: Buffer | None = None

    def version(self) -> tuple[int, int]:
        """Xen's release: (4, 17)."""
        if self._version is None:
            packed = self.call("xen_version", HYPERVISOR_xen_version, XENVER_VERSION, 0)
            self._version = packed >> 16, packed & 0xFFFF
        return self._version

    def domain_infos(self) -> list[DomainInfo]:
        """All domains, by domid.

        Raises:
            HostError: this is not Domain-0, or Xen is of a release that xentool does not know.
        """
        found: list[DomainInfo] = []
        first = 0
        while True:
            scratch = self.scratch()
            result = self.sysctl(
                sysctl.XEN_SYSCTL_getdomaininfolist,
                "getdomaininfolist",
                sysctl.xen_sysctl_getdomaininfolist.pack(
                    first_domain=first, max_domains=INFOS_AT_ONCE, buffer=scratch.address + DATA
                ),
            )
            count = sysctl.xen_sysctl_getdomaininfolist.get(result, "num_domains")
            view = scratch.view
            found += [DomainInfo(view, DATA + index * INFO_SIZE) for index in range(count)]
            if count < INFOS_AT_ONCE:
                return found
            first = found[-1].domid + 1

    def domain_info(self, domid: DomId) -> DomainInfo:
        """One domain.

        Raises:
            NotFoundError: there is none of that domid.
        """
        result = self.domctl(domctl.XEN_DOMCTL_getdomaininfo, "getdomaininfo", domid)
        info = DomainInfo(result)
        if info.domid != domid:  # 4.17 answers with the next domain instead
            raise self.failed(errno.ESRCH, "getdomaininfo", domid)
        return info

    def pause_domain(self, domid: DomId) -> None:
        """Let none of its vcpus run. It takes as many `unpause_domain` to run again.

        Raises:
            NotFoundError: there is no such domain.
        """
        self.domctl(domctl.XEN_DOMCTL_pausedomain, "pausedomain", domid)

    def unpause_domain(self, domid: DomId) -> None:
        """Take back one `pause_domain`.

        Raises:
            NotFoundError: there is no such domain.
            XenError: EINVAL, it is not paused.
        """
        self.domctl(domctl.XEN_DOMCTL_unpausedomain, "unpausedomain", domid)

    def destroy_domain(self, domid: DomId) -> None:
        """Kill the domain and free what it has. Returns when Xen has taken everything apart.

        Raises:
            NotFoundError: there is no such domain.
        """
        while True:
            try:
                self.gate.hypercall(
                    HYPERVISOR_domctl, self.domctl_address(domctl.XEN_DOMCTL_destroydomain, domid, b"")
                )
            except OSError as exc:
                # Xen gives up the processor now and then; each call takes the work further.
                if exc.errno not in (ERESTART, errno.EAGAIN, errno.EINTR):
                    raise self.failed(exc, "destroydomain", domid) from exc
            else:
                return

    def domctl(self, command: int, name: str, domid: int, payload: bytes = b"") -> memoryview:
        """One domctl; the union `u` as Xen left it, valid until the next call.

        `name` is the operation's name for errors, `payload` the operation's structure.
        """
        try:
            self.gate.hypercall(HYPERVISOR_domctl, self.domctl_address(command, domid, payload))
        except OSError as exc:
            raise self.failed(exc, name, domid) from exc
        return self.scratch().view[DOMCTL_U:DATA]

    def sysctl(self, command: int, name: str, payload: bytes) -> memoryview:
        """One sysctl; the union `u` as Xen left it, valid until the next call."""
        try:
            self.gate.hypercall(HYPERVISOR_sysctl, self.sysctl_address(command, payload))
        except OSError as exc:
            raise self.failed(exc, name, None) from exc
        return self.scratch().view[SYSCTL_U:DATA]

    def memory_op(self, command: int, name: str, domid: int | None, payload: bytes) -> int:
        """One memory_op with its structure in scratch memory, where it stays as Xen left it; its result."""
        scratch = self.scratch()
        scratch.view[: len(payload)] = payload
        return self.call(name, HYPERVISOR_memory_op, command, scratch.address, domid=domid)

    def call(self, name: str, number: int, *arguments: int, domid: int | None = None) -> int:
        """Any hypercall; its result. `name` and `domid` are for errors."""
        try:
            return self.gate.hypercall(number, *arguments)
        except OSError as exc:
            raise self.failed(exc, name, domid) from exc

    def scratch(self) -> Buffer:
        """Hypercall-safe memory of SCRATCH_SIZE bytes, which each call overwrites."""
        if self._scratch_buffer is None:
            self._scratch_buffer = self.gate.buffer(SCRATCH_SIZE)
        return self._scratch_buffer

    def failed(
        self, error: OSError | int, name: str, domid: int | None, facts: str = "", action: str = ""
    ) -> XentoolError:
        """The error to raise for an errno of the operation `name`, in words for people."""
        from xentool.hypervisor.calls.explain import explained

        return explained(self, error, name, domid, facts=facts, action=action)

    def interfaces(self) -> tuple[int, int]:
        """The interface versions that this Xen wants: domctl's, sysctl's.

        Raises:
            HostError: Xen is of a release that xentool does not know.
        """
        if self._interfaces is None:
            known = INTERFACES.get(self.version())
            if known is None:
                from xentool.hypervisor.calls.probe import probe_interfaces

                known = probe_interfaces(self)
            self._interfaces = known
        return self._interfaces

    def domctl_address(self, command: int, domid: int, payload: bytes) -> int:
        """Write a domctl into scratch memory; its address."""
        scratch, interfaces = self.scratch(), self.interfaces()
        view = scratch.view
        view[: domctl.xen_domctl.size] = bytes(domctl.xen_domctl.size)
        domctl.xen_domctl.pack_into(view, cmd=command, interface_version=interfaces[0], domain=domid)
        view[DOMCTL_U : DOMCTL_U + len(payload)] = payload
        return scratch.address

    def sysctl_address(self, command: int, payload: bytes) -> int:
        """Write a sysctl into scratch memory; its address."""
        scratch, interfaces = self.scratch(), self.interfaces()
        view = scratch.view
        view[: sysctl.xen_sysctl.size] = bytes(sysctl.xen_sysctl.size)
        sysctl.xen_sysctl.pack_into(view, cmd=command, interface_version=interfaces[1])
        view[SYSCTL_U : SYSCTL_U + len(payload)] = payload
        return scratch.address
