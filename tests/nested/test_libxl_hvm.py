"""HVM guests, which libxl makes: their QEMU and firmware, made by one tool and ended by the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, device_models, write_config
from tests.nested.traffic import BRIDGE, TOOL
from tests.nested.witness import world

pytestmark = pytest.mark.usefixtures("nothing_of_libxl_s")


@pytest.mark.once  # what is about Xen in it, the parity of HVM guests looks at
def test_an_hvm_guest_and_its_qemu_come_and_go(dom0: Dom0, tmp_path: Path) -> None:
    with world(dom0) as image:
        config = write_config(
            tmp_path / "hvm.cfg", name="hvm", type="hvm", memory=64, vga="none", serial="pty",
            vif=[f"bridge={BRIDGE},mac=00:16:3e:00:00:07"], disk=[f"{image},raw,xvda,w"],
        )  # fmt: skip
        for maker, ender in ((TOOL, "xl"), ("xl", TOOL)):
            dom0.run(maker, "create", "-p", "-q", str(config))
            assert len(device_models()) == 1
            for command in (("network-list",), ("block-list",), ("list", "-l")):
                assert dom0.xentool(*command, "hvm").stdout == dom0.xl(*command, "hvm").stdout
            dom0.run(ender, "unpause", "hvm")
            dom0.run(ender, "destroy", "hvm")
            assert (dom0.domids(), device_models()) == ([0], [])


@pytest.mark.once
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("device_model_override", "device model /nowhere/at-all is not executable"),
        ("firmware_override", "the firmware that an HVM guest starts with is not on this host"),
        ("bios_path_override", "the firmware that an HVM guest starts with is not on this host"),
    ],
)
def test_what_an_hvm_guest_cannot_be_without(dom0: Dom0, tmp_path: Path, key: str, words: str) -> None:
    config = write_config(
        tmp_path / "lacks.cfg", name="lacks", type="hvm", memory=64, vga="none", **{key: "/nowhere/at-all"}
    )
    done = dom0.run(TOOL, "create", "-p", "-q", str(config), check=False)
    assert done.returncode, done.stdout
    first, *rest = done.stderr.splitlines()
    assert words in first, done.stderr
    assert any(line.startswith("hint: apt-get install ") for line in rest), done.stderr
    assert "Traceback" not in done.stderr
    assert dom0.domids() == [0]
