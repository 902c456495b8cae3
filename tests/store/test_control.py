"""CONTROL: what an administrator asks of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.world import World, refusal, replies, send
from xentool.abi import xs_wire

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("release", ["4.17", "4.20"])
def test_help_lists_what_is_there(release: str) -> None:
    dom0 = World(release).dom0
    lines = dom0.control("help").splitlines()
    assert [line.split()[0] for line in lines] == [
        "check", "log", "live-update", "logfile", "memreport", "print", "quota", "quota-soft", "help",
    ]  # fmt: skip
    assert ("max [-r]" in lines[6]) == (release != "4.17")
    for words in (
        "none",
        "help me",
        "check x",
        "print",
        "log maybe",
        "log on x",
        "quota set",
        "quota set nodes 0",
        "quota set none 1",
        "quota 1 2",
        "quota-soft 5",
        "logfile",
        "memreport a b",
        "live-update",
    ):
        assert refusal(lambda words=words: dom0.control(*words.split())) == "EINVAL"  # type: ignore[misc]
    assert refusal(lambda: dom0.control("quota", "77")) == "ENOENT"


def test_live_update_is_refused_with_the_reason() -> None:
    world = World()
    reply = world.dom0.control("live-update", "-s", "-t", "30")
    assert reply.startswith("live update is not supported: ")
    assert "live update" in world.lines[-1]


def test_print_writes_to_the_servers_log() -> None:
    world = World()
    assert world.dom0.control("print", "hello") == "OK"
    assert world.lines == ["control: hello"]


def test_check_says_what_is_wrong() -> None:
    world = World()
    assert world.dom0.control("check") == "OK"
    assert world.lines == []
    world.domain(0).nodes += 1
    assert world.dom0.control("check") == "OK"
    assert world.lines == ["check: domain 0 is charged 4 nodes, and owns 3"]
    world.domain(0).nodes -= 1


class TestLog:
    def test_is_a_line_for_each_request_while_it_is_on(self, tmp_path: Path) -> None:
        world = World()
        file = tmp_path / "log"
        assert world.dom0.control("logfile", str(file)) == "OK"
        world.dom0.write("/a", "1\n2")
        guest = world.guest()
        guest.transaction().write("b", b"\xff\0")
        assert world.dom0.control("log", "off") == "OK"
        world.dom0.write("/c", "1")
        lines = file.read_text().splitlines()
        assert [line.split(" ", 6)[6] for line in lines if "(d0)" in line][:1] == [r"WRITE (/a 1\n2)"]
        assert sum("(d5)" in line for line in lines) == 2
        assert lines[-2].endswith(r"WRITE in transaction 1 (b \xff )")
        assert lines[-1].endswith("CONTROL (log off )")
        world.dom0.control("log", "on")
        world.dom0.read("/a")
        world.dom0.control("log", "off")
        assert file.read_text().splitlines()[-2].endswith("READ (/a )")
        assert file.stat().st_mode & 0o777 == 0o600

    def test_without_a_file_is_the_servers_own(self) -> None:
        world = World()
        world.dom0.control("log", "on")
        world.dom0.read("/")
        assert world.lines[-1].endswith("READ (/ )")
        world.dom0.control("log", "off")
        count = len(world.lines)
        world.dom0.read("/")
        assert len(world.lines) == count

    def test_has_switches_since_4_18(self) -> None:
        assert refusal(lambda: World("4.17").dom0.control("log")) == "EINVAL"
        world = World("4.18")
        assert world.dom0.control("log") == "Log switch settings:\nio      : on\n"
        world.dom0.control("log", "on")
        world.dom0.control("log", "-io")
        count = len(world.lines)
        world.dom0.read("/")
        assert len(world.lines) == count
        assert "io      : off" in world.dom0.control("log")
        assert refusal(lambda: world.dom0.control("log", "+none")) == "EINVAL"

    def test_a_file_that_cannot_be_is_told_of_and_stops_nothing(self, tmp_path: Path) -> None:
        world = World()
        assert world.dom0.control("logfile", str(tmp_path / "none" / "log")) == "OK"
        assert "No such file or directory" in world.lines[-1]
        link = tmp_path / "link"
        link.symlink_to("/etc/passwd")
        assert world.dom0.control("logfile", str(link)) == "OK"
        assert "symbolic link" in world.lines[-1].lower()

    def test_a_full_disk_ends_it(self) -> None:
        world = World()
        world.dom0.control("log", "off")
        world.server.trace.path = "/dev/full"
        world.dom0.control("log", "on")
        world.dom0.write("/a", "1")
        assert world.dom0.read("/a") == b"1"
        assert world.lines == ["log /dev/full: No space left on device; the log is off now"]


def test_memreport_says_who_holds_what(tmp_path: Path) -> None:
    world = World()
    world.guest().write("a", "x" * 100)
    assert refusal(lambda: world.dom0.control("memreport")) == "EINVAL"
    file = tmp_path / "report"
    assert world.dom0.control("memreport", str(file)) == "OK"
    text = file.read_text()
    assert text.startswith("store: 7 nodes of ")
    assert f"domain 5: {world.domain().memory:,} bytes" in text
    assert refusal(lambda: world.dom0.control("memreport", str(tmp_path / "none" / "x"))) == "EINVAL"
    world.dom0.control("logfile", str(tmp_path / "log"))
    assert world.dom0.control("memreport") == "OK"
    assert "domain 5:" in (tmp_path / "log").read_text()
    world.dom0.control("log", "off")


class TestQuota:
    def test_of_4_17(self) -> None:
        world = World()
        world.guest().watch("a")
        assert world.dom0.control("quota").splitlines()[:3] == [
            "Quota settings:",
            "nodes            :     1000 Nodes per domain",
            "watches          :      128 Watches per domain",
        ]
        assert world.dom0.control("quota", "set", "nodes", "5") == "OK"
        assert world.server.quota.nodes == 5
        assert world.dom0.control("quota", "5").splitlines() == [
            "Domain 5:",
            "nodes           :        1",
            "watches         :        1",
            "transactions    :        0",
            "outstanding     :        0",
            f"memory          : {world.domain().memory:8d}",
        ]
        assert "memory           :  2097152" in world.dom0.control("quota-soft")
        assert world.dom0.control("quota-soft", "set", "memory", "1000") == "OK"
        assert world.dom0.control("quota", "max").startswith("Domain 0:"), "a number, as any word was then"

    def test_peaks_since_4_18(self) -> None:
        world = World("4.18")
        guest = world.guest()
        for at in range(5):
            guest.write(f"n{at}", "x" * 100)
            guest.watch(f"n{at}")
        guest.set_perms("n0", ["n5", "r0", "r1"])
        tx = guest.transaction()
        tx.read_many(["n0", "n1", "n2"])
        tx.abort()
        for at in range(5):
            guest.rm(f"n{at}")
        guest.reset_watches()
        rows = dict(line.split(":", 1) for line in world.dom0.control("quota", "5").splitlines()[1:])
        shown = {name.strip(): value.strip() for name, value in rows.items()}
        assert shown["nodes"] == "1 (max        6)"
        assert shown["watches"] == "0 (max        5)"
        assert shown["transactions"] == "0 (max        1)"
        assert shown["transaction-nodes"] == "0 (max        3)"
        assert shown["node-permissions"] == "0 (max        3)"
        assert shown["node-size"] == "0 (max      140)"
        assert shown["path-max"] == "0 (max        2)"
        highest = world.dom0.control("quota", "max")
        assert highest.splitlines()[:3] == [
            "Max. seen accounting values:", "nodes            :        6", "watches          :        5",
        ]  # fmt: skip
        assert "nodes            :        0" in world.dom0.control("quota", "max", "-r")
        assert "nodes            :        1 (max        1)" in world.dom0.control("quota", "5")
        assert refusal(lambda: world.dom0.control("quota", "max", "-x")) == "EINVAL"


class TestMemoryWarnings:
    def test_are_told_once_and_when_it_is_over(self) -> None:
        world = World()
        guest = world.guest()
        world.dom0.control("quota-soft", "set", "memory", "5000")
        for at in range(4):
            guest.write(f"n{at}", "x" * 1500)
        assert world.lines == ["domain 5 exceeds its soft memory quota of 5,000 bytes"]
        guest.rm("n0")
        guest.rm("n1")
        assert len(world.lines) == 1, "not more often than every ten seconds"
        world.clock.now += 11
        guest.rm("n2")
        assert world.lines[1:] == ["domain 5 is below its soft memory quota again"]

    def test_of_the_hard_limit_come_at_once(self) -> None:
        world = World()
        guest = world.guest()
        world.dom0.control("quota", "set", "memory", "7000")
        for at in range(4):
            guest.write(f"n{at}", "x" * 1500)
        for _ in range(3):
            assert refusal(lambda: guest.write("n5", "x" * 1500)) == "EIO"
        assert world.lines == [
            "domain 5 exceeds its hard memory quota of 7,000 bytes: what needs more is refused"
        ]
        world.clock.now += 11
        guest.rm("n0")
        assert world.lines[1:] == ["domain 5 is below its hard memory quota again"]


class TestWriteRate:
    def test_credit_comes_back_with_time(self) -> None:
        world = World()
        guest = world.introduced(5)
        tx = world.dom0.transaction()
        for at in range(30):
            send(guest, xs_wire.XS_WRITE, b"n\0%d" % at)
            guest.take(4096)
        assert world.server.tree.nodes[b"/local/domain/5/n"].value == b"9", "two for making the node"
        due = world.server.handle_time()
        assert due == pytest.approx(2 / 200), "a write's worth, shared with dom0"
        for _ in range(5):
            world.clock.now += 0.0101
            world.server.handle_time()
            world.server.take_turns()
            guest.take(4096)
        assert world.server.tree.nodes[b"/local/domain/5/n"].value == b"14"
        tx.abort()
        world.clock.now += 0.02
        assert world.server.handle_time() == 0.0
        while world.server.waiting:
            world.server.take_turns()
            guest.take(4096)
        assert world.server.tree.nodes[b"/local/domain/5/n"].value == b"29"

    def test_what_nobody_used_is_lent(self) -> None:
        world = World()
        guest = world.introduced(5)
        tx = world.dom0.transaction()
        world.clock.now += 1.0
        for at in range(30):
            send(guest, xs_wire.XS_WRITE, b"n\0%d" % at)
            guest.take(4096)
        assert world.server.tree.nodes[b"/local/domain/5/n"].value == b"29"
        tx.abort()

    def test_a_commit_costs_one_however_large_it_is(self) -> None:
        world = World()
        guest = world.introduced(5)
        tx = world.dom0.transaction()
        for at in range(5):
            send(guest, xs_wire.XS_TRANSACTION_START, b"\0")
            tx_id = int(replies(guest)[0][3].rstrip(b"\0"))
            for number in range(20):
                send(guest, xs_wire.XS_WRITE, b"n%d\0%d" % (number, at), tx_id)
                assert len(replies(guest)) == 1
            send(guest, xs_wire.XS_TRANSACTION_END, b"T\0", tx_id)
            assert replies(guest)[0][3] == b"OK\0"
        assert world.domain().credit == pytest.approx(5.0)
        tx.abort()

    def test_a_domain_that_goes_gives_its_place_back(self) -> None:
        world = World()
        for _ in range(20):
            world.introduced(5)
            assert world.domain().credit == pytest.approx(10.0)
            world.release(5)
            world.dom0.rm("/local/domain/5")

    def test_who_is_in_this_process_is_not_limited(self) -> None:
        world = World()
        guest = world.guest()
        with world.dom0.transaction():
            for at in range(100):
                guest.write("n", str(at))
