"""The virtual firewall-router on Linux: `xentool.dom0.port.Firewall` by nftables.

What the kernel holds is the truth: nothing is kept here, or in files, between two commands.
Each change is one netlink batch, so that commands at the same time don't meet half of another's.
"""

from __future__ import annotations

from xentool.dom0.linux import ruleset
from xentool.dom0.linux.nft import Nft, NftError
from xentool.errors import HostError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class NftFirewall:
    """Implements `xentool.dom0.port.Firewall`; the library is loaded when it is first needed."""

    def __init__(self) -> None:
        self._nft: Nft | None = None

    def check(self) -> None:
        """Try the table that all guards share, without making it."""
        try:
            self._run("\n".join(ruleset.skeleton_commands()), dry_run=True)
        except NftError as exc:
            raise HostError(
                "filter what guests send with",
                "nftables",
                exc.reason,
                hint=exc.hint,
                detail=exc.detail,
            ) from exc

    def guard(self, name: str, mac: str, addresses: Sequence[str], *, bridged: bool = True) -> None:
        lock = ruleset.Lock(name, mac, addresses)
        try:
            self._run(ruleset.guard_commands(name, lock, bridged=bridged))
        except NftError as exc:
            if not bridged and "No such file or directory" in exc.detail and not _has_device(name):
                raise NotFoundError(
                    "guard interface", name, "there is none, and out of a bridge it must be there first"
                ) from exc
            raise HostError("guard interface", name, exc.reason, hint=exc.hint, detail=exc.detail) from exc

    def unguard(self, name: str) -> None:
        for family in self._families():
            try:
                self._run(ruleset.unguard_commands(name, family))
            except NftError as exc:
                raise HostError(
                    "remove the rules of interface", name, exc.reason, hint=exc.hint, detail=exc.detail
                ) from exc

    def guarded(self) -> Mapping[str, Sequence[str]]:
        from xentool.dom0.linux.guards import read_guards

        found: dict[str, Sequence[str]] = {}
        for family in self._families():
            found |= read_guards(family, self._run(f"list table {family} {ruleset.TABLE}", json=True))
        return found

    def _families(self) -> list[str]:
        """In which families there is a table of ours."""
        tables = self._run("list tables").split("\n")
        return [family for family in ruleset.FAMILIES if f"table {family} {ruleset.TABLE}" in tables]

    def _run(self, commands: str, **options: Any) -> str:  # noqa: ANN401 - as `Nft.run` has them
        if self._nft is None:
            self._nft = Nft()
        return self._nft.run(commands, **options)


def _has_device(name: str) -> bool:
    import os

    return os.path.exists(f"/sys/class/net/{name}")
