"""Event channels: the ports of every domain, their states, and who is told when one fires.

Source: xen/common/event_channel.c; public/event_channel.h.
"""

from __future__ import annotations

import errno

from xentool.hypervisor.mock.mmu import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FREE, RESERVED, UNBOUND, INTERDOMAIN, VIRQ, IPI = 0, 1, 2, 3, 5, 6
MAX_PORT = (1 << 17) - 1  # EVTCHN_FIFO_NR_CHANNELS - 1


class Channel:
    """One port of a domain. `remote` is the other domain's number, `remote_port` its port there."""

    __slots__ = ("remote", "remote_port", "state", "vcpu", "virq")

    def __init__(self, state: int, remote: int = 0, remote_port: int = 0, virq: int = 0) -> None:
        self.state = state
        self.remote = remote
        self.remote_port = remote_port
        self.virq = virq
        self.vcpu = 0


class Ports:
    """A domain's event channels. `fired` is called with each port that an event arrives on."""

    __slots__ = ("channels", "fired", "max_port", "virqs")

    def __init__(self, max_port: int) -> None:
        self.channels: dict[int, Channel] = {0: Channel(RESERVED)}
        self.max_port = min(max_port, MAX_PORT)
        self.virqs: dict[int, int] = {}
        self.fired: Callable[[int], None] | None = None

    def free_port(self) -> int:
        """The lowest free port. Raises `Refused` with ENOSPC if the domain has no more."""
        port = 1
        while port in self.channels:
            port += 1
        if port > self.max_port:
            raise Refused(errno.ENOSPC)
        return port

    def at(self, port: int) -> Channel:
        """The channel, or a free one; EINVAL past what the domain may have."""
        if port < 0 or port > self.max_port:
            raise Refused(errno.EINVAL)
        return self.channels.get(port) or Channel(FREE)

    def fire(self, port: int) -> None:
        if self.fired is not None:
            self.fired(port)


class EventChannels:
    """All domains' ports, and what connects them."""

    def __init__(self) -> None:
        self._ports: dict[int, Ports] = {}

    def add(self, domid: int, max_port: int) -> Ports:
        ports = self._ports[domid] = Ports(max_port)
        return ports

    def of(self, domid: int) -> Ports:
        """Raises `Refused` with ESRCH if there is no such domain."""
        if domid not in self._ports:
            raise Refused(errno.ESRCH)
        return self._ports[domid]

    def remove(self, domid: int) -> None:
        """The domain is destroyed: its ports close, the other ends are left unbound."""
        for port in list(self._ports[domid].channels):
            if port:
                self.close(domid, port)
        del self._ports[domid]

    def alloc_unbound(self, domid: int, remote: int) -> int:
        ports = self.of(domid)
        port = ports.free_port()
        ports.channels[port] = Channel(UNBOUND, remote)
        return port

    def bind_interdomain(
        self, domid: int, remote: int, remote_port: int, bound: Callable[[int], object] | None = None
    ) -> int:
        """Connect to a port that is unbound for `domid`; `bound` is told our port before it can fire."""
        there = self.of(remote)
        here = self.of(domid)
        port = here.free_port()
        far = there.at(remote_port)
        if far.state != UNBOUND or far.remote != domid:
            raise Refused(errno.EINVAL)
        here.channels[port] = Channel(INTERDOMAIN, remote, remote_port)
        far.state, far.remote, far.remote_port = INTERDOMAIN, domid, port
        if bound is not None:
            bound(port)
        # What was sent before we were bound is lost; Xen makes up for it with one event.
        here.fire(port)
        return port

    def bind_virq(self, domid: int, virq: int) -> int:
        ports = self.of(domid)
        if virq in ports.virqs:
            raise Refused(errno.EEXIST)
        port = ports.free_port()
        ports.channels[port] = Channel(VIRQ, virq=virq)
        ports.virqs[virq] = port
        return port

    def bind_ipi(self, domid: int, vcpu: int) -> int:
        ports = self.of(domid)
        port = ports.free_port()
        channel = ports.channels[port] = Channel(IPI)
        channel.vcpu = vcpu
        return port

    def raise_virq(self, domid: int, virq: int) -> None:
        ports = self.of(domid)
        if virq in ports.virqs:
            ports.fire(ports.virqs[virq])

    def send(self, domid: int, port: int) -> None:
        channel = self.of(domid).at(port)
        if channel.state == INTERDOMAIN:
            self.of(channel.remote).fire(channel.remote_port)
        elif channel.state == IPI:
            self.of(domid).fire(port)
        elif channel.state != UNBOUND:
            raise Refused(errno.EINVAL)

    def close(self, domid: int, port: int) -> None:
        ports = self.of(domid)
        channel = ports.at(port)
        if channel.state in (FREE, RESERVED):
            raise Refused(errno.EINVAL)
        del ports.channels[port]
        if channel.state == INTERDOMAIN:
            far = self.of(channel.remote).channels[channel.remote_port]
            far.state, far.remote, far.remote_port = UNBOUND, domid, 0
        elif channel.state == VIRQ:
            del ports.virqs[channel.virq]

    def reset(self, domid: int) -> None:
        for port in list(self.of(domid).channels):
            if port:
                self.close(domid, port)
