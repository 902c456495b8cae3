"""store export, import, diff: trees in files."""

from __future__ import annotations

import os

from xentool.cli.answer import flush_answer
from xentool.cli.commands.store import asked, failing_above_one, home_of, located
from xentool.errors import HostError, NotFoundError, UsageError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.cli.context import Context
    from xentool.store.compare import Difference
    from xentool.store.dump import Dump
    from xentool.store.operations import Operations, Transaction
    from xentool.store.snapshot import Snapshot, StoreNode

CHANGES_AT_ONCE = 4_096
"""What is changed in one transaction: C xenstored's time for one grows with the square of its nodes."""


def export(context: Context, *, path: str, output: str | None, domain: str | None) -> int:
    from xentool.cli.jsontext import to_json
    from xentool.store.dump import dumped

    (node,) = located(context, [path], domain)
    if not node.startswith("/"):
        node = f"{home_of(context.store, None)}/{node}"  # in the file it must not depend on who reads it
    snapshot = _settled(context, node)
    text = to_json(asked(context.store, lambda: dumped(snapshot))) + "\n"
    if output is None or output == "-":
        context.write(text)
        return 0
    _write_file(output, text)
    if context.json:
        context.write_json({"path": node, "file": output, "nodes": len(snapshot.nodes)})
    return 0


def _settled(context: Context, path: str) -> Snapshot:
    from xentool.store.snapshot import settled_tree

    store = context.store
    snapshot = asked(store, lambda: settled_tree(store, path))
    if not snapshot.consistent:
        context.note(f"{path} changes without end: what was read may not be of one moment")
    if snapshot.unreadable:
        context.note(f"{snapshot.unreadable} of {len(snapshot.nodes)} nodes below {path} may not be read")
    return snapshot


def _write_file(name: str, text: str) -> None:
    """Put `text` into a file for its owner alone (values may be secrets): whole, or not at all.

    What is there and is no file (/dev/stdout, a pipe) is written to, never replaced.
    """
    try:
        if not _can_be_replaced(name):
            with open(name, "w", encoding="utf-8") as device:
                device.write(text)
            return
        name = os.path.realpath(name)  # a link stays: what it leads to is replaced
        draft = f"{name}.{os.getpid()}.part"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(draft, name)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as exc:
        raise HostError("write the export", name, exc.strerror or str(exc)) from exc


def _can_be_replaced(name: str) -> bool:
    """Whether `name` is an ordinary file, or nothing yet."""
    try:
        return os.stat(name).st_mode & 0o170000 == 0o100000
    except FileNotFoundError:
        return True


def import_(
    context: Context,
    *,
    file: str,
    path: str | None,
    delete: bool,
    no_permissions: bool,
    split: int | None,
    domain: str | None,
) -> int:
    from xentool.store.compare import apply_changes, check_changes

    if split == 0:
        raise UsageError("import", file, "--split needs at least 1")
    dump = _dump(file)
    # An empty PATH (a script's variable that is not set) must not lead anywhere.
    (root,) = located(context, [dump.path if path is None else path], domain)
    store = context.store
    limit = split or CHANGES_AT_ONCE
    permissions = not no_permissions

    def whole(transaction: Transaction) -> list[Difference] | None:
        """Everything in this transaction; None where that would be too much for one."""
        changes = _towards(transaction, root, dump.nodes, delete=delete, permissions=permissions)
        if len(changes) > limit:
            transaction.abort()
            return None
        with transaction.batch() as batch:
            apply_changes(batch, root, changes, permissions=permissions)
        return changes

    if not context.dry_run and len(dump.nodes) <= limit:
        changes = asked(store, lambda: store.run_transaction(whole))
        if changes is not None:
            return _imported(context, root, changes, 1 if changes else 0)
    changes = asked(store, lambda: _towards(store, root, dump.nodes, delete=delete, permissions=permissions))
    if context.dry_run:
        return _imported(context, root, changes, 0)
    parts = -(-len(changes) // limit)
    if parts > 1:
        check_changes(root, changes)
        context.note(f"{len(changes):,} changes are too many for one transaction: they are made in {parts:,}")
    for at in range(0, len(changes), limit):
        part = changes[at : at + limit]

        def some(transaction: Transaction, part: Sequence[Difference] = part) -> None:
            with transaction.batch() as batch:
                apply_changes(batch, root, part, permissions=permissions)

        try:
            asked(store, lambda some=some: store.run_transaction(some))  # type: ignore[misc]
        except XentoolError as error:
            if at:
                error.add_note(f"{at:,} of {len(changes):,} changes had been made by then, and stay")
            raise
    return _imported(context, root, changes, parts)


def _imported(context: Context, root: str, changes: Sequence[Difference], parts: int) -> int:
    if context.json:
        from xentool.cli.storetext import difference_fields

        counts = {
            kind: sum(1 for change in changes if change.kind == kind)
            for kind in ("added", "changed", "removed")
        }
        answer: dict[str, object] = {"path": root, "transactions": parts, **counts}
        if context.dry_run:
            answer["differences"] = [difference_fields(change) for change in changes]
        context.write_json(answer)
    elif context.dry_run:
        from xentool.cli.storetext import difference_lines

        context.write("".join(difference_lines(changes)))
        context.note(f"{len(changes)} nodes of {root} would be changed; nothing was")
    return 0


def _towards(
    store: Operations,
    root: str,
    wanted: dict[str, StoreNode],
    *,
    delete: bool,
    permissions: bool,
) -> list[Difference]:
    from xentool.errors import StoreError
    from xentool.store.compare import changes_towards, compare
    from xentool.store.snapshot import read_tree

    try:
        current = read_tree(store, root, permissions=permissions).relative()
    except StoreError as error:
        if error.errno_name != "ENOENT":
            raise
        current = {}
    return changes_towards(compare(current, wanted, permissions=permissions), delete=delete)


def _dump(file: str) -> Dump:
    from xentool.cli.commands.storetree import read_file
    from xentool.store.dump import MAX_BYTES, parse

    return parse(read_file(file, MAX_BYTES), "standard input" if file == "-" else file)


def diff(
    context: Context,
    *,
    before: str,
    after: str,
    no_permissions: bool,
    ignore: str | None,
    domain: str | None,
) -> int:
    from xentool.cli.storetext import difference_fields, difference_lines
    from xentool.store.compare import compare, ignoring

    with failing_above_one():
        if before == after == "-":
            raise UsageError(
                "diff", "-", "standard input can be read once only", hint="give one of them a name"
            )
        trees = [_tree_of(context, word, domain) for word in (before, after)]
        patterns = [word for word in (ignore or "").split(",") if word]
        found = compare(*trees, permissions=not no_permissions, ignore=ignoring(patterns))
        if context.json:
            listed = [difference_fields(difference) for difference in found]
            context.write_json({"equal": not found, "differences": listed})
        elif found:
            context.write(f"--- {before}\n+++ {after}\n" + "".join(difference_lines(found)))
        flush_answer()
    return 1 if found else 0


def _tree_of(context: Context, word: str, domain: str | None) -> dict[str, StoreNode]:
    """The tree that a word of the command line names: a file has a dot in its name, no node has."""
    if word == "-" or ("." in word and word != "."):
        return _dump(word).nodes
    (node,) = located(context, [word], domain)
    try:
        return _settled(context, node).relative()
    except NotFoundError as error:
        if os.path.isfile(word):
            error.hint = (
                f"if the file is meant: ./{word}" if "/" not in word else "a file has a dot in its name here"
            )
        raise
