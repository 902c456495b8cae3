"""store read, write, ls, rm, mkdir, exists, chmod: single nodes, as the xenstore-* tools treat them."""

from __future__ import annotations

from xentool.cli.answer import flush_answer
from xentool.errors import StoreError, UsageError, XentoolError
from xentool.store.text import escaped, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias, TypeVar

    from xentool.cli.context import Context
    from xentool.store.client import StoreClient
    from xentool.store.operations import Transaction

    T = TypeVar("T")
    Where: TypeAlias = StoreClient | Transaction


def asked(store: StoreClient, act: Callable[[], T]) -> T:
    """What `act` returns; a refusal of the daemon comes with what there is to know about its node.

    Raises:
        NotFoundError: there is no such node.
        StoreError: everything else.
    """
    try:
        return act()
    except StoreError as error:
        from xentool.store.explain import explained

        better = explained(store, error)
        if better is error:
            raise
        raise better from error


def located(context: Context, paths: Sequence[str], domain: str | None) -> list[str]:
    """`paths`, the relative ones below the home of `domain` if one is named; ``.`` is that home."""
    if domain is None and "." not in paths:
        return list(paths)
    home = ""
    found = []
    for path in paths:
        if path.startswith(("/", "@")):
            found.append(path)
            continue
        if not home:
            home = home_of(context.store, domain)
        found.append(home if path == "." else f"{home}/{path}")
    return found


def home_of(store: StoreClient, domain: str | None) -> str:
    """The node of `domain`, or the caller's own."""
    from xentool.store.locate import domain_home, own_home

    return own_home(store) if domain is None else domain_home(store, domain)


def in_one(store: StoreClient, act: Callable[[Where], T], count: int) -> T:
    """`act` on the store; in a transaction where it is more than one request."""
    if count > 1:
        return asked(store, lambda: store.run_transaction(act))
    return asked(store, lambda: act(store))


def read(context: Context, *, paths: tuple[str, ...], prefix: bool, raw: bool, domain: str | None) -> int:
    store = context.store
    nodes = located(context, paths, domain)
    values = in_one(store, lambda where: _values(where, nodes), len(nodes))
    if context.json:
        from xentool.store.text import value_fields

        answers = [{"path": node, **value_fields(value)} for node, value in zip(nodes, values, strict=True)]
        context.write_json(answers)
    elif raw:
        for path, value in zip(paths, values, strict=True):
            context.write_bytes(f"{shown(path)}: ".encode() + value if prefix else value)
    else:
        context.write(
            "".join(
                f"{shown(path)}: {escaped(value)}\n" if prefix else f"{escaped(value)}\n"
                for path, value in zip(paths, values, strict=True)
            )
        )
    return 0


def _values(store: Where, paths: list[str]) -> list[bytes]:
    values = []
    for path, value in zip(paths, store.read_many(paths), strict=True):
        if value is None:
            raise StoreError("read", path, "ENOENT")
        values.append(value)
    return values


def write(context: Context, *, words: tuple[str, ...], raw: bool, domain: str | None) -> int:
    if len(words) % 2:
        raise UsageError(
            "write",
            words[-1],
            "it has no value",
            hint='paths and values come in pairs: `store write PATH VALUE`; "" is an empty value',
        )
    nodes = located(context, words[::2], domain)
    values = [value_of(word, raw=raw) for word in words[1::2]]

    def act(store: Where) -> None:
        with store.batch() as batch:
            for node, value in zip(nodes, values, strict=True):
                batch.write(node, value)

    in_one(context.store, act, len(nodes))
    return done(context, nodes, "written")


def value_of(word: str, *, raw: bool) -> bytes:
    """The bytes that a word of the command line means."""
    from os import fsencode

    from xentool.store.text import unescaped

    return fsencode(word) if raw else unescaped(fsencode(word))


def done(context: Context, paths: Sequence[str], what: str) -> int:
    """Success is silent, but to a program that asked for an answer."""
    if context.json:
        context.write_json([{"path": path, "done": what} for path in paths])
    return 0


def list_children(
    context: Context, *, paths: tuple[str, ...], prefix: bool, long: bool, domain: str | None
) -> int:
    store = context.store
    tops = paths or ("/" if domain is None else ".",)
    nodes = located(context, tops, domain)
    listings = in_one(store, lambda where: [where.directory(node) for node in nodes], len(nodes))
    if long:
        return _long_listing(context, nodes, prefix=prefix)
    if context.json:
        listed = zip(nodes, listings, strict=True)
        context.write_json([{"path": node, "children": names} for node, names in listed])
        return 0
    # xenstore-list, too, ends "/" in two slashes under -p: scripts get what they know.
    context.write(
        "".join(
            f"{shown(top)}/{shown(name)}\n" if prefix else f"{shown(name)}\n"
            for top, names in zip(tops, listings, strict=True)
            for name in names
        )
    )
    return 0


def _long_listing(context: Context, nodes: list[str], *, prefix: bool) -> int:
    from xentool.cli.storetext import node_fields, node_line
    from xentool.store.compare import join
    from xentool.store.snapshot import read_nodes

    store = context.store
    answers = []
    lines = []
    for node in nodes:
        found = asked(store, lambda node=node: read_nodes(store, node))  # type: ignore[misc]
        for name, child in found.items():
            answers.append({"path": join(node, name), **node_fields(child)})
            lines.append(node_line(join(node, name) if prefix else name, child) + "\n")
    if context.json:
        context.write_json(answers)
    else:
        context.write("".join(lines))
    return 0


def remove(context: Context, *, paths: tuple[str, ...], tidy: bool, domain: str | None) -> int:
    nodes = located(context, paths, domain)

    def act(store: Where) -> None:
        for node in nodes:
            _remove(store, node)
            above = node
            while tidy and (above := above.rpartition("/")[0]) and _is_void(store, above):
                _remove(store, above)

    in_one(context.store, act, len(nodes) + tidy)
    return done(context, nodes, "removed")


def _remove(store: Where, path: str) -> None:
    """Remove a node; unlike `Operations.rm` with the refusal where the one above is not there either."""
    if not store.exists(path):
        above = path.rpartition("/")[0]
        if above and not store.exists(above):
            raise StoreError("remove", path, "ENOENT")
    store.rm(path)


def _is_void(store: Where, path: str) -> bool:
    return store.try_read(path) == b"" and not store.directory(path)


def make(context: Context, *, paths: tuple[str, ...], domain: str | None) -> int:
    nodes = located(context, paths, domain)

    def act(store: Where) -> None:
        with store.batch() as batch:
            for node in nodes:
                batch.mkdir(node)

    in_one(context.store, act, len(nodes))
    return done(context, nodes, "made")


def exists(context: Context, *, paths: tuple[str, ...], domain: str | None) -> int:
    with failing_above_one():
        nodes = located(context, paths, domain)
        store = context.store
        values = in_one(store, lambda where: where.read_many(nodes), len(nodes))
        if context.json:
            pairs = zip(nodes, values, strict=True)
            context.write_json([{"path": node, "exists": value is not None} for node, value in pairs])
            flush_answer()
    return 1 if None in values else 0


class failing_above_one:  # noqa: N801 - used as a function; contextlib is not imported for it
    """For commands whose exit code 1 is an answer: within, every error has another one.

    The answer is flushed within as well: that the disk is full is not the answer either.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, XentoolError):
            error.exit_code = max(error.exit_code, 2)


def chmod(
    context: Context,
    *,
    path: str,
    permissions: tuple[str, ...],
    recurse: bool,
    upto: bool,
    domain: str | None,
) -> int:
    from xentool.store.permissions import Permission

    try:
        wanted = [Permission.parse(word) for word in permissions]
    except StoreError as error:
        raise UsageError(
            "change permissions of",
            path,
            f"{error.subject} is no permission",
            hint="a permission is n, r, w or b and a domid: `n0 r3`",
        ) from error
    (node,) = located(context, [path], domain)
    store = context.store

    def act(where: Where) -> list[str]:
        nodes = [node]
        above = node
        while upto and (above := above.rpartition("/")[0]):  # like xenstore-chmod, up to but not the root
            nodes.append(above)
        if recurse:
            from xentool.store.snapshot import read_tree

            nodes += list(read_tree(where, node, permissions=False).nodes)[1:]
        with where.batch() as batch:
            for changed in nodes:
                batch.set_perms(changed, wanted)
        return nodes

    return done(context, in_one(store, act, 1 + recurse + upto), "changed")
