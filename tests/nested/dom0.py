"""What the nested tests need of the lab's dom0: commands, configs, guests, and a look at the host's state."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.nested.waiting import settled
from xentool.abi.domctl import XEN_DOMINF_dying
from xentool.hypervisor.calls import Hypercalls
from xentool.hypervisor.xen import XenHypervisor
from xentool.store.client import StoreClient
from xentool.store.snapshot import settled_tree

USERDATA = Path("/var/lib/xen")
CONSOLE_LOGS = Path("/var/log/xen/console")
RAMDISK = "/usr/lib/xentool-lab/guest.cpio.gz"
MARKER = "XENTOOL-GUEST-UP"


class Dom0:
    """The machine that the tests run on."""

    def run(
        self, *command: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        # Into files: a pipe would stay open as long as xl's monitor, which inherits it, lives.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            ended = subprocess.run(
                command, check=False, timeout=timeout, stdin=subprocess.DEVNULL, stdout=out, stderr=errors
            )
            out.seek(0)
            errors.seek(0)
            done = subprocess.CompletedProcess(command, ended.returncode, out.read(), errors.read())
        if done.returncode < 0:
            # Where a process died of a signal, the kernel says at which address, and in which library.
            words = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
            raise AssertionError(f"{command} died of signal {-done.returncode}\n{words[-2000:]}")
        if check and done.returncode:
            raise AssertionError(f"{command} exits with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def xentool(
        self, *arguments: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return self.run("xentool", *arguments, check=check, timeout=timeout)

    def xl(
        self, *arguments: str, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        return self.run("xl", *arguments, check=check, timeout=timeout)

    @property
    def xen_version(self) -> str:
        found = re.search(r"^xen_version\s*: (\d+\.\d+)", self.xl("info").stdout, re.MULTILINE)
        assert found
        return found[1]

    @property
    def kernel(self) -> str:
        """Debian's kernel, as it lies in /boot."""
        (path,) = glob.glob("/boot/vmlinuz-*")
        return path

    @property
    def pvgrub(self) -> str:
        (path,) = glob.glob("/usr/lib/grub-xen/grub-x86_64-xen.bin")
        return path

    def domids(self, seconds: float = 90) -> list[int]:
        """The domains, once none dies: who maps a page of one, as xenconsoled does, keeps it a moment.

        Asked of Xen itself, as all tests do so before and after: xl has its say once a file of tests.
        """
        end = time.monotonic() + seconds
        with XenHypervisor() as hypervisor:
            while True:
                infos = Hypercalls(hypervisor).domain_infos()
                dying = any(info.flags & XEN_DOMINF_dying for info in infos)
                if not dying or time.monotonic() > end:
                    return [info.domid for info in infos]
                time.sleep(0.05)

    def domids_of_xl(self) -> list[int]:
        rows = self.xl("list").stdout.splitlines()[1:]
        return [int(row.split()[-5]) for row in rows]

    def destroy_all(self) -> None:
        for domid in self.domids():
            if domid:
                self.xl("destroy", str(domid), check=False)

    def console_log(self, name: str) -> Path:
        return CONSOLE_LOGS / f"guest-{name}.log"

    def console_tty(self, domid: int, seconds: float = 90) -> str:
        """The domain's terminal, once xenconsoled has made one: xl's create does not wait for that."""
        path = f"/local/domain/{domid}/console/tty"
        with StoreClient() as store, store.watch(path) as watch:
            for _event in watch.events(seconds):
                if tty := store.try_read(path):
                    return tty.decode()
        raise AssertionError(f"domain {domid} has no terminal")

    def forget_console(self, name: str) -> None:
        """Empty the log of a guest of that name that was here before (xenconsoled appends)."""
        if self.console_log(name).exists():
            os.truncate(self.console_log(name), 0)

    def wait_for_console(self, name: str, text: str, seconds: float = 300) -> str:
        """The guest's console log, once it has `text`."""
        end = time.monotonic() + seconds
        log = self.console_log(name)
        content = ""
        while time.monotonic() < end:
            if log.exists():
                content = log.read_text(errors="replace")
                if text in content:
                    return content
            time.sleep(0.1)
        raise AssertionError(f"no {text!r} on the console of {name}:\n{telling(content)}")


def telling(said: str) -> str:
    """Why a guest says no more: its kernel's first complaint and what follows, or its last words."""
    complaint = re.search(r"BUG:|Oops:|general protection fault|WARNING:|Kernel panic|Call Trace:", said)
    return said[-3000:] if complaint is None else said[max(0, complaint.start() - 500) :][:8000]


TOPS = ("/vm", "/libxl")
"""They come with the first domain ever and stay, whoever made it."""


def host_state(dom0: Dom0) -> dict[str, object]:
    """Everything that a domain may leave behind."""
    with StoreClient() as store:
        tree = settled_tree(store, "/").nodes
    return {
        "domains": dom0.domids(),
        "store": sorted(
            (path, node.value, node.permissions) for path, node in tree.items() if path not in TOPS
        ),
        "userdata": sorted(path.name for path in USERDATA.glob("userdata-*")),
        "journal": sorted(os.listdir("/run/xentool/journal"))
        if os.path.isdir("/run/xentool/journal")
        else [],
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "loop devices": loops_in_use(),
        "firewall": firewall(dom0),
        "device models": device_models(),
    }


def settled_host_state(dom0: Dom0, expected: dict[str, object]) -> dict[str, object]:
    """The host's state once it is as expected, or as it is after a while.

    Interfaces go when netback hears that their nodes went, and nobody waits for that.
    """
    return settled(lambda: host_state(dom0), expected)


def loops_in_use() -> dict[str, str]:
    """Loop devices that have a file: device -> file."""
    found = {}
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            found[f"/dev/{path.split('/')[3]}"] = Path(path).read_text().strip()
        except OSError:
            continue  # it went as we looked
    return found


def firewall(dom0: Dom0) -> list[str]:
    """What nftables holds: chains, sets and elements. Not our base chains: they stay, and do nothing."""
    if not os.path.exists("/sys/module/nf_tables"):
        return []  # nobody ever asked for a rule
    lines = [line.strip() for line in dom0.run("nft", "list", "ruleset").stdout.splitlines()]
    stays = ("chain prerouting {", "chain input {")
    return [line for line in lines if line.startswith(("chain", "set", "elements")) and line not in stays]


def device_models() -> list[str]:
    """The names of QEMU's processes: one that ended and was not waited for counts."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            name = Path(path).read_text().strip()
        except OSError:
            continue
        if "qemu" in name:
            found.append(name)
    return found


def device_models_left() -> list[str]:
    """Those that are there once each had time to end: who tells one to, as libxl does, need not wait."""
    return settled(device_models, [])


def others_state(dom0: Dom0) -> dict[str, object]:
    """The same as Xen's own tools see it, which takes them some seconds."""
    tree = dom0.run("xenstore-ls", "-fp").stdout.splitlines()
    return {
        "domains": dom0.domids_of_xl(),
        "store": [line for line in tree if line.split(" = ")[0] not in TOPS],
    }


def write_config(path: Path, **keys: object) -> Path:
    """An xl.cfg of these keys."""
    lines = []
    for key, value in keys.items():
        lines.append(f"{key} = {value!r}".replace("'", '"'))
    path.write_text("\n".join(lines) + "\n")
    return path


def tiny_kernel() -> str:
    """The tiny guest's kernel: dom0 has no compiler, so whoever starts the lab brings it along."""
    path = os.environ["XENTOOL_TINY_GUEST"]
    assert os.path.exists(path), path
    return path


def without_domid(text: str, domid: int) -> str:
    """Paths of the store with D for the domain's number; a device's or a vcpu's stays as it is."""
    own = rf"(/local/domain|/libxl|/backend/\w+|/device-model)/{domid}(?=[/\s\"]|$)"
    return re.sub(own, r"\1/D", text)


def forget_xl_s_leftovers() -> None:
    """Remove folders that xl, or libxl for us, leaves empty."""
    with StoreClient() as store:
        for folder in ("device-model", "backend/qdisk", "backend"):
            if store.exists(f"/local/domain/0/{folder}") and not any(
                value for value in store.tree(f"/local/domain/0/{folder}").values()
            ):
                store.rm(f"/local/domain/0/{folder}")
