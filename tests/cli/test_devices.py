"""Commands for devices: xl's text byte for byte, JSON for programs, and what reaches the toolstack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.fakes import MAC, some_channels, some_disks, some_vifs
from xentool.errors import NotFoundError, TimedOutError
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome
    from tests.cli.fakes import FakeBackend

# Laid out by hand from the formats in tools/xl of Xen 4.17, independently of our code.
VIFS = """\
Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       
0   0  00:16:3e:0a:0b:0c     0     4     12   768/769         /local/domain/0/backend/vif/3/0
11  5  00:16:3e:ff:00:01    11     1     -1    -1/-1          /local/domain/5/backend/vif/3/11
"""  # noqa: W291 - as xl has it
BROKEN = "7   -1 00:00:00:00:00:00     7    -1     -1    -1/-1                                        \n"
DISKS = """\
Vdev  BE  handle state evt-ch ring-ref BE-path                       
51712 0   3      4     17     8        /local/domain/0/backend/vbd/3/51712
268441856 12  3      3     -1     -1       /local/domain/12/backend/vbd/3/268441856
5632  0   3      4     19     9        /local/domain/0/backend/qdisk/3/5632
"""  # noqa: W291
CHANNELS = """\
Idx BE state evt-ch ring-ref connection                               
0   0  4     21     10       pty        /dev/pts/4                     
1   0  1     -1     -1       pty        /NO-SUCH-PATH                  
2   0  1     23     12       socket     
"""  # noqa: W291


@pytest.mark.parametrize(
    ("command", "text"), [("network-list", VIFS), ("block-list", DISKS), ("channel-list", CHANNELS)]
)
def test_lists_are_xls_byte_for_byte(xentool: Callable[..., Outcome], command: str, text: str) -> None:
    outcome = xentool(command, "web")
    assert (outcome.code, outcome.out, outcome.err) == (0, text, "")
    assert xentool(command, "0").out == text.splitlines(keepends=True)[0]


def test_lists_take_many_domains_under_one_header(xentool: Callable[..., Outcome]) -> None:
    assert xentool("network-list", "12", "3").out == VIFS.replace("0   0 ", BROKEN + "0   0 ", 1)
    outcome = xentool("network-list", "3", "nobody")
    assert (outcome.code, outcome.out) == (1, "")


def test_lists_as_json(xentool: Callable[..., Outcome]) -> None:
    first, second, broken = json.loads(xentool("network-list", "--json", "3", "12").out)
    assert first == {
        "domid": 3, "devid": 0, "backend_domid": 0, "backend_path": "/local/domain/0/backend/vif/3/0",
        "state": 4, "event_channel": 12, "mac": MAC, "bridge": "xenbr0", "ip": "10.0.0.5", "vifname": None,
        "script": None, "rate": None, "mtu": None, "vlan": None, "tx_ring_ref": 768, "rx_ring_ref": 769,
        "lock": None,
    }  # fmt: skip
    assert (second["backend_domid"], second["event_channel"]) == (5, None)
    assert second["lock"] == ["10.0.0.5", "2001:db8::5"]
    assert (broken["backend_domid"], broken["state"]) == (None, None)
    disk, _, drive = json.loads(xentool("block-list", "--json", "3").out)
    assert disk == {
        "domid": 3, "devid": 51712, "backend_domid": 0, "backend_path": "/local/domain/0/backend/vbd/3/51712",
        "state": 4, "event_channel": 17, "vdev": "xvda", "target": "/img/web.raw", "read_only": False,
        "cdrom": False, "backend_type": "phy", "script": None, "ring_ref": 8,
    }  # fmt: skip
    assert (drive["cdrom"], drive["read_only"]) == (True, True)
    channel = json.loads(xentool("channel-list", "--json", "3").out)[2]
    assert (channel["name"], channel["connection"], channel["path"]) == ("org.three", "socket", "/run/three")


@pytest.mark.parametrize("backend_domid", [0, 32751])
def test_the_usual_tables_fit_80_characters(backend_domid: int) -> None:
    from xentool.cli.devicetables import channel_table, disk_table, vif_table

    vif = some_vifs()[0]
    vif.backend = vif.domid = DomId(backend_domid)
    disk, channel = some_disks()[0], some_channels()[0]
    for table in (vif_table([vif]), disk_table([disk]), channel_table([channel])):
        assert max(map(len, table.splitlines())) <= 80


def test_tables_say_on_a_terminal_what_the_text_says(backend: FakeBackend) -> None:
    from xentool.cli.devicetables import channel_table, disk_table, vif_table

    table = vif_table(backend.fake.vifs(["3", "12"]))
    for word in (
        MAC,
        "connected",
        "initialising",
        "xenbr0",
        "10.0.0.5 ",
        "not there",
        "10.0.0.5 2001:db8::5 (locked)",
        "?",
    ):
        assert word in table
    table = disk_table(backend.fake.disks(["3"]))
    for word in ("xvda", "51712", "read-write", "read-only", "cdrom, qdisk", "/img/web.raw", "(empty)"):
        assert word in table
    assert "org.two" in channel_table(backend.fake.channels(["3"]))


CHANGES = [
    (["network-attach", "web", "bridge=b", "mac=" + MAC], ("attach_vif", "web", "bridge=b", "mac=" + MAC)),
    (["network-attach", "web"], ("attach_vif", "web")),
    (["network-detach", "web", MAC], ("detach_vif", "web", MAC, False)),
    (["network-detach", "-f", "web", "0"], ("detach_vif", "web", "0", True)),
    (["block-attach", "web", "phy:/dev/x", "xvda", "w"], ("attach_disk", "web", "phy:/dev/x", "xvda", "w")),
    (["block-detach", "web", "xvda"], ("detach_disk", "web", "xvda", False)),
    (["block-detach", "web", "xvda", "--force"], ("detach_disk", "web", "xvda", True)),
    (["cd-insert", "web", "hdc", "/a.iso"], ("insert_cd", "web", "hdc", "/a.iso")),
    (["cd-eject", "web", "hdc"], ("insert_cd", "web", "hdc", "")),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "call"), CHANGES, ids=lambda value: str(value[0]))
def test_changes_reach_the_toolstack_and_are_silent(
    xentool: Callable[..., Outcome], backend: FakeBackend, argv: list[str], call: tuple[object, ...]
) -> None:
    outcome = xentool(*argv)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert backend.fake.calls == [call]


@pytest.mark.parametrize(
    ("argv", "devid", "done"),
    [
        (["network-attach", "web"], 0, "attached"),
        (["block-detach", "web", "xvda"], 51712, "detached"),
        (["cd-insert", "web", "hdc", "/a.iso"], 51744, "inserted"),
        (["cd-eject", "web", "hdc"], 51744, "ejected"),
    ],
)
def test_changes_answer_a_program(
    xentool: Callable[..., Outcome], argv: list[str], devid: int, done: str
) -> None:
    assert json.loads(xentool("--json", *argv).out) == {"domid": 3, "devid": devid, "done": done}


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (["network-attach", "-N", "web", "lock"], ("plan_vif", "web", "lock")),
        (["-N", "block-attach", "web", "/x,raw,xvda,w"], ("plan_disk", "web", "/x,raw,xvda,w")),
        (["cd-insert", "-N", "web", "hdc", "/a"], ("plan_cd", "web", "hdc", "/a")),
        (["cd-eject", "--dry-run", "web", "hdc"], ("plan_cd", "web", "hdc", "")),
    ],
)
def test_a_dry_run_shows_and_changes_nothing(
    xentool: Callable[..., Outcome], backend: FakeBackend, argv: list[str], call: tuple[object, ...]
) -> None:
    front = "/local/domain/3/device/vif/0"
    assert xentool(*argv).out == f'vif 0\n{front} = ""   (n3,r0)\n{front}/mac = "{MAC}"\n'
    assert json.loads(xentool(*argv, "--json").out) == {
        "device": "vif 0",
        "devid": 0,
        "libxl": {"devid": 0, "mac": MAC},
        "store": [
            {"path": front, "value": "", "permissions": ["n3", "r0"]},
            {"path": f"{front}/mac", "value": MAC, "permissions": None},
        ],
    }
    assert backend.fake.calls == [call, call]


def test_detach_has_no_dry_run(xentool: Callable[..., Outcome], backend: FakeBackend) -> None:
    outcome = xentool("network-detach", "-N", "web", "0")
    assert (outcome.code, backend.fake.calls) == (2, [])


def test_errors_are_two_lines_and_their_own_exit_code(
    xentool: Callable[..., Outcome], backend: FakeBackend
) -> None:
    backend.fake.failing = {
        "detach_vif": NotFoundError("find vif", "9", "domain 3 has no vif 9", hint="look"),
        "detach_disk": TimedOutError("detach disk xvda from domain", 3, "it is mounted", hint="--force"),
    }
    outcome = xentool("network-detach", "web", "9")
    assert (outcome.code, outcome.err) == (
        1,
        "xentool: cannot find vif 9: domain 3 has no vif 9\nhint: look\n",
    )
    assert xentool("block-detach", "web", "xvda").code == 9


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["network-detach", "web"], "DEVID|MAC"),
        (["block-attach", "web"], "DISK"),
        (["network-list"], "DOMAIN"),
        (["cd-insert", "web", "hdc"], "FILE"),
    ],
)
def test_too_few_words_are_a_usage_error(xentool: Callable[..., Outcome], argv: list[str], word: str) -> None:
    outcome = xentool(*argv)
    assert outcome.code == 2
    assert word in outcome.err
