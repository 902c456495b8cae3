"""The lab itself: each Xen boots once, and commands, files and time limits work as promised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xentool.errors import TimedOutError
from xentool.lab.qemu import Share
from xentool.lab.recipe import RELEASES
from xentool.lab.session import Lab

pytestmark = pytest.mark.lab

# What dom0 is like, in one line each: whatever is missing or fails shows up as a difference.
LOOK = """
set -e
echo user $(id -u) in $PWD
xl info | sed -n 's/^xen_version *: //p'
xl list | awk 'NR == 2 { print $1, $2, $3 }'
xenstore-read /local/domain/0/name
for tool in xentool xl python3; do command -v $tool; done
xentool --version >/dev/null
python3 -c 'import click, hypothesis, lz4, pexpect, pytest, rich, yaml, zstandard; print("modules")'
ls /usr/lib/grub-xen/grub-x86_64-xen.bin /usr/lib/xentool-lab/guest.cpio.gz
test -s /usr/lib/xentool-lab/vmlinuz && test -d /var/log/xen/console && echo kernel
modprobe -a nf_tables nft_limit nft_meta_bridge nft_reject_bridge openvswitch 8021q dm_mod brd && echo modules
nft add table bridge look '{ chain x { type filter hook forward priority 0; ether type arp drop; }; }'
nft list tables; nft delete table bridge look
for tool in qemu-img ovs-vsctl ovs-vswitchd ovsdb-server /usr/libexec/xen-qemu-system-i386; do
    $tool --version >/dev/null && basename $tool
done
test -e /dev/stdin && ping -c 1 127.0.0.1 >/dev/null && echo ping
stat -c '%u %g' / /usr/bin/xl /etc/passwd /var/log/xen/console | sort -u
python3 -v -c 'import xentool.cli.main, click' 2>&1 | grep -c 'could not\\|wrote /' || true
"""


@pytest.mark.parametrize("xen", RELEASES)
def test_a_lab_from_boot_to_end(xen: str, tmp_path: Path) -> None:
    out, source = tmp_path / "out", tmp_path / "source"
    out.mkdir()
    source.mkdir()
    (source / "in.txt").write_text("from the machine\n")
    log = tmp_path / "xen.log"
    with Lab(xen, out=str(out), shares=[Share(str(source), "/mnt/in")], log=str(log)) as lab:
        lab.boot()
        print(f"Xen {xen}: dom0 ready after {lab.boot_seconds:.1f} s")
        result = lab.run(["sh", "-c", LOOK], timeout_seconds=600)
        assert result.exit_code == 0, result.stderr.decode()
        version, *rest = result.stdout.decode().splitlines()[1:]
        assert version.startswith(xen + ".")
        assert result.stdout.decode().splitlines()[0] == "user 0 in /lab/checkout"
        assert rest == [
            "Domain-0 0 1536",
            "Domain-0",
            "/usr/bin/xentool",
            "/usr/sbin/xl",
            "/usr/bin/python3",
            "modules",
            "/usr/lib/grub-xen/grub-x86_64-xen.bin",
            "/usr/lib/xentool-lab/guest.cpio.gz",
            "kernel",
            "modules",
            "table bridge look",
            "qemu-img",
            "ovs-vsctl",
            "ovs-vswitchd",
            "ovsdb-server",
            "xen-qemu-system-i386",
            "ping",
            "0 0",
            "0",
        ]
        assert (result.xen.startswith(xen), result.kernel != "") == (True, True)

        script = "cat /mnt/in/in.txt >/lab/out/back.txt; touch /mnt/in/x; echo err >&2; exit 7"
        result = lab.run(["sh", "-c", script], timeout_seconds=600)
        assert (result.exit_code, result.stdout) == (7, b"")
        assert b"Read-only file system" in result.stderr
        assert result.stderr.endswith(b"\nerr\n")
        assert (out / "back.txt").read_text() == "from the machine\n"
        assert os.listdir(source) == ["in.txt"]

        pid = lab._qemu.pid
        with pytest.raises(TimedOutError, match="not done within 1 s"):
            lab.run(["sleep", "600"], timeout_seconds=1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert b"(XEN) Xen version " in log.read_bytes()
