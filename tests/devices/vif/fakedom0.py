"""A Domain-0 of tables, which notes in order what it is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xentool.errors import HostError, NotFoundError, TimedOutError
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xentool.dom0.port import Blocks, Daemons
    from xentool.units import DomId

GUEST, OTHER = 7, 8
UUID = "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"


class FakeLink:
    def __init__(self, name: str, *, is_bridge: bool = False, mtu: int = 1500) -> None:
        self.name = name
        self.index = 1
        self.mtu = mtu
        self.is_bridge = is_bridge
        self.bridge: str | None = None


class FakeLinks:
    """Methods that change something are noted with their words."""

    def __init__(self, done: list[str]) -> None:
        self._done = done
        self.all = {
            "xenbr0": FakeLink("xenbr0", is_bridge=True),
            "br1": FakeLink("br1", is_bridge=True, mtu=1400),
            "eth0": FakeLink("eth0"),
        }
        self.addresses = {"eth0": "192.168.1.2"}
        self.vifs: dict[tuple[int, int], str] = {}
        self.iptables = False

    def find(self, name: str) -> FakeLink | None:
        return self.all.get(name)

    def bridges(self) -> Sequence[str]:
        return sorted(name for name, link in self.all.items() if link.is_bridge)

    def of_vif(self, domid: DomId, devid: int) -> str | None:
        return self.vifs.get((domid, devid))

    def filters_bridged(self) -> bool:
        return self.iptables

    def wait_for(self, name: str, timeout_seconds: float) -> FakeLink:
        if name not in self.all:
            raise TimedOutError("wait for", name, "it did not come")
        return self.all[name]

    def rename(self, name: str, new_name: str) -> None:
        self._note("rename", name, new_name)
        link = self.all[new_name] = self.all.pop(name)
        link.name = new_name

    def set_mtu(self, name: str, mtu: int) -> None:
        self._note("mtu", name, mtu)

    def set_mac(self, name: str, mac: str) -> None:
        self._note("mac", name, mac)

    def set_up(self, name: str, up: bool = True) -> None:
        if name not in self.all:
            raise NotFoundError("bring up", name, "it is not there")
        self._note("up" if up else "down", name)

    def add_to_bridge(self, name: str, bridge: str) -> None:
        self._note("add", name, bridge)

    def release_from_bridge(self, name: str) -> None:
        self._note("release", name)

    def set_port_vlan(self, name: str, vlan: str) -> None:
        self._note("vlan", name, vlan)

    def address(self, name: str) -> str | None:
        return self.addresses.get(name)

    def set_address(self, name: str, address: str) -> None:
        self._note("address", name, address)

    def add_route(self, address: str, name: str, source: str | None = None) -> None:
        self._note("route", address, name, source)

    def set_proxy_arp(self, name: str) -> None:
        self._note("proxy-arp", name)

    def _note(self, *words: object) -> None:
        self._done.append(" ".join(map(str, words)))


class FakeFirewall:
    def __init__(self, done: list[str]) -> None:
        self._done = done
        self.works = True
        self.there: dict[str, Sequence[str]] = {}

    def check(self) -> None:
        if not self.works:
            raise HostError("filter with", "nftables", "there is none")

    def guard(
        self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True, awaited: bool = False
    ) -> None:
        where = "awaited" if awaited else "bridged" if bridged else "alone"
        self._done.append(f"guard {name} {mac} {'+'.join(addresses)} {where}")

    def unguard(self, name: str) -> None:
        self.check()
        self._done.append(f"unguard {name}")

    def guarded(self) -> Mapping[str, Sequence[str]]:
        self.check()
        return self.there


class FakePrograms:
    """`answers` has, for a program, what it exits with and says; one that is not in it is not there."""

    def __init__(self, done: list[str]) -> None:
        self._done = done
        self.answers: dict[str, tuple[int, str] | Callable[[], tuple[int, str]]] = {}
        self.environments: list[Mapping[str, str]] = []

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        self._done.append("run " + " ".join(words))
        self.environments.append(environment)
        if words[0] not in self.answers:
            raise NotFoundError("run", words[0], "there is no such file")
        answer = self.answers[words[0]]
        return answer() if callable(answer) else answer

    def exists(self, path: str) -> bool:
        return path in self.answers

    def find(self, name: str) -> str | None:
        return name if name in self.answers else None


class FakeDom0:
    """Implements `xentool.dom0.port.Dom0`, as far as vifs need it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.links = FakeLinks(self.done)
        self.firewall = FakeFirewall(self.done)
        self.programs = FakePrograms(self.done)
        self.hooked: list[str] = []

    def hooks(self, folder: str) -> Sequence[str]:
        return self.hooked

    @property
    def blocks(self) -> Blocks:
        raise AssertionError("a vif has no blocks")

    @property
    def daemons(self) -> Daemons:
        raise AssertionError("a vif has no QEMU")


class FakeHost:
    """A `DeviceHost` with a store of two domains, and their interfaces there already."""

    run_directory = "/nonexistent"

    def __init__(self) -> None:
        self.dom0 = FakeDom0()
        self.store = StoreClient(transport=LocalTransport(Server().connect()))
        for domid, name in ((GUEST, "web"), (OTHER, "db")):
            self.store.write(f"/local/domain/{domid}/name", name)
            self.store.write(f"/local/domain/{domid}/vm", f"/vm/{domid}")
            self.store.write(f"/vm/{domid}/name", name)
            self.store.write(f"/vm/{domid}/uuid", UUID)
            self.store.mkdir(f"/libxl/{domid}")
        self.links = self.dom0.links

    def vif_came(self, devid: int = 0, name: str = "") -> None:
        """What netback does."""
        name = name or f"vif{GUEST}.{devid}"
        self.links.all[name] = FakeLink(name)
        self.links.vifs[GUEST, devid] = name

    @property
    def done(self) -> list[str]:
        """What was done so far; from now on it is forgotten."""
        done = list(self.dom0.done)
        self.dom0.done.clear()
        return done
