"""Devices as libxl lists them: there are some, there are none, or it cannot read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xentool.errors import LibxlError
from xentool.toolstack.libxl import devices, domains
from xentool.units import DomId

if TYPE_CHECKING:
    from xentool.toolstack.libxl.context import Context


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the domid, there is a domain."""
    monkeypatch.setattr(domains, "info", lambda _context, domid: {"domid": domid})


def test_no_array_is_no_device(context: Context) -> None:
    assert devices.listed(context, DomId(1), "vif") == []


def test_an_array_is_read_whole(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.library, "size_of", lambda _struct: 4)
    assert devices.listed(context, DomId(2), "vif") == [{"mtu": 9}] * 2


def test_what_libxl_cannot_read_is_not_nothing(context: Context) -> None:
    with pytest.raises(LibxlError, match=r"list nic devices of domain 5: .*no backend path") as failed:
        devices.listed(context, DomId(5), "network")
    assert "libxl_nic.c:12" in failed.value.detail
