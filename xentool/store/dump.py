"""A tree of the store in a file: ``xentool store export`` writes it, ``import`` and ``diff`` read it.

JSON, UTF-8, one object:

    format       "xentool-store"
    version      1
    path         where the tree was: "/local/domain/3"
    nodes        a list, parents before their children; each an object:
        path         relative to the tree's: "device/vif/0"; "" is the tree's own node
        value        the value, where it is text that can be printed (or tabs and line ends)
        base64       else the value so encoded; a node has exactly one of the two
        permissions  a list of "n0", "r3", ... the owner first; may be left out

A reader refuses what it does not know, so a later version may add keys only with
another number. A file is checked as a whole before anything is done with it.
"""

from __future__ import annotations

from xentool.errors import ConfigError, StoreError
from xentool.store.paths import check_path
from xentool.store.permissions import Permission
from xentool.store.snapshot import StoreNode
from xentool.store.text import value_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from xentool.store.snapshot import Snapshot

FORMAT: Final = "xentool-store"
VERSION: Final = 1
MAX_BYTES: Final = 64 << 20
MAX_NODES: Final = 500_000
VALUE_MAX: Final = 4096
"""No message, and so no value, is longer (XENSTORE_PAYLOAD_MAX)."""


class Dump:
    """What such a file says: `nodes` by path relative to `path`, where they were."""

    __slots__ = ("nodes", "path")

    def __init__(self, path: str, nodes: dict[str, StoreNode]) -> None:
        self.path = path
        self.nodes = nodes


def dumped(snapshot: Snapshot) -> dict[str, object]:
    """The object that a file of `snapshot` holds.

    Raises:
        StoreError: EACCES, a node may not be read: the file would say that it is not there.
    """
    nodes = []
    for path, node in snapshot.relative().items():
        if node.value is None or node.permissions is None:
            where = f"{snapshot.path.rstrip('/')}/{path}"
            raise StoreError("export", where, "EACCES", hint="export what this domain may read")
        nodes.append({"path": path, **value_fields(node.value), "permissions": list(node.permissions)})
    return {"format": FORMAT, "version": VERSION, "path": snapshot.path, "nodes": nodes}


def parse(data: bytes, name: str) -> Dump:
    """The tree in a file's bytes; `name` is for messages.

    Raises:
        ConfigError: it is too large, no export, of another version, or damaged.
    """
    if len(data) > MAX_BYTES:
        raise _refused(name, f"it has more than {MAX_BYTES >> 20} MiB")
    content = _json(data, name)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _refused(
            name, f"it is no export of the store (no \"format\": \"{FORMAT}\")",
            "`xentool store export` writes such files",
        )  # fmt: skip
    if type(content.get("version")) is not int or content["version"] != VERSION:
        raise _refused(
            name,
            f"its version is {content.get('version')!r}, this xentool reads version {VERSION}",
            "export it again, or use the xentool that wrote it",
        )
    _only(content, {"format", "version", "path", "nodes"}, name, "the file")
    path, listed = content.get("path"), content.get("nodes")
    if not isinstance(path, str) or not isinstance(listed, list):
        raise _refused(name, '"path" must be text and "nodes" a list')
    _check(path, name, "its path")
    if not 0 < len(listed) <= MAX_NODES:
        raise _refused(name, f"it has {len(listed):,} nodes; 1 to {MAX_NODES:,} can be")
    nodes: dict[str, StoreNode] = {}
    for number, entry in enumerate(listed, 1):
        relative, node = _node(entry, name, f"node {number}")
        if relative in nodes:
            raise _refused(name, f"node {number}: '{relative}' is there twice")
        if bool(nodes) is not bool(relative) or (relative and _parent(relative) not in nodes):
            raise _refused(
                name,
                f"node {number}: '{relative}' comes before its parent",
                'the first node is "", and children follow their parents',
            )
        nodes[relative] = node
    return Dump(path, nodes)


def _json(data: bytes, name: str) -> object:
    import json

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as exc:
        raise _refused(name, f"it is no JSON: {exc}", "was it cut off when it was copied?") from exc


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a key is there twice in one object"
        raise ValueError(msg)
    return found


def _node(entry: object, name: str, where: str) -> tuple[str, StoreNode]:
    if not isinstance(entry, dict):
        raise _refused(name, f"{where} is no object")
    _only(entry, {"path", "value", "base64", "permissions"}, name, where)
    path = entry.get("path")
    if not isinstance(path, str):
        raise _refused(name, f'{where} has no "path"')
    if path:
        _check(path, name, where)
    if path.startswith("/"):
        raise _refused(name, f"{where}: '{path}' must be relative to the file's path")
    if ("value" in entry) is ("base64" in entry):
        raise _refused(name, f'{where} must have either "value" or "base64"')
    value = _value(entry, name, where)
    if len(value) > VALUE_MAX:
        raise _refused(name, f"{where}: its value has {len(value):,} bytes, the store takes {VALUE_MAX:,}")
    return path, StoreNode(value, _permissions(entry, name, where))


def _value(entry: dict[str, object], name: str, where: str) -> bytes:
    from binascii import Error, a2b_base64

    text = entry.get("value", entry.get("base64"))
    if not isinstance(text, str):
        raise _refused(name, f"{where}: its value is no text")
    try:
        return text.encode() if "value" in entry else a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeEncodeError, Error) as exc:
        raise _refused(name, f"{where}: its value cannot be decoded: {exc}") from exc


def _permissions(entry: dict[str, object], name: str, where: str) -> tuple[str, ...] | None:
    if "permissions" not in entry:
        return None
    listed = entry["permissions"]
    if not isinstance(listed, list) or not listed:
        raise _refused(name, f"{where}: its permissions are no list of at least the owner's")
    try:
        return tuple(str(Permission.parse(word if isinstance(word, str) else "")) for word in listed)
    except StoreError as exc:
        raise _refused(name, f"{where}: {exc.subject} is no permission: {exc.reason}") from exc


def _check(path: str, name: str, where: str) -> None:
    try:
        check_path("read", path)
    except StoreError as exc:
        raise _refused(name, f"{where}: {exc.reason}") from exc


def _only(found: dict[str, object], known: set[str], name: str, where: str) -> None:
    strange = sorted(found.keys() - known)
    if strange:
        raise _refused(name, f"{where} has the unknown key {strange[0]!r}")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _refused(name: str, reason: str, hint: str = "") -> ConfigError:
    return ConfigError("read the export", name, reason, hint=hint or "nothing was changed")
