"""What the toolstack's processes ask of the mock Domain-0's system, on a Unix socket.

A packet is a request, ``{"n": 3, "do": "set_mtu", "with": {…}}`` in JSON, and the answer is
another, ``{"n": 3, "result": …}`` or ``{"n": 3, "error": [class, action, subject, reason, hint]}``.
A loop device is held open by the connection that attached it, and let go when it closes.
"""

from __future__ import annotations

import json
import os

from xentool.errors import HostError, XentoolError
from xentool.mockhost.listening import Listener
from xentool.mockhost.network import Guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from xentool.mockhost.blocks import BlockTable, LoopDevice
    from xentool.mockhost.bounded import Log
    from xentool.mockhost.loop import Loop
    from xentool.mockhost.network import Interface, Network

SOCKET_NAME = "dom0.sock"
PACKET_BYTES = 1 << 17
_VALUES: dict[str, type | tuple[type, ...]] = {
    "name": str, "new_name": str, "mtu": int, "mac": str, "up": bool, "bridge": str, "vlan": str,
    "address": str, "source": (str, type(None)), "addresses": list, "path": str, "image": str,
    "read_only": bool, "direct_io": bool, "number": int, "is_bridge": bool, "bridged": bool,
    "vlan_filtering": bool,
}  # fmt: skip
"""What may be asked with, and of which type it is."""


class Dom0Server:
    """Accepts callers on a socket at `path`."""

    def __init__(
        self,
        loop: Loop,
        network: Network,
        blocks: BlockTable,
        log: Log,
        path: str,
        changed: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.network = network
        self.blocks = blocks
        self.log = log
        self.changed = changed
        self.callers: set[Dom0Caller] = set()
        self._listener = Listener(loop, path, log, self._came)

    def _came(self, connection: socket.socket) -> None:
        self.callers.add(Dom0Caller(self, connection))
        self.changed()

    def close(self) -> None:
        self._listener.close()
        for caller in list(self.callers):
            caller.close()


class Dom0Caller:
    """One connection: the loop devices that it holds open, the interfaces that it waits for."""

    def __init__(self, server: Dom0Server, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._held: dict[int, LoopDevice] = {}
        self._give_up: list[Callable[[], object]] = []
        server.loop.watch(connection.fileno(), self._ready)

    def _ready(self, _events: int) -> None:
        try:
            data = self._socket.recv(PACKET_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            request = json.loads(data)
            number, what, values = request["n"], request["do"], request["with"]
            method = getattr(self, f"do_{what}")
            for name, value in values.items():
                if not isinstance(value, _VALUES[name]):
                    raise TypeError(name)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._server.log.line(f"dom0: not a request: {data[:200]!r}")
            self.close()
            return
        self._carry_out(method, number, values, answer_now=what != "wait_for")

    def _carry_out(
        self, method: Callable[..., object], number: int, values: dict[str, object], *, answer_now: bool
    ) -> None:
        try:
            result = method(**values) if answer_now else method(number=number, **values)
        except XentoolError as error:
            said = [type(error).__name__, error.action, error.subject, error.reason, error.hint]
            self._answer({"n": number, "error": said})
        except TypeError as error:  # of another version: it asks with other values
            self._server.log.line(f"dom0: {error}")
            self.close()
        else:
            if answer_now:
                self._answer({"n": number, "result": result})

    def _answer(self, answer: dict[str, object]) -> None:
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.send(json.dumps(answer).encode())
        except OSError:
            self.close()

    # -- links -----------------------------------------------------------------

    def do_links(self) -> list[dict[str, object]]:
        return [interface.as_dict() for interface in self._server.network.all()]

    def do_find(self, name: str) -> dict[str, object] | None:
        found = self._server.network.find(name)
        return None if found is None else found.as_dict()

    def do_wait_for(self, name: str, number: int) -> None:
        def there(interface: Interface) -> None:
            self._answer({"n": number, "result": interface.as_dict()})

        self._give_up.append(self._server.network.when_there(name, there))

    def do_add(self, name: str, is_bridge: bool, mtu: int, vlan_filtering: bool) -> None:
        interface = self._server.network.add(name, mac="02:00:00:00:00:01", is_bridge=is_bridge, mtu=mtu)
        interface.up = is_bridge
        interface.filters_vlans = vlan_filtering

    def do_delete(self, name: str) -> None:
        network = self._server.network
        interface = network.get(name, "delete interface")
        if interface.owner:
            raise HostError(
                "delete interface", name, f"its driver does not let it go: it is {interface.owner}'s"
            )
        network.remove(interface)

    def do_rename(self, name: str, new_name: str) -> None:
        self._server.network.rename(name, new_name)

    def do_set_mtu(self, name: str, mtu: int) -> None:
        self._server.network.set_mtu(name, mtu)

    def do_set_mac(self, name: str, mac: str) -> None:
        self._server.network.set_mac(name, mac)

    def do_set_up(self, name: str, up: bool) -> None:
        self._server.network.set_up(name, up)

    def do_add_to_bridge(self, name: str, bridge: str) -> None:
        self._server.network.add_to_bridge(name, bridge)

    def do_release_from_bridge(self, name: str) -> None:
        self._server.network.release_from_bridge(name)

    def do_set_port_vlan(self, name: str, vlan: str) -> None:
        self._server.network.set_port_vlan(name, vlan)

    def do_set_address(self, name: str, address: str) -> None:
        self._server.network.set_address(name, address)

    def do_add_route(self, address: str, name: str, source: str | None) -> None:
        self._server.network.add_route(address, name, source)

    def do_set_proxy_arp(self, name: str) -> None:
        self._server.network.set_proxy_arp(name)

    # -- the firewall -------------------------------------------------------------

    def do_guard(self, name: str, mac: str, addresses: list[str], bridged: bool) -> None:
        network = self._server.network
        if not bridged:
            network.get(name, "guard interface")
        network.guards[name] = Guard(mac, addresses, bridged=bridged)

    def do_unguard(self, name: str) -> None:
        self._server.network.guards.pop(name, None)

    def do_guards(self) -> dict[str, dict[str, object]]:
        return {name: guard.as_dict() for name, guard in self._server.network.guards.items()}

    # -- blocks -------------------------------------------------------------------

    def do_attach_loop(self, image: str, read_only: bool, direct_io: bool) -> dict[str, object]:
        device = self._server.blocks.attach(image, read_only=read_only, direct_io=direct_io)
        self._held[device.number] = device
        return device.as_dict()

    def do_keep_loop(self, number: int) -> None:
        if number in self._held:
            self._held[number].autoclear = False

    def do_close_loop(self, number: int) -> None:
        device = self._held.pop(number, None)
        if device is not None:
            self._server.blocks.put(device)

    def do_detach_loop(self, path: str, image: str) -> None:
        self._server.blocks.detach(path, image)

    def do_loops(self) -> list[dict[str, object]]:
        return [device.as_dict() for device in self._server.blocks.all()]

    def do_describe_loop(self, path: str) -> dict[str, object] | None:
        device = self._server.blocks.find(path)
        return None if device is None else device.as_dict()

    # -- its end --------------------------------------------------------------------

    def close(self) -> None:
        """What the kernel does for a process that ends."""
        if self._socket.fileno() < 0:
            return
        self._server.loop.forget(self._socket.fileno())
        self._socket.close()
        for give_up in self._give_up:
            give_up()
        for device in self._held.values():
            self._server.blocks.put(device)
        self._held.clear()
        self._server.callers.discard(self)
        self._server.changed()


def socket_path(directory: str) -> str:
    return os.path.join(directory, SOCKET_NAME)
