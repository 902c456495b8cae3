"""store tree, watch, transaction."""

from __future__ import annotations

import os
import sys

from xentool.cli.answer import flush_answer
from xentool.cli.commands.store import asked, home_of, located
from xentool.errors import HostError, TimedOutError
from xentool.store.text import escaped, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.cli.context import Context
    from xentool.store.client import StoreClient
    from xentool.store.operations import Transaction

_SCRIPT_MAX_BYTES = 16 << 20


def tree(
    context: Context,
    *,
    paths: tuple[str, ...],
    flat: bool,
    permissions: bool,
    whole: bool,
    domain: str | None,
) -> int:
    from xentool.store.snapshot import read_tree

    store = context.store
    tops = paths or ("/" if domain is None else ".",)
    answers: list[dict[str, object]] = []
    wanted = permissions or context.json
    for node in located(context, tops, domain):
        snapshot = asked(store, lambda node=node: read_tree(store, node, permissions=wanted))  # type: ignore[misc]
        if context.json:
            from xentool.cli.storetext import node_fields

            answers += [{"path": path, **node_fields(found)} for path, found in snapshot.nodes.items()]
        else:
            from xentool.cli.storetext import tree_text

            lines = tree_text(snapshot, permissions=permissions, flat=flat, width=_width(), whole=whole)
            context.write("".join(lines))
        if snapshot.unreadable:
            context.note(f"{snapshot.unreadable} of {len(snapshot.nodes)} nodes may not be read")
    if context.json:
        context.write_json(answers)
    return 0


def _width() -> int:
    """The columns to fill, as xenstore-ls finds them."""
    from xentool.cli.storetext import PLAIN_WIDTH

    try:
        return os.get_terminal_size(1).columns - 2
    except OSError:
        return PLAIN_WIDTH


def watch(
    context: Context, *, paths: tuple[str, ...], number: int | None, timeout: float | None, domain: str | None
) -> int:
    store = context.store
    nodes = located(context, paths, domain)
    watches = [
        asked(store, lambda node=node: store.watch(node, node))  # type: ignore[misc]
        for node in dict.fromkeys(nodes)
    ]
    seen = 0
    for path, token in _events(store, number, timeout):
        seen += 1
        if context.json:
            from xentool.cli.jsontext import to_json

            context.write(f'{{"path": {to_json(path)}, "watched": {to_json(token)}}}\n')
        else:
            context.write(shown(path) + "\n")
        flush_answer()
    for each in watches:
        each.unwatch()
    if number is not None and seen < number:
        raise TimedOutError(
            "watch",
            " ".join(nodes),
            f"{seen} of {number} events came within {timeout:g} s",
            hint="an event comes at once for each path, the others when something changes",
        )
    return 0


def _events(store: StoreClient, number: int | None, timeout: float | None) -> Iterator[tuple[str, str]]:
    from time import monotonic

    end = None if timeout is None else monotonic() + timeout
    seen = 0
    while number is None or seen < number:
        event = store.next_event(None if end is None else max(0.0, end - monotonic()))
        if event is None:
            return
        seen += 1
        yield event.path, event.token


def transaction(context: Context, *, file: str | None, prefix: bool, domain: str | None) -> int:
    from xentool.store.script import carry_out, parse_script

    name = "standard input" if file in (None, "-") else str(file)
    text = read_file(file or "-", _SCRIPT_MAX_BYTES)
    homes: list[str] = []

    def locate(path: str) -> str:
        if path.startswith("/") or (domain is None and path != "."):
            return path
        if not homes:
            homes.append(home_of(context.store, domain))
        return homes[0] if path == "." else f"{homes[0]}/{path}"

    steps = parse_script(text, name, locate)
    store = context.store

    def body(transaction: Transaction) -> list[tuple[str, bytes]]:
        values = carry_out(transaction, steps)
        if context.dry_run:
            transaction.abort()
        return values

    values = asked(store, lambda: store.run_transaction(body))
    if context.json:
        from xentool.store.text import value_fields

        reads = [{"path": path, **value_fields(value)} for path, value in values]
        context.write_json({"operations": len(steps), "committed": not context.dry_run, "reads": reads})
        return 0
    context.write(
        "".join(f"{path}: {escaped(value)}\n" if prefix else f"{escaped(value)}\n" for path, value in values)
    )
    if context.dry_run:
        context.note(f"{len(steps)} operations would be carried out; nothing was changed")
    return 0


def read_file(name: str, limit: int) -> bytes:
    """The bytes of a file, or of standard input (``-``); at most one more than `limit`.

    Raises:
        HostError: it cannot be read.
    """
    try:
        if name == "-":
            if sys.stdin is None:
                raise HostError("read", "standard input", "it is closed")
            return sys.stdin.buffer.read(limit + 1)
        with open(name, "rb") as file:
            return file.read(limit + 1)
    except OSError as exc:
        raise HostError("read", name, exc.strerror or str(exc)) from exc
