"""Reading the guards back from nftables: which interfaces are guarded, and with what.

A guard counts only while everything that makes it is there: found by the base chain's rule, with
its chain as long as it was written. What somebody else has flushed or cut is no guard.

Source: libnftables-json(5).
"""

from __future__ import annotations

import json
import re
from types import MappingProxyType

from xentool.dom0.linux import ruleset
from xentool.errors import ConfigError, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class _Table:
    """What one of our tables holds, by name."""

    __slots__ = ("chains", "maps", "sets")

    def __init__(self, text: str) -> None:
        self.chains: dict[str, list[list[dict[str, Any]]]] = {}
        self.maps: dict[str, list[Any]] = {}
        self.sets: dict[str, list[Any]] = {}
        for entry in json.loads(text)["nftables"]:
            for kind, thing in entry.items():
                if kind == "chain":
                    self.chains.setdefault(thing["name"], [])
                elif kind == "rule":
                    self.chains.setdefault(thing["chain"], []).append(thing["expr"])
                elif kind == "map":
                    self.maps[thing["name"]] = thing.get("elem", [])
                elif kind == "set":
                    self.sets[thing["name"]] = thing.get("elem", [])


def read_devices(listing: str) -> dict[str, str]:
    """Chains and their interfaces, of ``nft list table``: nft 1.0.6 leaves them out of its JSON.

    Before Linux 6.16 an interface that is renamed keeps its chain, and is listed there by its new name.
    """
    on_device = r'chain (\S+) \{\n\s*type filter hook ingress device "([^"]+)"'
    return dict(re.findall(on_device, listing))


def read_guards(
    family: str, listing: str, devices: Mapping[str, str] = MappingProxyType({})
) -> dict[str, tuple[str, ...]]:
    """The addresses of each guarded interface, of ``nft --json list table`` and of `read_devices`.

    Raises:
        HostError: the listing is not what nftables documents.
    """
    try:
        table = _Table(listing)
        entries = _bridged(table) if family == "bridge" else _on_devices(table, devices)
        guards = {}
        for device, name, chain in entries:
            lock = _lock(table, name) if chain == ruleset.chain_name(name) else None
            if lock is not None:
                guards[device] = lock.addresses
    except (ConfigError, ValueError, KeyError, TypeError, IndexError, AttributeError) as exc:
        raise HostError(
            "read the rules of table",
            f"{family} {ruleset.TABLE}",
            f"nftables lists what xentool does not write ({type(exc).__name__}: {exc})",
            hint=f"`nft list table {family} {ruleset.TABLE}` shows it",
        ) from exc
    return guards


def _bridged(table: _Table) -> list[tuple[str, str, str]]:
    """The interfaces in the map, that name again, and their chains, if both base chains still ask it."""
    for base in ruleset.BASE_RULES:
        rules = table.chains.get(base, [])
        if len(rules) != 1 or rules[0][-1].get("vmap", {}).get("data") != f"@{ruleset.MAP}":
            return []
    return [(name, name, verdict["goto"]["target"]) for name, verdict in table.maps.get(ruleset.MAP, [])]


def _on_devices(table: _Table, devices: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The interfaces with a base chain of their own, the name that it was made for, the chain it leads to."""
    prefix = ruleset.base_name("")
    found = []
    for chain, rules in table.chains.items():
        if chain.startswith(prefix) and rules:
            name = ruleset.unescaped(chain.removeprefix(prefix))
            found.append((devices.get(chain, name), name, rules[0][0]["goto"]["target"]))
    return found


def _lock(table: _Table, name: str) -> ruleset.Lock | None:
    rules = table.chains.get(ruleset.chain_name(name), [])
    if not rules or "match" not in rules[0][0]:
        return None
    sets = (table.sets.get(ruleset.set_name(name, version), []) for version in (4, 6))
    lock = ruleset.Lock(
        name, rules[0][0]["match"]["right"], [_element(element) for elements in sets for element in elements]
    )
    return lock if len(rules) == len(ruleset.lock_rules(name, lock)) else None


def _element(element: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(element, str):
        return element
    if "prefix" in element:
        return f"{element['prefix']['addr']}/{element['prefix']['len']}"
    first, last = element["range"]
    return f"{first}-{last}"
