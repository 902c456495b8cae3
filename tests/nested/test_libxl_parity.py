"""The same config through xl and through libxl by us: store, permissions, record and `xl list -l`.

What differs and may differ stands in `EXPLAINED`, each with its reason.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.nested.dom0 import USERDATA, Dom0, device_models_left, loops_in_use, tiny_kernel, write_config
from tests.nested.test_parity import UUID, normalised
from tests.nested.traffic import BRIDGE
from tests.nested.waiting import settled
from tests.nested.witness import world
from tests.support import elfwriter

pytestmark = pytest.mark.usefixtures("nothing_of_libxl_s")

# Path (domid as D, uuid as U) -> why its value differs from xl's.
EXPLAINED = {"/local/domain/D/image/device-model-pid": "the number of QEMU's process"}

ENTRY = 0x10_0000


def pvh_kernel(folder: Path) -> str:
    """A kernel that PVH's builder takes; it is never run."""
    path = folder / "pvh.elf"
    path.write_bytes(elfwriter.pv_kernel(PHYS32_ENTRY=ENTRY))
    return str(path)


def keys_of(kind: str, folder: Path, image: str) -> dict[str, object]:
    vif, disk = [f"bridge={BRIDGE},mac=00:16:3e:00:00:01"], [f"{image},raw,xvda,w"]
    if kind == "pv":
        return {"kernel": tiny_kernel(), "memory": 16, "disk": disk, "vcpus": 2, "on_crash": "preserve"}
    if kind == "pvh":
        return {
            "kernel": pvh_kernel(folder),
            "memory": 32,
            "vif": vif,
            "cmdline": "some words",
            "maxvcpus": 2,
        }
    return {
        "memory": 64, "vif": vif, "disk": [*disk, ",raw,hdc,r,cdrom"], "serial": "pty", "boot": "dc",
        "usb": 1, "usbdevice": "tablet", "vnclisten": "127.0.0.1", "vncunused": 1, "videoram": 8,
    }  # fmt: skip


def created(dom0: Dom0, tool: str, config: Path) -> tuple[dict[str, str], object, str, set[str]]:
    """Store, what `xl list -l` says, libxl's record and the userdata files' names of a domain of `config`."""
    dom0.run(tool, "create", "-p", "-q", str(config))
    domid = int(dom0.xl("domid", "same").stdout)
    try:
        dom0.console_tty(domid)
        tree = normalised(dom0.run("xenstore-ls", "-fp").stdout, domid)
        (entry,) = json.loads(dom0.xl("list", "-l", "same").stdout)
        files = list(USERDATA.glob(f"userdata-*.{domid}.{UUID}.*"))
        (record,) = [path for path in files if path.name.endswith("libxl-json")]
        names = {path.name.replace(str(domid), "D", 1) for path in files}
        return tree, entry["config"], record.read_text(), names
    finally:
        dom0.run(tool, "destroy", str(domid))
        dom0.domids()  # waits until it is gone: the next finds the host as it did
        # Or the next gets another loop device, and its QEMU listens elsewhere.
        assert settled(loops_in_use, {}) == {}
        assert device_models_left() == []


@pytest.mark.parametrize("kind", ["pv", "pvh", "hvm"])
def test_domains_equal_xls(dom0: Dom0, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENTOOL_TOOLSTACK", "libxl")
    with world(dom0) as image:
        config = write_config(
            tmp_path / "same.cfg", name="same", type=kind, uuid=UUID, **keys_of(kind, tmp_path, image)
        )
        their_tree, *theirs = created(dom0, "xl", config)
        our_tree, *ours = created(dom0, "xentool", config)
    differing = {
        path: (their_tree.get(path), our_tree.get(path))
        for path in their_tree.keys() | our_tree.keys()
        if their_tree.get(path) != our_tree.get(path)
    }
    assert any("/device/" in path for path in their_tree), "xl's domain has devices to compare with"
    assert set(differing) - set(EXPLAINED) == set(), differing
    assert ours == theirs
