"""Exported trees: what is written is read, and what is not whole or not ours is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.errors import ConfigError, StoreError
from xentool.store.dump import MAX_BYTES, Dump, dumped, parse
from xentool.store.snapshot import Snapshot, StoreNode


def snapshot(values: dict[str, bytes], path: str = "/t") -> Snapshot:
    nodes = {path: StoreNode(b"", ("n0",))}
    nodes |= {f"{path}/{name}": StoreNode(value, ("n0", "r3")) for name, value in values.items()}
    return Snapshot(path, nodes, consistent=True)


def written(values: dict[str, bytes]) -> dict[str, Any]:
    return json.loads(json.dumps(dumped(snapshot(values))))  # type: ignore[no-any-return]


def read(content: object) -> Dump:
    return parse(json.dumps(content).encode(), "dump.json")


@given(values=st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=300), max_size=6))
def test_every_value_and_permission_comes_back(values: dict[str, bytes]) -> None:
    dump = read(written(values))
    assert dump.path == "/t"
    assert {path: node.value for path, node in dump.nodes.items()} == {"": b"", **values}
    assert all(node.permissions == (("n0", "r3") if path else ("n0",)) for path, node in dump.nodes.items())


def test_text_stays_readable_in_the_file() -> None:
    nodes = {node["path"]: node for node in written({"a": "größe\n".encode(), "b": b"\x1b[2J"})["nodes"]}
    assert nodes["a"]["value"] == "größe\n"
    assert nodes["b"] == {"path": "b", "base64": "G1sySg==", "permissions": ["n0", "r3"]}


def test_what_may_not_be_read_is_not_left_out_in_silence() -> None:
    nodes = {"/t": StoreNode(b"", ("n0",)), "/t/a": StoreNode(None)}
    with pytest.raises(StoreError) as caught:
        dumped(Snapshot("/t", nodes, consistent=True))
    assert caught.value.subject == "/t/a"


def with_node(**fields: object) -> dict[str, Any]:
    content = written({"a": b"1"})
    node = content["nodes"][1]
    node.update(fields)
    for name, value in fields.items():
        if value is None:
            del node[name]
    return content


def with_top(**fields: object) -> dict[str, Any]:
    return {**written({"a": b"1"}), **fields}


REFUSED: list[tuple[object, str]] = [
    ([], "no export"),
    ({}, "no export"),
    (with_top(format="other"), "no export"),
    (with_top(version=2), "version is 2"),
    (with_top(version=True), "version is True"),
    (with_top(more=1), "unknown key 'more'"),
    (with_top(path="/a//b"), "double slash"),
    (with_top(path=7), '"path" must be text'),
    (with_top(nodes=[]), "0 nodes"),
    (with_top(nodes={}), '"nodes" a list'),
    (with_top(nodes=[7]), "node 1 is no object"),
    (with_top(nodes=written({"a": b""})["nodes"][1:]), "before its parent"),
    (with_top(nodes=written({"a": b""})["nodes"] * 2), "twice"),
    (with_node(path="a/b"), "before its parent"),
    (with_node(path="/a"), "relative"),
    (with_node(path="a b"), "not allowed in a path"),
    (with_node(path="a/"), "slash"),
    (with_node(path=None), 'no "path"'),
    (with_node(value=None), 'either "value" or "base64"'),
    (with_node(base64="MQ=="), 'either "value" or "base64"'),
    (with_node(value=None, base64="M"), "cannot be decoded"),
    (with_node(value=None, base64="MQ==\n"), "cannot be decoded"),
    (with_node(value="\ud800"), "cannot be decoded"),
    (with_node(value=1), "no text"),
    (with_node(value="x" * 4097), "4,097 bytes"),
    (with_node(permissions=[]), "at least the owner"),
    (with_node(permissions="n0"), "at least the owner"),
    (with_node(permissions=["x0"]), "no permission"),
    (with_node(permissions=[1]), "no permission"),
    (with_node(valu3="1"), "unknown key 'valu3'"),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_damaged_and_foreign_files_are_refused(content: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(content)
    assert reason in caught.value.reason
    assert caught.value.subject == "dump.json"
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", json.dumps(written({"a": b"1"})).encode()[:-20], b"[" * 100_000, b'{"a":1,"a":2}'],
)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="no JSON"):
        parse(data, "x.json")


def test_an_oversized_file_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match="more than 64 MiB"):
        parse(b" " * (MAX_BYTES + 1), "x.json")


@given(data=st.binary(max_size=200))
def test_no_bytes_but_an_export_are_taken(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse(data, "x.json")
