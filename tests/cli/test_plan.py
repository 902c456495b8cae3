"""What a dry run shows, for a kernel that we write ourselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xentool.cli.backends import Backend
from xentool.cli.mockkernel import BASE, LOAD_PADDR, mock_kernel
from xentool.cli.planview import plan_dict, plan_text
from xentool.cli.tables import plan_tables
from xentool.devices.vbd.spec import parse_disk
from xentool.devices.vif.spec import parse_vif
from xentool.domain.config.model import DomainConfig
from xentool.domain.paths import Paths
from xentool.toolstack.native import NativeToolstack

if TYPE_CHECKING:
    from pathlib import Path

    from xentool.domain.plan import Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Planned on a backend that cannot be connected to: a dry run needs no host."""

    def connect() -> None:
        raise AssertionError("a plan asks no hypervisor")

    kernel = tmp_path / "kernel"
    kernel.write_bytes(mock_kernel())
    backend = Backend(Paths.under(str(tmp_path)), str(tmp_path), connect, connect, lambda: None, None)  # type: ignore[arg-type,return-value]
    return NativeToolstack(backend.host).plan(
        DomainConfig(name="web", memory_kib=65_540, kernel=str(kernel), vcpus=2)
    )


def test_the_text_says_where_everything_goes(plan: Plan) -> None:
    text = plan_text(plan)
    assert "domain         : web\n" in text
    assert "uuid           : a new one\n" in text
    assert "(16385 frames: 32 x 2 MiB, 1 x 4 KiB)" in text
    assert f"entry          : {BASE + LOAD_PADDR:#x}\n" in text
    assert "  0xffffff8000000000-0xffffffffffffffff\n" in text
    assert '\n/local/domain/DOMID/name = "web"\n' in text
    assert '\n/local/domain/DOMID/control/shutdown = ""   (nDOMID)\n' in text
    assert plan.uuid not in text
    assert "/local/domain/0/name" not in text


def test_devices_are_shown_and_what_is_not_known_of_them_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_bytes(mock_kernel())
    backend = Backend(Paths.under(str(tmp_path)), str(tmp_path), None, None, lambda: None, None)  # type: ignore[arg-type,return-value]
    config = DomainConfig(
        name="web",
        memory_kib=16_384,
        kernel=str(tmp_path / "kernel"),
        vifs=(parse_vif("devid=0,bridge=dmz,ips=10.0.0.5"), parse_vif("devid=1,mac=00:16:3e:00:00:01")),
        disks=(parse_disk("/img/web.raw,raw,xvda,ro"), parse_disk("vdev=hdc,cdrom")),
    )
    text = plan_text(NativeToolstack(backend.host).plan(config))
    assert text == plan_text(NativeToolstack(backend.host).plan(config))
    for line in (
        "vif 0          : a new MAC, dmz, locked 10.0.0.5, vif-bridge",
        "vif 1          : 00:16:3e:00:00:01, xenbr0, vif-bridge",
        "disk xvda      : /img/web.raw, phy, read-only",
        '/local/domain/0/backend/vif/DOMID/0/mac = "MAC"',
        '/libxl/DOMID/device/vif/1/mac = "00:16:3e:00:00:01"',
    ):
        assert f"\n{line}\n" in text
    answer = plan_dict(NativeToolstack(backend.host).plan(config))
    assert [device["title"] for device in answer["devices"]] == ["disk xvda", "disk hdc", "vif 0", "vif 1"]  # type: ignore[attr-defined]


def test_two_plans_of_one_config_are_the_same_text(plan: Plan, tmp_path: Path) -> None:
    config = DomainConfig(name="web", memory_kib=65_540, kernel=str(tmp_path / "kernel"), vcpus=2)
    backend = Backend(Paths.under(str(tmp_path)), str(tmp_path), None, None, lambda: None, None)  # type: ignore[arg-type,return-value]
    again = NativeToolstack(backend.host).plan(config)
    assert again.uuid != plan.uuid
    assert plan_text(again) == plan_text(plan)
    assert plan_dict(again) == plan_dict(plan)


def test_json_and_text_agree_on_the_segments(plan: Plan) -> None:
    answer = json.loads(json.dumps(plan_dict(plan)))
    lines = plan_text(plan).splitlines()
    for segment in answer["segments"]:
        words = [segment["name"], f"{segment['pfn']:#x}", str(segment["pages"]), f"{segment['vaddr']:#x}"]
        assert any(all(word in line.split("  ") or word in line.split() for word in words) for line in lines)
    assert sum(segment["pages"] for segment in answer["segments"]) <= answer["nr_pages"]
    assert {"path": "/libxl/DOMID", "value": "", "permissions": ["n0"]} in answer["store"]


def test_the_terminal_shows_the_store_as_a_tree(plan: Plan) -> None:
    shown = plan_tables(plan)
    assert "start_info" in shown
    assert 'name = "web"' in shown
    assert "control" in shown


def test_the_mock_kernel_can_be_written_by_the_command(tmp_path: Path) -> None:
    from xentool.cli import main

    path = tmp_path / "kernel"
    assert main.run(["mock", "kernel", str(path)]) == 0
    assert path.read_bytes() == mock_kernel()
    assert main.run(["mock", "kernel", str(tmp_path / "no" / "kernel")]) == 1
