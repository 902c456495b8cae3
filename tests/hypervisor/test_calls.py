"""Typed calls on a gate that answers from a script: versions, retries, and what errors say."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING, Self

import pytest

import xentool
from xentool.abi import domctl, sysctl
from xentool.abi.versions import INTERFACES, NEWEST, OLDEST
from xentool.abi.xen import HYPERVISOR_domctl, HYPERVISOR_memory_op, HYPERVISOR_sysctl, HYPERVISOR_xen_version
from xentool.errors import HostError, NoMemoryError, NotFoundError, XenError
from xentool.hypervisor.calls import Hypercalls, explain
from xentool.units import DomId

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[memoryview], int]

DOMAIN = DomId(5)


class ScriptedBuffer:
    def __init__(self, size: int) -> None:
        self._memory = (ctypes.c_ubyte * size)()
        self.address = ctypes.addressof(self._memory)
        self.view = memoryview(self._memory).cast("B")

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ScriptedGate:
    """Answers XENVER_version with `release`, and domctl and sysctl by calling `answer` with the structure."""

    kind = "scripted"

    def __init__(self, release: tuple[int, int], answer: Answer | None = None) -> None:
        self.release = release
        self.answer = answer or (lambda _view: 0)
        self.takes = INTERFACES.get(release, (0, 0))
        self.counts: list[int] = []  # what memory_op answers, call by call
        self.asked: list[tuple[int, int, int]] = []

    def hypercall(self, number: int, *arguments: int) -> int:
        if number == HYPERVISOR_xen_version:
            return self.release[0] << 16 | self.release[1]
        if number == HYPERVISOR_memory_op:
            return self.counts.pop(0)
        view = memoryview((ctypes.c_ubyte * 144).from_address(arguments[0])).cast("B")
        command = domctl.xen_domctl.get(view, "cmd")
        version = domctl.xen_domctl.get(view, "interface_version")
        self.asked.append((number, command, version))
        if version != self.takes[number == HYPERVISOR_sysctl]:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        result = self.answer(view)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result

    def buffer(self, size_bytes: int) -> ScriptedBuffer:
        return ScriptedBuffer(size_bytes)


def _calls(gate: ScriptedGate) -> Hypercalls:
    return Hypercalls(gate)  # type: ignore[arg-type]


@pytest.mark.parametrize("release", INTERFACES)
def test_each_release_is_spoken_to_in_its_version(release: tuple[int, int]) -> None:
    gate = ScriptedGate(release)
    calls = _calls(gate)
    calls.pause_domain(DOMAIN)
    calls.scheduler_id()
    assert gate.asked == [
        (HYPERVISOR_domctl, domctl.XEN_DOMCTL_pausedomain, INTERFACES[release][0]),
        (HYPERVISOR_sysctl, sysctl.XEN_SYSCTL_sched_id, INTERFACES[release][1]),
    ]


@pytest.mark.parametrize("known", sorted(set(INTERFACES.values())))
def test_a_newer_xen_that_still_takes_what_we_know(known: tuple[int, int]) -> None:
    gate = ScriptedGate((NEWEST[0], NEWEST[1] + 1))
    gate.takes = known
    calls = _calls(gate)
    assert calls.interfaces() == known
    harmless = {
        (HYPERVISOR_domctl, domctl.XEN_DOMCTL_getdomaininfo),
        (HYPERVISOR_sysctl, sysctl.XEN_SYSCTL_sched_id),
    }
    assert {asked[:2] for asked in gate.asked} == harmless
    calls.pause_domain(DOMAIN)


def test_a_newer_xen_that_takes_nothing_we_know() -> None:
    gate = ScriptedGate((5, 1))
    gate.takes = (0x99, 0x99)
    with pytest.raises(HostError, match=r"5\.1: it is newer than what xentool knows.*4\.17 to 4\.22"):
        _calls(gate).domain_infos()


def test_an_older_xen_is_asked_nothing() -> None:
    gate = ScriptedGate((OLDEST[0], OLDEST[1] - 1))
    with pytest.raises(HostError, match=r"4\.16: it is older"):
        _calls(gate).domain_infos()
    assert gate.asked == []


def test_probing_tells_other_failures_from_a_wrong_version() -> None:
    gate = ScriptedGate((5, 1), lambda _view: -errno.EPERM)
    gate.takes = INTERFACES[NEWEST]
    with pytest.raises(HostError, match="privileged"):
        _calls(gate).interfaces()


def test_a_wrong_version_is_explained() -> None:
    gate = ScriptedGate((4, 17))
    gate.takes = (0x99, 0x99)
    with pytest.raises(HostError, match=r"pause domain 5: Xen 4\.17 refuses us.*0x15 and 0x15") as caught:
        _calls(gate).pause_domain(DOMAIN)
    assert caught.value.hint


def test_destroying_goes_on_until_xen_is_done() -> None:
    answers = [-85, -errno.EAGAIN, -errno.EINTR, 0]
    gate = ScriptedGate((4, 20), lambda _view: answers.pop(0))
    _calls(gate).destroy_domain(DOMAIN)
    assert answers == []
    assert {asked[1] for asked in gate.asked} == {domctl.XEN_DOMCTL_destroydomain}


def test_the_next_domain_is_not_the_one_asked_for() -> None:
    """4.17 answers getdomaininfo with the next domain where there is none of that domid."""

    def next_domain(view: memoryview) -> int:
        domctl.xen_domctl_getdomaininfo.pack_into(view, 16, domain=DOMAIN + 1)
        return 0

    with pytest.raises(NotFoundError, match="look at domain 5: there is no such domain"):
        _calls(ScriptedGate((4, 17), next_domain)).domain_info(DOMAIN)


def test_after_a_batch_that_came_short_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came after it would be taken for the extents that are missing."""
    monkeypatch.setattr("xentool.hypervisor.calls.memory.EXTENTS_AT_ONCE", 100)
    gate = ScriptedGate((4, 20))
    gate.counts = [100, 40, 100]
    assert len(_calls(gate).populate_physmap(DOMAIN, array("Q", range(300)), 0)) == 140
    assert gate.counts == [100]


ERRORS: list[tuple[int, Callable[[Hypercalls], object], type[Exception], str]] = [
    (
        errno.ESRCH,
        lambda calls: calls.pause_domain(DOMAIN),
        NotFoundError,
        "pause domain 5: there is no such domain",
    ),
    (
        errno.EPERM,
        lambda calls: calls.domain_infos(),
        HostError,
        "list domains: Xen lets only a privileged domain",
    ),
    (
        errno.ENOSYS,
        lambda calls: calls.physinfo(),
        HostError,
        "ask Xen about the machine: this Xen cannot do it",
    ),
    (
        errno.EINVAL,
        lambda calls: calls.unpause_domain(DOMAIN),
        XenError,
        "unpause domain 5: it is not paused",
    ),
    (
        errno.ENOMEM,
        lambda calls: calls.max_vcpus(DOMAIN, 1),
        NoMemoryError,
        "make the vcpus of domain 5: Xen has no",
    ),
    (
        errno.EIO,
        lambda calls: calls.max_mem(DOMAIN, 1),
        XenError,
        "limit the memory of domain 5: Xen says EIO",
    ),
    (errno.EFAULT, lambda calls: calls.max_mem(DOMAIN, 1), XenError, "cannot reach our memory"),
    (
        errno.EINVAL,
        lambda calls: calls.create_domain(bytes(16), max_vcpus=3, max_grant_version=1),
        XenError,
        "create domain: Xen cannot give it what is asked for: 3 vcpus",
    ),
    (
        errno.ESRCH,
        lambda calls: calls.vcpu_info(DOMAIN, 1),
        NotFoundError,
        "look at a vcpu of domain 5: there is no such domain, or it has no such vcpu",
    ),
]


@pytest.mark.parametrize(("number", "call", "kind", "text"), ERRORS)
def test_errors_say_what_they_mean(
    number: int, call: Callable[[Hypercalls], object], kind: type[Exception], text: str
) -> None:
    calls = _calls(ScriptedGate((4, 20), lambda _view: -number))
    with pytest.raises(kind) as caught:
        call(calls)
    assert text in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    if isinstance(caught.value, XenError):
        assert caught.value.errno == number


@pytest.mark.parametrize(("name", "number"), explain.MEANINGS)
def test_every_meaning_can_be_said(name: str, number: int) -> None:
    assert name in explain.ACTIONS
    calls = _calls(ScriptedGate((4, 20)))
    for facts in ("", "these {facts}"):
        error = explain.explained(calls, number, name, DOMAIN, facts=facts)
        assert str(error).startswith(explain.ACTIONS[name])
        assert "{facts}" not in error.reason or facts


def test_a_call_that_does_not_exist() -> None:
    calls = _calls(ScriptedGate((4, 20)))
    with pytest.raises(AttributeError, match="no_such_call"):
        calls.no_such_call  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(calls, "__length_hint__")


def test_everyday_commands_import_only_what_they_call() -> None:
    """`list`, `destroy` and `pause` are fast because they leave the builder's calls alone."""
    script = (
        f"import sys; sys.path.insert(0, {os.path.dirname(os.path.dirname(xentool.__file__))!r})\n"
        "from xentool.hypervisor.calls import Hypercalls; Hypercalls(None)\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "xentool.hypervisor.calls.core" in loaded
    heavy = {"enum", "typing", "dataclasses", "re", "inspect", "ctypes", "logging", "json"}
    cold = {
        f"xentool.hypervisor.calls.{name}"
        for name in ("domain", "memory", "host", "policy", "explain", "probe")
    }
    assert not loaded & (heavy | cold)
