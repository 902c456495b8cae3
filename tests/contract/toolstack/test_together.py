"""What one toolstack made the other manages: they share the store, the userdata and the rules."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.contract.toolstack.conftest import changed
from tests.contract.toolstack.hosts import BRIDGE, OnXen
from xentool.cli.backends import open_backend
from xentool.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.toolstack.port import Toolstack

pytestmark = [pytest.mark.nested, pytest.mark.once]


@pytest.fixture(scope="module")
def xen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnXen]:
    place = OnXen("native-xen", tmp_path_factory.mktemp("toolstack"))
    yield place
    place.close()


@pytest.fixture(scope="module")
def toolstacks() -> Iterator[dict[str, Toolstack]]:
    """All that can be chosen, each with connections of its own."""
    with ExitStack() as opened:
        found = {}
        for name in ("native", "libxl", "auto"):
            backend = opened.enter_context(open_backend("xen"))
            backend.choose(name)
            found[name] = backend.toolstack
        yield found


@pytest.mark.parametrize(("maker", "keeper"), [("native", "libxl"), ("libxl", "auto")])
def test_what_one_made_the_other_manages(
    xen: OnXen, toolstacks: dict[str, Toolstack], maker: str, keeper: str
) -> None:
    before = xen.state()
    domid = toolstacks[maker].create(xen.config("ct-shared"), paused=True)
    toolstack = toolstacks[keeper]
    assert toolstack.resolve("ct-shared") == domid
    assert toolstack.config_of(domid) == toolstacks[maker].config_of(domid)
    assert toolstack.attach_vif("ct-shared", [f"bridge={BRIDGE}"]) == (domid, 0)
    assert toolstacks[maker].detach_vif("ct-shared", "0", force=True) == (domid, 0)
    for taken in (True, False):  # one that is taken out, and one that goes with its domain
        _, devid = toolstacks["native"].attach_vif("ct-shared", [f"bridge={BRIDGE}", "lock"])
        assert f"vif{domid}.{devid}" in xen.host.dom0.firewall.guarded()
        assert list(toolstack.locked_vifs(domid)) == [devid]
        if taken:
            toolstack.detach_vif("ct-shared", str(devid), force=True)
            assert not xen.host.dom0.firewall.guarded()
    toolstack.unpause(domid)
    assert toolstacks[maker].domain(domid).state[2] == "-"
    toolstack.destroy(domid)
    assert not xen.host.dom0.firewall.guarded()
    assert changed(xen, before) == {}  # the last of a domain may take a moment to go
    with pytest.raises(NotFoundError):
        toolstacks[maker].domain(domid)
