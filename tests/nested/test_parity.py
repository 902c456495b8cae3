"""The same config through xl and through xentool: store, permissions, userdata, addresses.

What differs and may differ stands in `EXPLAINED`, each with its reason.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.nested.dom0 import RAMDISK, USERDATA, Dom0, without_domid, write_config

# Path (domid as D, uuid as U) -> why its value differs from xl's.
EXPLAINED: dict[str, str] = {}

UUID = "6d2c2a5e-7f3a-4c6e-9d1b-000000000001"

CONFIGS: dict[str, dict[str, object]] = {
    "plain": {"memory": 128, "vcpus": 1},
    "large": {"memory": 1024, "vcpus": 2, "maxvcpus": 4},
    "ballooned": {"memory": 128, "maxmem": 256, "vcpus": 1, "extra": "quiet"},
    "actions": {"memory": 96, "vcpus": 2, "on_crash": "preserve", "on_reboot": "destroy", "cpus": "0"},
}


def keys_of(dom0: Dom0, name: str) -> dict[str, object]:
    common: dict[str, object] = {"name": f"parity-{name}", "type": "pv", "uuid": UUID, "kernel": dom0.kernel}
    return common | CONFIGS[name]


def normalised(tree: str, domid: int) -> dict[str, str]:
    """path -> value and permissions, with the ids that differ between any two creates made equal."""
    out = {}
    for line in tree.splitlines():
        path, _, rest = line.partition(" = ")
        if without_domid(path, domid) == path and UUID not in path:
            continue
        text = without_domid(f"{path} = {rest}".replace(UUID, "U"), domid)
        text = re.sub(rf"(?<=[nrwb]){domid}(?=[,)])", "D", text)
        path, _, rest = text.partition(" = ")
        value, _, perms = rest.rpartition("(")
        if re.search(r"/(ring-ref|port|start_time|tty|domid|frontend-id)$", path):
            value = "*" if value.strip() not in ('""', "") else value
        out[path] = f"{value.strip()} ({perms}"
    return out


def created(dom0: Dom0, tool: str, config: Path) -> tuple[dict[str, str], bytes, set[str]]:
    """Store, userdata and names of the userdata files of a domain that `tool` makes of `config`."""
    dom0.run(tool, "create", "-p", "-q", str(config))
    name = re.search(r'name = "(.*)"', config.read_text())
    assert name
    domid = int(dom0.xl("domid", name[1]).stdout)
    try:
        dom0.console_tty(domid)
        tree = normalised(dom0.run("xenstore-ls", "-fp").stdout, domid)
        files = list(USERDATA.glob(f"userdata-*.{domid}.{UUID}.*"))
        names = {path.name.replace(str(domid), "D", 1) for path in files}
        (json,) = [path for path in files if path.name.endswith("libxl-json")]
        return tree, json.read_bytes(), names
    finally:
        dom0.run(tool, "destroy", str(domid))
        dom0.domids()  # waits until it is gone: the next finds the host as it did


@pytest.mark.parametrize("name", CONFIGS)
def test_store_and_userdata_equal_xls(dom0: Dom0, tmp_path: Path, name: str) -> None:
    config = write_config(tmp_path / "guest.cfg", **keys_of(dom0, name))
    theirs, their_json, their_files = created(dom0, "xl", config)
    ours, our_json, our_files = created(dom0, "xentool", config)
    assert theirs, "xl's domain left nodes to compare with"
    differing = {
        path: (theirs.get(path), ours.get(path))
        for path in theirs.keys() | ours.keys()
        if theirs.get(path) != ours.get(path)
    }
    assert set(differing) - set(EXPLAINED) == set(), differing
    assert our_files == their_files
    assert our_json.decode() == their_json.decode()


def their_segments(log: str) -> dict[str, tuple[int, int]]:
    """xl's segments: name -> (virtual address, pfn)."""
    out = {}
    for line in log.splitlines():
        if found := re.search(
            r"xc_dom_alloc_segment\s*:\s+(.+?)\s*: (0x[0-9a-f]+) -> (0x[0-9a-f]+)\s+\(pfn (0x[0-9a-f]+)", line
        ):
            out[found[1]] = int(found[2], 16), int(found[4], 16)
        elif found := re.search(
            r"xc_dom_alloc_page\s*:\s+(.+?)\s*: (0x[0-9a-f]+) \(pfn (0x[0-9a-f]+)\)", line
        ):
            out[found[1]] = int(found[2], 16), int(found[3], 16)
    names = {"module0": "ramdisk", "phys2mach": "p2m", "start info": "start_info"}
    return {names.get(name, name): place for name, place in out.items()}


@pytest.mark.parametrize("memory", [128, 1024])
def test_segments_lie_where_xl_puts_them(dom0: Dom0, tmp_path: Path, memory: int) -> None:
    import json

    # xl unpacks a gzipped ramdisk, we leave that to the guest: an unpacked one compares.
    ramdisk = tmp_path / "guest.cpio"
    ramdisk.write_bytes(dom0_gunzip(RAMDISK))
    keys = {
        "name": "segments",
        "type": "pv",
        "kernel": dom0.kernel,
        "ramdisk": str(ramdisk),
        "memory": memory,
    }
    config = write_config(tmp_path / "guest.cfg", **keys)
    log = dom0.run("xl", "-vvv", "create", "-p", str(config)).stderr
    theirs = their_segments(log)
    assert {
        "kernel",
        "ramdisk",
        "p2m",
        "start_info",
        "xenstore",
        "console",
        "page tables",
        "boot stack",
    } <= set(theirs)
    plan = json.loads(dom0.xentool("create", "--dry-run", "--json", str(config)).stdout)
    for segment in plan["segments"]:
        name = segment["name"]
        if name == "padding":
            continue
        address, pfn = theirs[name]
        assert int(segment["pfn"]) == pfn, name
        # The kernel says where the P2M is seen (INIT_P2M), and xl logs the address that it had before that.
        if segment["vaddr"] is not None and name != "p2m":
            assert int(str(segment["vaddr"]), 0) == address, name


def dom0_gunzip(path: str) -> bytes:
    import gzip

    return gzip.decompress(Path(path).read_bytes())
