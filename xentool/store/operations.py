"""What can be asked of the store, the same inside a transaction and outside."""

from __future__ import annotations

from xentool.abi import xs_wire
from xentool.errors import StoreError, TimedOutError
from xentool.store import codec
from xentool.store.paths import check_path
from xentool.store.permissions import Permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Final, Self

    from xentool.store.batch import Batch
    from xentool.store.client import StoreClient
    from xentool.units import DomId, Mfn, Port

_LISTING_ATTEMPTS: Final = 32

_ACTIONS: Final = {
    xs_wire.XS_GET_PERMS: "read permissions of",
    xs_wire.XS_SET_PERMS: "set permissions of",
    xs_wire.XS_DIRECTORY: "list",
    xs_wire.XS_DIRECTORY_PART: "list",
    xs_wire.XS_MKDIR: "make node",
    xs_wire.XS_RM: "remove",
    xs_wire.XS_TRANSACTION_START: "start transaction",
    xs_wire.XS_TRANSACTION_END: "commit transaction",
    xs_wire.XS_INTRODUCE: "introduce domain",
    xs_wire.XS_RELEASE: "release domain",
    xs_wire.XS_RESUME: "resume domain",
    xs_wire.XS_SET_TARGET: "set target of domain",
    xs_wire.XS_IS_DOMAIN_INTRODUCED: "ask for domain",
    xs_wire.XS_GET_DOMAIN_PATH: "ask for the path of domain",
    xs_wire.XS_CONTROL: "control XenStore:",
    xs_wire.XS_WATCH_EVENT: "wait for a watch event",
}


def describe(kind: int, payload: bytes, count: int = 1) -> tuple[str, str]:
    """What was asked, for a message: ``("write", "/a/b")``; `count` requests, of which it was the first."""
    action = _ACTIONS.get(kind) or codec.operation_name(kind).lower().replace("_", " ")
    if count > 1:
        action = f"carry out {count} requests, the first: {action}"
    if kind in (xs_wire.XS_TRANSACTION_START, xs_wire.XS_TRANSACTION_END):
        return action, ""
    return action, payload.split(b"\0", 1)[0][:200].decode("utf-8", "backslashreplace")


def failure(kind: int, payload: bytes, word: bytes) -> StoreError:
    """The error for a request that the daemon refused with `word`."""
    return StoreError(*describe(kind, payload), codec.error_name(word))


def is_gone_anyway(kind: int, word: bytes) -> bool:
    """Whether the daemon refused to remove a node only because its parent is not there either."""
    return kind == xs_wire.XS_RM and word == b"ENOENT\0"


def to_bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)


def write_payload(path: str, value: str | bytes) -> bytes:
    return check_path("write", path) + b"\0" + to_bytes(value)


def permissions_payload(path: str, permissions: Iterable[Permission | str]) -> bytes:
    """The payload of SET_PERMS. Text is checked here, so that a slip is not sent."""
    raw = path.encode() if path.startswith("@") else check_path("set permissions of", path)
    texts = [
        str(Permission.parse(entry) if isinstance(entry, str) else entry).encode() for entry in permissions
    ]
    if not texts:
        raise StoreError("set permissions of", path, "EINVAL", "there must be at least the owner's")
    return codec.strings(raw, *texts)


class Operations:
    """Reads and writes, on `client`, in the transaction `tx_id` (0: in none).

    Paths are text, absolute or relative to this domain's own; values are bytes,
    or text that goes as UTF-8. Everything raises `StoreError` where the daemon
    refuses (`errno_name`: "ENOENT", "EACCES", …), `StoreGoneError` where it went
    away, `TimedOutError` where it does not answer.
    """

    __slots__ = ("client", "tx_id")

    def __init__(self, client: StoreClient, tx_id: int) -> None:
        self.client = client
        self.tx_id = tx_id

    def _ask(self, kind: int, payload: bytes) -> bytes:
        """One request; its reply's payload."""
        reply = self.client.exchange(self.tx_id, [(kind, payload)])[0]
        if reply[0] != kind:
            raise failure(kind, payload, reply[3])
        return reply[3]

    def read(self, path: str) -> bytes:
        """The value of a node."""
        return self._ask(xs_wire.XS_READ, check_path("read", path) + b"\0")

    def read_text(self, path: str) -> str:
        """The value of a node as text; what is no UTF-8 shows as ``\\xNN``."""
        return self.read(path).decode("utf-8", "backslashreplace")

    def try_read(self, path: str) -> bytes | None:
        """The value of a node, None where there is no such node."""
        return self.read_many([path])[0]

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """The values of nodes, None for each that is not there; one write to the daemon, however many."""
        requests = [(xs_wire.XS_READ, check_path("read", path) + b"\0") for path in paths]
        if not requests:
            return []
        values: list[bytes | None] = []
        for request, reply in zip(requests, self.client.exchange(self.tx_id, requests), strict=True):
            if reply[0] == xs_wire.XS_READ:
                values.append(reply[3])
            elif reply[3] == b"ENOENT\0":
                values.append(None)
            else:
                raise failure(*request, reply[3])
        return values

    def exists(self, path: str) -> bool:
        """Whether there is such a node."""
        return self.try_read(path) is not None

    def write(self, path: str, value: str | bytes) -> None:
        """Set a node's value; it and its parents are made if need be."""
        self._ask(xs_wire.XS_WRITE, write_payload(path, value))

    def mkdir(self, path: str) -> None:
        """Make sure that a node is there."""
        self._ask(xs_wire.XS_MKDIR, check_path("make node", path) + b"\0")

    def rm(self, path: str) -> None:
        """Make sure that a node, and all below it, is not there."""
        request = (xs_wire.XS_RM, check_path("remove", path) + b"\0")
        reply = self.client.exchange(self.tx_id, [request])[0]
        if reply[0] != xs_wire.XS_RM and not is_gone_anyway(xs_wire.XS_RM, reply[3]):
            raise failure(*request, reply[3])

    def get_perms(self, path: str) -> list[Permission]:
        """Who may do what; the owner first."""
        reply = self._ask(xs_wire.XS_GET_PERMS, check_path("read permissions of", path) + b"\0")
        return [Permission.parse(text.decode("ascii", "replace")) for text in codec.split_strings(reply)]

    def set_perms(self, path: str, permissions: Iterable[Permission | str]) -> None:
        """Say who may do what; the owner first: ``set_perms(path, ["n0", "r3"])``."""
        self._ask(xs_wire.XS_SET_PERMS, permissions_payload(path, permissions))

    def directory(self, path: str) -> list[str]:
        """The names of a node's children, in the daemon's order."""
        payload = check_path("list", path) + b"\0"
        reply = self.client.exchange(self.tx_id, [(xs_wire.XS_DIRECTORY, payload)])[0]
        if reply[0] == xs_wire.XS_DIRECTORY:
            return _names(reply[3])
        if reply[3] != b"E2BIG\0":
            raise failure(xs_wire.XS_DIRECTORY, payload, reply[3])
        return _names(self._large_directory(payload))

    def _large_directory(self, payload: bytes) -> bytes:
        """A list of children in parts, begun again where it changed in between."""
        for _ in range(_LISTING_ATTEMPTS):
            listing = b""
            generation = None
            while True:
                part = self._ask(xs_wire.XS_DIRECTORY_PART, payload + b"%d\0" % len(listing))
                seen, _, names = part.partition(b"\0")
                if generation is None:
                    generation = seen
                if seen != generation:
                    break
                # The end is marked by an empty name after the last one.
                if names in (b"", b"\0") or names.endswith(b"\0\0"):
                    return listing + names[:-1]
                listing += names
        raise StoreError(
            *describe(xs_wire.XS_DIRECTORY_PART, payload),
            "EAGAIN",
            f"its children changed while they were listed, {_LISTING_ATTEMPTS} times in a row",
        )

    def tree(self, path: str) -> dict[str, bytes]:
        """A node and all below it, parents before their children: ``{path: value}``.

        A level at a time, each in one write. Nodes that vanish meanwhile are left
        out; in a transaction it is all of one moment.

        Raises:
            StoreError: ENOENT, there is no such node.
        """
        found: dict[str, bytes] = {}
        below: dict[str, list[str]] = {}
        level = [path]
        while level:
            values = self.read_many(level)
            listings = self.directories(level)
            following: list[str] = []
            for node, value, names in zip(level, values, listings, strict=True):
                if value is not None and names is not None:
                    found[node] = value
                    below[node] = [f"{node.rstrip('/')}/{name}" for name in names]
                    following += below[node]
            level = following
        if path not in found:
            raise StoreError("read tree", path, "ENOENT")
        ordered: dict[str, bytes] = {}
        stack = [path]
        while stack:
            node = stack.pop()
            if node in found:
                ordered[node] = found[node]
                stack += reversed(below[node])
        return ordered

    def directories(self, paths: Sequence[str]) -> list[list[str] | None]:
        """The children of each node in one go; None for each that is not there."""
        requests = [(xs_wire.XS_DIRECTORY, check_path("list", path) + b"\0") for path in paths]
        listings: list[list[str] | None] = []
        for path, request, reply in zip(
            paths, requests, self.client.exchange(self.tx_id, requests), strict=True
        ):
            if reply[0] == xs_wire.XS_DIRECTORY:
                listings.append(_names(reply[3]))
            elif reply[3] == b"E2BIG\0":
                listings.append(self._large_listing(path))
            elif reply[3] == b"ENOENT\0":
                listings.append(None)
            else:
                raise failure(*request, reply[3])
        return listings

    def _large_listing(self, path: str) -> list[str] | None:
        """The children of a node that had too many for one answer; None if it has gone since."""
        try:
            return self.directory(path)
        except StoreError as exc:
            if exc.errno_name == "ENOENT":
                return None
            raise


class Administration(Operations):
    """What dom0 asks of the daemon about domains, and about itself."""

    __slots__ = ()

    def introduce(self, domid: DomId, gfn: Mfn, port: Port) -> None:
        """Tell the daemon to serve a domain over its ring: frame `gfn`, event channel `port`."""
        self._ask(xs_wire.XS_INTRODUCE, codec.strings(b"%d" % domid, b"%d" % gfn, b"%d" % port))

    def release(self, domid: DomId) -> None:
        """Tell the daemon to let go of a domain."""
        self._ask(xs_wire.XS_RELEASE, b"%d\0" % domid)

    def resume(self, domid: DomId) -> None:
        """Tell the daemon that a domain that was shut down runs again."""
        self._ask(xs_wire.XS_RESUME, b"%d\0" % domid)

    def set_target(self, domid: DomId, target: DomId) -> None:
        """Give `domid` (a device model's domain) the rights of `target`."""
        self._ask(xs_wire.XS_SET_TARGET, codec.strings(b"%d" % domid, b"%d" % target))

    def is_introduced(self, domid: DomId) -> bool:
        """Whether the daemon serves that domain."""
        return self._ask(xs_wire.XS_IS_DOMAIN_INTRODUCED, b"%d\0" % domid)[:1] == b"T"

    def domain_path(self, domid: DomId) -> str:
        """Where a domain's relative paths begin: ``/local/domain/3``."""
        return self._ask(xs_wire.XS_GET_DOMAIN_PATH, b"%d\0" % domid).rstrip(b"\0").decode("ascii")

    def control(self, *words: str) -> str:
        """What the daemon says to a control command, ``control("quota", "3")``."""
        reply = self._ask(
            xs_wire.XS_CONTROL, codec.strings(*[word.encode("utf-8", "surrogateescape") for word in words])
        )
        return reply.rstrip(b"\0").decode("utf-8", "backslashreplace")


class Transaction(Operations):
    """The same operations, in a transaction. Leaving its ``with`` commits it, unless an error does."""

    __slots__ = ("_open",)

    def __init__(self, client: StoreClient, tx_id: int) -> None:
        super().__init__(client, tx_id)
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def commit(self) -> None:
        """Make it happen. Nothing if it was committed or aborted already.

        Raises:
            StoreError: EAGAIN, somebody changed what this transaction read or wrote.
        """
        if self._open:
            self._open = False
            self._ask(xs_wire.XS_TRANSACTION_END, b"T\0")

    def abort(self) -> None:
        """Undo it all. Never raises: an error is on its way already, and a daemon that is lost aborts too."""
        if self._open:
            self._open = False
            try:  # contextlib.suppress would cost 3 ms to import
                self._ask(xs_wire.XS_TRANSACTION_END, b"F\0")
            except (StoreError, TimedOutError):
                pass

    def batch(self) -> Batch:
        """Requests of this transaction that are sent in one go when the ``with`` ends."""
        from xentool.store.batch import Batch

        return Batch(self.client, self.tx_id)


def _names(listing: bytes) -> list[str]:
    return listing[:-1].decode("ascii", "backslashreplace").split("\0") if listing else []
