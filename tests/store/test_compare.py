"""Differences of trees, and getting from one to the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xentool.store.client import StoreClient
from xentool.store.compare import apply_changes, changes_towards, compare, ignoring
from xentool.store.local import LocalTransport
from xentool.store.server import Server
from xentool.store.snapshot import StoreNode, read_tree

PATHS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map("/".join)
NODES = st.builds(
    StoreNode,
    st.sampled_from([b"", b"1", b"\xff"]),
    st.sampled_from([("n0",), ("n0", "r3"), ("r4", "b3")]),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, StoreNode]:
    found = {"": draw(NODES)}
    for path in draw(st.lists(PATHS, max_size=8)):
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            found.setdefault("/".join(parts[:depth]), draw(NODES))
    return found


def plain(tree: dict[str, StoreNode], *, permissions: bool = True) -> dict[str, object]:
    return {path: (node.value, node.permissions if permissions else None) for path, node in tree.items()}


def store_with(tree: dict[str, StoreNode]) -> StoreClient:
    client = StoreClient(transport=LocalTransport(Server().connect()))
    with client.batch() as batch:
        for path, node in tree.items():
            batch.write(f"/t/{path}".rstrip("/"), node.value or b"", node.permissions)
    return client


@given(before=trees(), after=trees())
def test_applying_the_changes_makes_one_tree_the_other(
    before: dict[str, StoreNode], after: dict[str, StoreNode]
) -> None:
    client = store_with(before)
    changes = changes_towards(compare(before, after), delete=True)
    with client.batch() as batch:
        apply_changes(batch, "/t", changes)
    assert plain(read_tree(client, "/t").relative()) == plain(after)


@given(before=trees(), after=trees())
def test_without_delete_everything_of_both_is_there(
    before: dict[str, StoreNode], after: dict[str, StoreNode]
) -> None:
    client = store_with(before)
    changes = changes_towards(compare(before, after), delete=False)
    with client.batch() as batch:
        apply_changes(batch, "/t", changes)
    assert plain(read_tree(client, "/t").relative()) == plain({**before, **after})


@given(before=trees(), after=trees())
def test_differences_are_mirrored_and_none_of_a_tree_to_itself(
    before: dict[str, StoreNode], after: dict[str, StoreNode]
) -> None:
    assert compare(before, before) == []
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    there = [(found.path, opposite[found.kind]) for found in compare(before, after)]
    assert there == [(found.path, found.kind) for found in compare(after, before)]


def test_each_kind_of_difference() -> None:
    before = {"": StoreNode(b"", ("n0",)), "a": StoreNode(b"1", ("n0",)), "b": StoreNode(b"", ("n0",))}
    after = {"": StoreNode(b"", ("n0",)), "a": StoreNode(b"2", ("n0",)), "c": StoreNode(b"", ("n0",))}
    after["b"] = StoreNode(b"", ("r0",))
    found = [(d.path, d.kind, d.value, d.permissions) for d in compare(before, after)]
    assert found == [
        ("a", "changed", True, False),
        ("b", "changed", False, True),
        ("c", "added", False, False),
    ]
    assert [d.path for d in compare(before, after, permissions=False)] == ["a", "c"]
    after["b"] = StoreNode(b"", None)
    assert [d.path for d in compare(before, after)] == ["a", "c"]


def test_ignored_nodes_take_along_what_is_below_them() -> None:
    node = StoreNode(b"", ("n0",))
    after = {"": node, "data": node, "data/x": node, "data/x/state": node, "dat": node, "v/tty": node}
    for patterns, left in (
        (["data"], ["dat", "v/tty"]),
        (["*/tty", "x"], ["dat", "data"]),
        (["data/*"], ["dat", "data", "v/tty"]),
        (["*"], []),
    ):
        found = compare({"": node}, after, ignore=ignoring(patterns))
        assert [difference.path for difference in found] == left
