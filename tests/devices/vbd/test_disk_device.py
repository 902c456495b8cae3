"""A disk's backend, and its nodes: those that xl leaves, read off `xenstore-ls -fp` on Xen 4.17 and 4.20."""

from __future__ import annotations

import pytest

from xentool.devices.nodes import device_nodes
from xentool.devices.vbd.device import backend_type, disk_device, medium_of
from xentool.devices.vbd.spec import parse_disk
from xentool.errors import ConfigError
from xentool.units import DomId

RUN = "/run/xentool"
COMMON = {"frontend-id": "7", "online": "1", "bootable": "1", "state": "1", "specification": "xen"}
XL_BACK = {
    "/a.img,raw,xvda,rw": {
        "params": "/a.img", "script": "/etc/xen/scripts/block", "removable": "0", "dev": "xvda",
        "type": "phy", "mode": "w", "device-type": "disk", "discard-enable": "1",
    },
    "/a.img,,d26p0,r": {
        "params": "/a.img", "script": "/etc/xen/scripts/block", "removable": "0", "dev": "d26p0",
        "type": "phy", "mode": "r", "device-type": "disk", "discard-enable": "0",
    },
    "/d.img,,xvdb,r,discard": {
        "params": "/d.img", "script": "/etc/xen/scripts/block", "removable": "0", "dev": "xvdb",
        "type": "phy", "mode": "r", "device-type": "disk", "discard-enable": "1",
    },
    "/cd.iso,,xvdc,w,devtype=cdrom": {
        "params": "/cd.iso", "script": "/etc/xen/scripts/block", "removable": "1", "dev": "xvdc",
        "type": "phy", "mode": "r", "device-type": "cdrom", "discard-enable": "0",
    },
    "script=block-note,vdev=xvdd,target=some:thing": {
        "params": "some:thing", "script": "/etc/xen/scripts/block-note", "removable": "0", "dev": "xvdd",
        "type": "phy", "mode": "w", "device-type": "disk", "discard-enable": "1",
    },
    "/f.img,,xvde,script=/opt/mine,access=r": {
        "params": "/f.img", "script": "/opt/mine", "removable": "0", "dev": "xvde",
        "type": "phy", "mode": "r", "device-type": "disk", "discard-enable": "0",
    },
    "/e.img,,xvdc,direct-io-safe,no-discard": {
        "params": "/e.img", "script": "/etc/xen/scripts/block", "removable": "0", "dev": "xvdc",
        "type": "phy", "mode": "w", "device-type": "disk", "direct-io-safe": "1", "discard-enable": "0",
    },
    "/q.qcow2,qcow2,xvda": {
        "params": "qcow2:/q.qcow2", "removable": "0", "dev": "xvda",
        "type": "qdisk", "mode": "w", "device-type": "disk", "discard-enable": "1",
    },
    "/a.img,,xvdc,backendtype=qdisk": {
        "params": "aio:/a.img", "removable": "0", "dev": "xvdc",
        "type": "qdisk", "mode": "w", "device-type": "disk", "discard-enable": "1",
    },
    "vdev=xvdd,cdrom,backendtype=qdisk": {
        "params": "aio:", "removable": "1", "dev": "xvdd",
        "type": "qdisk", "mode": "r", "device-type": "cdrom", "discard-enable": "0",
    },
    "/v.vhd,vhd,xvde": {
        "params": "vhd:/v.vhd", "removable": "0", "dev": "xvde",
        "type": "qdisk", "mode": "w", "device-type": "disk", "discard-enable": "1",
    },
}  # fmt: skip


def nodes_of(text: str) -> dict[str, tuple[str, tuple[str, ...] | None]]:
    device = disk_device(parse_disk(text), RUN)
    return {
        node.path: (node.value, node.permissions) for node in device_nodes(device, device.address(DomId(7)))
    }


def below(nodes: dict[str, tuple[str, tuple[str, ...] | None]], path: str) -> dict[str, str]:
    return {name[len(path) + 1 :]: value for name, (value, _) in nodes.items() if name.startswith(path + "/")}


@pytest.mark.parametrize("text", XL_BACK)
def test_nodes_are_xls(text: str) -> None:
    nodes = nodes_of(text)
    disk, theirs = parse_disk(text), COMMON | XL_BACK[text]
    kind = "qdisk" if theirs["type"] == "qdisk" else "vbd"
    front, back = f"/local/domain/7/device/vbd/{disk.devid}", f"/local/domain/0/backend/{kind}/7/{disk.devid}"
    record = f"/libxl/7/device/vbd/{disk.devid}"
    assert below(nodes, back) == {"frontend": front} | theirs
    assert below(nodes, record) == {"frontend": front, "backend": back} | theirs
    assert below(nodes, front) == {
        "backend": back, "backend-id": "0", "state": "1", "virtual-device": str(disk.devid),
        "device-type": theirs["device-type"], "trusted": "1", "protocol": "x86_64-abi",
    }  # fmt: skip
    assert nodes[front][1] == ("n7", "r0")
    assert nodes[back][1] == ("n0", "r7")
    assert nodes[record][1] == ("n0",)


def test_an_untrusted_backend() -> None:
    assert nodes_of("/a,,xvda,untrusted")["/local/domain/7/device/vbd/51712/trusted"][0] == "0"


def test_an_empty_drive_has_a_file_of_no_bytes() -> None:
    params = nodes_of("vdev=xvda,cdrom")["/local/domain/0/backend/vbd/7/51712/params"][0]
    assert params == f"{RUN}/empty-cdrom"
    assert medium_of({"params": params, "device-type": "cdrom"}) == ""
    assert medium_of({"params": "/var/run/xen/empty-cdrom.7", "device-type": "cdrom"}) == ""
    assert medium_of({"params": "aio:", "device-type": "cdrom"}) == ""
    assert medium_of({"params": "/a/empty-cdrom", "device-type": "disk"}) == "/a/empty-cdrom"


def test_paths_begin_at_dev() -> None:
    back = "/local/domain/0/backend/vbd/7/51712/params"
    assert nodes_of("vg/web,,xvda")[back][0] == "/dev/vg/web"
    assert nodes_of("script=x,vdev=xvda,target=vg/web")[back][0] == "vg/web"
    protocol = nodes_of("vdev=xvda,backendtype=qdisk,target=rbd:pool/web")
    assert protocol["/local/domain/0/backend/qdisk/7/51712/params"][0] == "aio:rbd:pool/web"


def test_another_domain_s_backend() -> None:
    device = disk_device(parse_disk("vg/web,,xvda,backend=storage"), RUN, backend=DomId(3))
    assert device.hotplug is None
    assert device.back["params"] == "/dev/vg/web"
    assert device.address(DomId(7)).back == "/local/domain/3/backend/vbd/7/51712"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/a,,xvda,specification=virtio", "virtio disks are not supported"),
        ("/a,,xvda,backendtype=standalone", "standalone is for virtio disks"),
        ("/a,,xvda,backendtype=tap", "no blktap"),
        ("/a,qcow2,xvda,backendtype=phy", "phy serves raw disks alone, not qcow2"),
        ("/a,qcow2,xvda,script=x", "a script serves raw disks"),
        ("/a,,xvda,script=x,backendtype=qdisk", "a script serves raw disks"),
        ("/a,qcow2,xvda,w!", "one writer"),
    ],
)
def test_what_no_backend_serves(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backend_type(parse_disk(text))
    assert reason in caught.value.reason
    assert caught.value.subject == "xvda"
    assert caught.value.hint
