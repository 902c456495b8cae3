"""What distinguishes two trees, and what makes one the other. Pure: `StoreNode`s in, `Difference`s out.

Trees are dicts by path relative to their root, which itself is ``""``.
"""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.store import codec
from xentool.store.operations import write_payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xentool.store.batch import Batch
    from xentool.store.snapshot import StoreNode


class Difference:
    """`path` is other in the second tree: `before` is None where it was added, `after` where it is removed.

    `value` and `permissions`: which of them differ, where both trees have the node.
    """

    __slots__ = ("after", "before", "path", "permissions", "value")

    def __init__(
        self,
        path: str,
        before: StoreNode | None,
        after: StoreNode | None,
        *,
        value: bool = False,
        permissions: bool = False,
    ) -> None:
        self.path = path
        self.before = before
        self.after = after
        self.value = value
        self.permissions = permissions

    @property
    def kind(self) -> str:
        """``"added"``, ``"removed"`` or ``"changed"``."""
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def compare(
    before: Mapping[str, StoreNode],
    after: Mapping[str, StoreNode],
    *,
    permissions: bool = True,
    ignore: Callable[[str], bool] = lambda _path: False,
) -> list[Difference]:
    """The differences, parents before children and otherwise by name.

    Permissions that one of the trees does not know are no difference. What
    `ignore` says yes to (a relative path) is left out with all below it.
    """
    found: list[Difference] = []
    ignored: list[str] = []
    for path in sorted(before.keys() | after.keys(), key=lambda path: path.split("/")):
        if any(path.startswith(above) for above in ignored):
            continue
        if path and ignore(path):
            ignored.append(path + "/")
            continue
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            found.append(Difference(path, old, new))
            continue
        other_value = old.value != new.value
        known = permissions and old.permissions is not None and new.permissions is not None
        other_permissions = known and old.permissions != new.permissions
        if other_value or other_permissions:
            found.append(Difference(path, old, new, value=other_value, permissions=other_permissions))
    return found


def ignoring(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a relative path is one of `patterns` (of the shell's kind): whole, or by its last name."""
    from fnmatch import fnmatchcase

    def ignore(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in patterns)

    return ignore


def changes_towards(differences: Sequence[Difference], *, delete: bool) -> list[Difference]:
    """What has to be done to get from the first tree to the second; removing only if `delete`.

    Removing a node takes what is below it along, so only the topmost are named.
    """
    changes: list[Difference] = []
    gone = ""
    for difference in differences:
        if difference.kind != "removed":
            changes.append(difference)
        elif delete and not (gone and difference.path.startswith(gone)):
            gone = difference.path + "/"
            changes.append(difference)
    return changes


def apply_changes(
    batch: Batch, root: str, changes: Sequence[Difference], *, permissions: bool = True
) -> None:
    """Ask `batch` for `changes` below `root`."""
    for change in changes:
        path = join(root, change.path)
        after = change.after
        if after is None:
            batch.rm(path)
            continue
        if change.before is None or change.value:
            batch.write(path, after.value or b"")
        if permissions and after.permissions and (change.before is None or change.permissions):
            batch.set_perms(path, after.permissions)


def check_changes(root: str, changes: Sequence[Difference]) -> None:
    """See that each of `changes` below `root` can be asked for at all, before the first one is.

    Raises:
        StoreError: EINVAL, a path is too long; E2BIG, with its value it is more than a message.
    """
    for change in changes:
        if change.after is not None:
            payload = write_payload(join(root, change.path), change.after.value or b"")
            codec.encode(xs_wire.XS_WRITE, 0, 0, payload)


def join(root: str, relative: str) -> str:
    """The path of a node from its tree's root and its relative path."""
    if not relative:
        return root
    return f"{root.rstrip('/')}/{relative}"
