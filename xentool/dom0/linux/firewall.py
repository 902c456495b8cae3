"""The virtual firewall-router on Linux: `xentool.dom0.port.Firewall` by nftables.

What the kernel holds is the truth: nothing is kept here, or in files, between two commands.
Each change is one netlink batch, so that commands at the same time don't meet half of another's.
"""

from __future__ import annotations

import errno
import os

from xentool.dom0.linux import ruleset
from xentool.dom0.linux.nft import Nft, NftError
from xentool.errors import NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NftFirewall:
    """Implements `xentool.dom0.port.Firewall`; the library is loaded when it is first needed."""

    def __init__(self) -> None:
        self._nft: Nft | None = None

    def check(self) -> None:
        """Try the table that all guards share, without making it."""
        try:
            self._run(ruleset.skeleton_commands(), dry_run=True)
        except NftError as exc:
            raise exc.about("filter what guests send with", "nftables") from exc

    def guard(
        self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True, awaited: bool = False
    ) -> None:
        lock = ruleset.Lock(name, mac, addresses)
        commands = ruleset.guard_commands(name, lock) if bridged else []
        while True:
            there = _has_device(name)
            if not there and awaited:
                self._guard_awaited(name, lock)
                return
            if not there and not bridged:
                raise NotFoundError(
                    "guard interface", name, "there is none, and out of a bridge it must be there first"
                )
            on_device = ruleset.device_commands(name, lock, bridged=bridged) if there else []
            try:
                self._run(commands + on_device)
            except NftError as exc:
                if there and not _has_device(name):
                    continue  # it went just then
                raise exc.about("guard interface", name) from exc
            return

    def _guard_awaited(self, name: str, lock: ruleset.Lock) -> None:
        """Since Linux 6.16 a chain belongs to an interface's name: one that is renamed leaves it.

        There it can be made before there is an interface called so, and takes it up in the moment of
        the renaming. Before, it cannot, and need not: what was made under the old name stays.
        """
        try:
            self._run(ruleset.device_commands(name, lock, bridged=False))
        except NftError as exc:
            if os.strerror(errno.ENOENT) not in exc.detail:
                raise exc.about("guard interface", name) from exc

    def unguard(self, name: str) -> None:
        for family in self._families():
            try:
                self._run(ruleset.unguard_commands(name, family))
            except NftError as exc:
                raise exc.about("remove the rules of interface", name) from exc

    def guarded(self) -> Mapping[str, Sequence[str]]:
        from xentool.dom0.linux.guards import read_devices, read_guards

        found: dict[str, Sequence[str]] = {}
        for family in self._families():
            command = [f"list table {family} {ruleset.TABLE}"]
            devices = read_devices(self._run(command)) if family == "netdev" else {}
            found |= read_guards(family, self._run(command, json=True), devices)
        return found

    def _families(self) -> list[str]:
        """In which families there is a table of ours."""
        tables = self._run(["list tables"]).split("\n")
        return [family for family in ruleset.FAMILIES if f"table {family} {ruleset.TABLE}" in tables]

    def _run(self, commands: list[str], *, json: bool = False, dry_run: bool = False) -> str:
        if self._nft is None:
            self._nft = Nft()
        return self._nft.run("\n".join(commands), json=json, dry_run=dry_run)


def _has_device(name: str) -> bool:
    from _socket import if_nametoindex

    try:
        return if_nametoindex(name) > 0
    except OSError:
        return False
