"""A driver domain: another guest is the backend of a guest's network card, and Domain-0 only arranges it."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

import pytest

from tests.nested.dom0 import Dom0, write_config
from tests.nested.traffic import QUIET, Guest
from tests.nested.witness import until

MAC = "00:16:3e:44:55:66"


def with_netback(dom0: Dom0, ramdisk: str, folder: Path) -> str:
    """The ramdisk, with the backend's module before it: Domain-0's kernel is the guests' too."""
    module = Path(dom0.run("modinfo", "-n", "xen-netback").stdout.strip())
    content = module.read_bytes()
    root = folder / "root"
    root.mkdir()
    (root / "xen-netback.ko").write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)
    result = folder / "driver.cpio"
    with open(result, "wb") as file:
        subprocess.run(
            ["sh", "-c", "find . | busybox cpio -o -H newc 2>/dev/null"], cwd=root, stdout=file, check=True
        )
        file.seek(0, 2)
        file.write(b"\0" * (-file.tell() % 4))
        file.write(Path(ramdisk).read_bytes())
    return str(result)


@pytest.mark.once
def test_traffic_through_a_driver_domain(dom0: Dom0, traffic_ramdisk: str, tmp_path: Path) -> None:
    common = {"kernel": dom0.kernel, "type": "pv", "cmdline": f"console=hvc0 {QUIET}"}
    driver_config = write_config(
        tmp_path / "driver.cfg", name="driver", memory=256, driver_domain=1,
        ramdisk=with_netback(dom0, traffic_ramdisk, tmp_path), **common,
    )  # fmt: skip
    user_config = write_config(
        tmp_path / "user.cfg", name="user", memory=192, ramdisk=traffic_ramdisk,
        vif=[f"backend=driver,mac={MAC}"], **common,
    )  # fmt: skip
    with Guest(dom0, driver_config) as driver:
        driver.wait_until_up()
        driver.sh("insmod /xen-netback.ko")
        with Guest(dom0, user_config) as user:
            back = f"/local/domain/{driver.domid}/backend/vif/{user.domid}/0"
            # What the driver domain's own `xl devd` would do, had it room for one.
            vif = f"vif{user.domid}.0"
            driver.sh(f"ip address add 10.18.0.1/24 dev {vif} && ip link set {vif} up")
            driver.sh(
                "python3 -S -c 'import sys; from xentool.store.client import StoreClient; "
                f'StoreClient("/dev/xen/xenbus").write("{back}/hotplug-status", "connected")\''
            )
            user.wait_until_up()
            user.sh("ip address add 10.18.0.2/24 dev eth0 && ip link set eth0 up")
            assert "3 packets received" in user.sh("ping -c 3 -W 60 10.18.0.1")
            # Connected, which it stays: both lists are of the same state.
            listed = dom0.run("xentool", "network-list", "user").stdout.splitlines()[1].split()
            assert listed[:3] == ["0", str(driver.domid), MAC]
            assert listed[-1] == back
            assert listed == dom0.xl("network-list", "user").stdout.splitlines()[1].split()
            dom0.run("xentool", "network-detach", "user", "0")
            # Both drivers have closed their ends by now; their interfaces go after that.
            until(user, "test ! -e /sys/class/net/eth0")
            until(driver, f"test ! -e /sys/class/net/{vif}")
