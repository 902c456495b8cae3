"""Domain-0's guards of interfaces: what `xentool.dom0.port.Firewall` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.domain0 import MAC, PORT
from xentool.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from tests.contract.domain0 import Sysadmin
    from xentool.dom0.port import Dom0


def test_guards(dom0: Dom0) -> None:
    firewall = dom0.firewall
    firewall.check()
    try:
        firewall.guard("ctvif", MAC, ["192.0.2.7", "2001:db8::/64"])
        assert set(firewall.guarded()["ctvif"]) == {"192.0.2.7", "2001:db8::/64"}
        firewall.guard("ctvif", MAC, [])
        assert list(firewall.guarded()["ctvif"]) == []
    finally:
        firewall.unguard("ctvif")
    assert "ctvif" not in firewall.guarded()
    firewall.unguard("ctvif")


def test_no_guards_for_nonsense(dom0: Dom0) -> None:
    for name, mac, addresses in (
        ("ctvif", "00:16:3e", []),
        ("ctvif", MAC, ["192.0.2.777"]),
        ("a name; drop", MAC, []),
    ):
        with pytest.raises(ConfigError):
            dom0.firewall.guard(name, mac, addresses)
    with pytest.raises(NotFoundError):
        dom0.firewall.guard("ct-nobody", MAC, [], bridged=False)
    dom0.firewall.guard("ct-nobody", MAC, [], bridged=False, awaited=True)
    dom0.firewall.unguard("ct-nobody")
    assert "ct-nobody" not in dom0.firewall.guarded()
    assert "ctvif" not in dom0.firewall.guarded()


def test_a_guard_out_of_a_bridge_can_be_taken_away_after_its_interface(admin: Sysadmin, dom0: Dom0) -> None:
    dom0.firewall.guard(PORT, MAC, ["192.0.2.7"], bridged=False)
    assert list(dom0.firewall.guarded()[PORT]) == ["192.0.2.7"]
    admin.delete(PORT)
    dom0.firewall.unguard(PORT)  # Linux, since 6.16, keeps it for whoever is called so next
    assert PORT not in dom0.firewall.guarded()
