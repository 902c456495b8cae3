"""Whatever fails while a domain is created, and wherever: nothing is left, and the first cause is told.

The create runs against a mock host in a process of its own, as a command does;
each step of it, hypercall, mapping or store request, is made to fail once.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.mocked import MockedHost
from xentool.domain.create import create_domain
from xentool.domain.recover import finish_undone
from xentool.errors import XentoolError
from xentool.mockhost.life import store_socket
from xentool.store.client import StoreClient


@pytest.fixture(scope="module")
def mocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockedHost]:
    with MockedHost(tmp_path_factory.mktemp("mock")) as host:
        yield host


class Faulty:
    """Stands before a part of the host and raises when the `at`-th call comes through; counts them all."""

    def __init__(self, part: object, methods: set[str], at: int, fault: Callable[[], BaseException]) -> None:
        self._part = part
        self._methods = methods
        self._at = at
        self._fault = fault
        self.calls = 0

    def __getattr__(self, name: str) -> object:
        value = getattr(self._part, name)
        if name not in self._methods:
            return value

        def call(*arguments: object, **named: object) -> object:
            self.calls += 1
            if self.calls == self._at:
                raise self._fault()
            return value(*arguments, **named)

        return call


GATE = {"hypercall", "map_frames", "map_resource"}


def no_memory() -> OSError:
    return OSError(errno.ENOMEM, "made to fail")


def steps_of(mocked: MockedHost) -> int:
    """How many calls an undisturbed create makes."""
    gate = Faulty(mocked.hypervisor, GATE, 0, no_memory)
    host = mocked.host(hypervisor=gate)
    domid = create_domain(host, mocked.config("counted"), paused=True)
    mocked.destroy(domid)
    return gate.calls


@pytest.mark.parametrize("fault", [no_memory, KeyboardInterrupt], ids=["ENOMEM", "interrupt"])
def test_every_hypercall_may_fail(mocked: MockedHost, fault: Callable[[], BaseException]) -> None:
    steps = steps_of(mocked)
    assert steps > 15
    before = mocked.state()
    for at in range(1, steps + 1):
        gate = Faulty(mocked.hypervisor, GATE, at, fault)
        host = mocked.host(hypervisor=gate)
        with pytest.raises((XentoolError, OSError, KeyboardInterrupt)) as caught:
            create_domain(host, mocked.config(f"faulty-{at}"), paused=True)
        if fault is KeyboardInterrupt:
            assert caught.type is KeyboardInterrupt
        else:
            assert isinstance(caught.value, XentoolError), f"step {at} lets {caught.value!r} through"
            assert caught.value.reason
        assert mocked.state() == before, f"step {at} of {steps} leaves something"


class InterruptedStore(StoreClient):
    """A client in whose `at`-th exchange the user presses ^C."""

    at = calls = 0

    def exchange(self, tx_id: int, requests: list[tuple[int, bytes]]) -> list[Any]:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return super().exchange(tx_id, requests)


def test_every_store_exchange_may_fail(mocked: MockedHost) -> None:
    before = mocked.state()
    at = 0
    while True:
        at += 1
        with InterruptedStore(store_socket(mocked.directory)) as store:
            store.at = at
            try:
                domid = create_domain(mocked.host(store=store), mocked.config(f"store-{at}"), paused=True)
            except KeyboardInterrupt:
                assert mocked.state() == before, f"exchange {at} leaves something"
                continue
        mocked.destroy(domid)
        assert mocked.state() == before
        break
    assert at > 5


KILLED = """
import os, signal, sys
from tests.domain.test_create_faults import GATE, Faulty
from tests.support.mocked import MockedHost
from xentool.domain.create import create_domain

def die():
    os.kill(os.getpid(), signal.SIGKILL)

mocked = MockedHost(sys.argv[1])
with mocked:
    gate = Faulty(mocked.hypervisor, GATE, int(sys.argv[2]), die)
    create_domain(mocked.host(hypervisor=gate), mocked.config("killed"), paused=True)
"""


def test_kill_9_is_undone_by_the_next_command(mocked: MockedHost) -> None:
    steps = steps_of(mocked)
    before = mocked.state()
    for at in sorted({*range(1, steps + 1, 4), steps}):
        child = subprocess.run(
            [sys.executable, "-c", KILLED, str(mocked.directory), str(at)],
            check=False,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
        finish_undone(mocked.host())
        assert mocked.state() == before, f"killed at step {at} of {steps}"


def test_name_in_use_is_told_before_anything_is_made(mocked: MockedHost) -> None:
    domid = create_domain(mocked.host(), mocked.config("twin"), paused=True)
    before = mocked.state()
    with pytest.raises(XentoolError, match=rf"domain {domid} has that name") as caught:
        create_domain(mocked.host(), mocked.config("twin"), paused=True)
    assert caught.value.exit_code == 6
    assert mocked.state() == before
    mocked.destroy(domid)


def test_too_little_memory_says_how_much_there_is(mocked: MockedHost) -> None:
    before = mocked.state()
    with pytest.raises(
        XentoolError, match=r"the host has [\d,]+ [KM]iB free, and the domain asks for"
    ) as caught:
        create_domain(mocked.host(), mocked.config("huge", memory_kib=1 << 25), paused=True)
    assert caught.value.exit_code == 5
    assert mocked.state() == before
