"""Names of nodes: what is a path, and what is not.

Two views of the same rules. `check_path` is the client's: it explains to a
person what is wrong before anything is sent. `is_node_name` is the server's:
yes or no, on bytes, as xenstored decides it.

Source: docs/misc/xenstore.txt, public/io/xs_wire.h (XENSTORE_*_PATH_MAX).
"""

from __future__ import annotations

from xentool.abi.xs_wire import XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX
from xentool.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NAME_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@"

_DOMAIN_PREFIX = b"/local/domain/"


def _fault(path: str, raw: bytes) -> str:
    """What is wrong with `path`; empty if nothing is."""
    if not path:
        return "the path is empty"
    if strange := raw.translate(None, NAME_BYTES):
        shown = repr(chr(strange[0])) if strange[0] < 0x80 else "a character beyond ASCII"
        return f"{shown} is not allowed in a path (letters, digits and -/_@ are)"
    if b"//" in raw:
        return "the path has a double slash"
    if raw.endswith(b"/") and raw != b"/":
        return "the path ends in a slash"
    limit = XENSTORE_ABS_PATH_MAX if raw.startswith(b"/") else XENSTORE_REL_PATH_MAX
    if len(raw) > limit:
        kind = "an absolute" if raw.startswith(b"/") else "a relative"
        return f"the path has {len(raw):,} bytes, {kind} one may have {limit:,}"
    return ""


def check_path(action: str, path: str) -> bytes:
    """`path` for the wire.

    Raises:
        StoreError: EINVAL, with what is wrong about it.
    """
    raw = path.encode("utf-8", "surrogatepass")
    if (
        raw.translate(None, NAME_BYTES)
        or raw.find(b"//") >= 0
        or len(raw) > XENSTORE_REL_PATH_MAX
        or raw[-1:] in (b"/", b"")
    ):
        reason = _fault(path, raw)
        if reason:
            raise StoreError(action, path[:120], "EINVAL", reason)
    return raw


def check_watch_path(action: str, path: str) -> bytes:
    """`path` for WATCH: a node's path, or a special one ("@releaseDomain").

    Raises:
        StoreError: EINVAL, with what is wrong about it.
    """
    if not path.startswith("@"):
        return check_path(action, path)
    raw = path.encode("utf-8", "surrogatepass")
    if b"\0" in raw or len(raw) > XENSTORE_REL_PATH_MAX:
        raise StoreError(action, path[:120], "EINVAL", "the special path has a NUL or is too long")
    return raw


def domain_prefix_length(path: bytes) -> int:
    """How long ``/local/domain/N/`` is if `path` begins with it (N: 1 to 5 digits); else 0."""
    if not path.startswith(_DOMAIN_PREFIX):
        return 0
    start = len(_DOMAIN_PREFIX)
    end = path.find(b"/", start)
    digits = path[start:end] if end > 0 else b""
    return end + 1 if 0 < len(digits) <= 5 and digits.isdigit() else 0


def is_node_name(path: bytes, path_max: int = XENSTORE_REL_PATH_MAX) -> bool:
    """Whether `path` may name a node. `path_max` counts from below /local/domain/N/."""
    return (
        path[:1] == b"/"
        and not path.translate(None, NAME_BYTES)
        and path.find(b"//") < 0
        and (path[-1:] != b"/" or path == b"/")
        and (len(path) <= path_max or len(path) <= path_max + domain_prefix_length(path))
    )


def parent_of(path: bytes) -> bytes:
    """The path one up; the root's is the root, and so is a special path's ("@releaseDomain")."""
    at = path.rfind(b"/")
    return path[:at] if at > 0 else b"/"


def leaf_of(path: bytes) -> bytes:
    return path[path.rfind(b"/") + 1 :]


def child_of(path: bytes, leaf: bytes) -> bytes:
    return b"/" + leaf if path == b"/" else path + b"/" + leaf
