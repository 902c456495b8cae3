"""Operations as lines of text."""

from __future__ import annotations

import pytest

from xentool.abi import xs_wire
from xentool.errors import StoreError, UsageError
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.operations import Transaction
from xentool.store.script import ExpectationError, carry_out, parse_script
from xentool.store.server import Server


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(server: Server) -> StoreClient:
    return StoreClient(transport=LocalTransport(server.connect()))


def run(client: StoreClient, text: str) -> list[tuple[str, bytes]]:
    steps = parse_script(text.encode(), "script")
    return client.run_transaction(lambda transaction: carry_out(transaction, steps))


def test_each_operation(client: StoreClient) -> None:
    client.write("/old", "1")
    reads = run(
        client,
        """
        # what a line says
        expect /old 1
        read /old
        rm /old
        mkdir /a /b
        write /a/x 1 /a/y ""
        chmod /a/x n0 r3
        read /a/x /a/y
        """,
    )
    assert reads == [("/old", b"1"), ("/a/x", b"1"), ("/a/y", b"")]
    assert [str(entry) for entry in client.get_perms("/a/x")] == ["n0", "r3"]
    assert client.exists("/b")
    assert not client.exists("/old")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ('"two words"', b"two words"),
        ("'a \\n \"b\"'", b'a \\n "b"'),
        ('"a\\n\\"b\\""', b'a\n"b"'),
        ("\\x00\\ b", b"\0 b"),
        ("a#b", b"a#b"),
        ("x''\"\"y", b"xy"),
        ("\u00e4", "\u00e4".encode()),
    ],
)
def test_quotes_and_escapes(client: StoreClient, words: str, value: bytes) -> None:
    run(client, f"write /v {words} \t")
    assert client.read("/v") == value


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("frob /a", "no operation 'frob'"),
        ("write /a", "pairs"),
        ("write /a 1 /b", "pairs"),
        ("expect /a", "pairs"),
        ("chmod /a", "permissions"),
        ("chmod /a x1", "not one of n, r, w, b"),
        ("read", "at least one path"),
        ("read /a//b", "double slash"),
        ('write /a "b', "never closed"),
        ("write /a b\\", "lone backslash"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_asked(client: StoreClient, line: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_script(f"write /a 1\n\n{line}\n".encode(), "script")
    assert reason in str(caught.value)
    assert "script, line 3" in str(caught.value)


def test_all_or_nothing(client: StoreClient) -> None:
    for failing in ("read /none", "expect /a 2", "chmod /none n0"):
        client.write("/a", "1")
        with pytest.raises(StoreError):
            run(client, f"write /a 9\nwrite /b 9\nrm /tool\n{failing}")
        assert client.read("/a") == b"1"
        assert client.exists("/tool")
        assert not client.exists("/b")


def test_what_is_to_go_may_be_gone(client: StoreClient) -> None:
    run(client, "rm /none\nrm /none/none\nwrite /a 1")
    assert client.read("/a") == b"1"


def test_an_expectation_says_what_was_found(client: StoreClient) -> None:
    client.write("/a", "\x1b[2J")
    with pytest.raises(ExpectationError) as caught:
        run(client, "expect /a 1")
    assert caught.value.exit_code == 1
    assert "\\x1b[2J" in caught.value.reason


def test_another_change_makes_it_try_again(server: Server, client: StoreClient) -> None:
    other = StoreClient(transport=LocalTransport(server.connect()))
    client.write("/n", "1")
    steps = parse_script(b"read /n\nwrite /m 1", "script")
    tries: list[object] = []

    def body(transaction: Transaction) -> list[tuple[str, bytes]]:
        found = carry_out(transaction, steps)
        if not tries:
            other.write("/n", "2")
        tries.append(found)
        return found

    assert client.run_transaction(body) == [("/n", b"2")]
    assert len(tries) == 2


def test_paths_can_stand_for_others() -> None:
    steps = parse_script(b"read name\nwrite a b", "script", lambda path: f"/local/domain/3/{path}")
    assert [(step.kind, step.path) for step in steps] == [
        (xs_wire.XS_READ, "/local/domain/3/name"),
        (xs_wire.XS_WRITE, "/local/domain/3/a"),
    ]
