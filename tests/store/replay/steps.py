"""What a replay does: random steps, the same for the same seed, that depend on no answer.

So any of them can be left out, and the rest still means something: so a failing replay is made short.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.store.replay.profiles import WEIGHTS, Profile
from xentool.abi import xs_wire as xs

BOGUS_TRANSACTION = -7
"""A request's `slot` for a transaction that was never started."""


class Request(NamedTuple):
    """One request. `slot` is 0, or the number under which its connection started the transaction (a START
    with a slot starts it under that number)."""

    kind: int
    payload: bytes
    slot: int = 0
    inside: int = 0
    """For START: the slot of the transaction that it is, wrongly, asked for in."""

    def __repr__(self) -> str:
        inside = f", inside={self.inside}" if self.inside else ""
        payload = repr(self.payload)
        for byte in ("v", "y", "x/"):
            longest = max((len(run) for run in re.findall(f"(?:{byte})+", payload)), default=0)
            if longest > 40:
                payload = payload.replace(
                    byte * (longest // len(byte)), f"'+{byte!r}*{longest // len(byte)}+b'"
                )
        return f"Request({self.kind}, {payload}, {self.slot}{inside})"


class Step(NamedTuple):
    """`who` sends `requests` in one go; or (without requests) `what` happens to domain `domid`."""

    who: str = ""
    requests: tuple[Request, ...] = ()
    what: str = ""
    domid: int = 0


_PERMS = "nrwb"
_ODD = (
    *((xs.XS_GET_DOMAIN_PATH, payload) for payload in (b"7\0", b"\0", b"7x\0")),
    *((xs.XS_IS_DOMAIN_INTRODUCED, payload) for payload in (b"2\0", b"77\0", b"0\0", b"32752\0")),
    *((xs.XS_INTRODUCE, payload) for payload in (b"2\x001\0", b"2\x001\0-5\0", b"2\x001\x000\0")),
    *((xs.XS_RELEASE, payload) for payload in (b"0\0", b"77\0", b"\0")),
    *((xs.XS_RESUME, payload) for payload in (b"77\0", b"0\0")),
    *((xs.XS_CONTROL, payload) for payload in (b"nope\0", b"")),
    *((xs.XS_READ, payload) for payload in (b"/tool", b"", b"/tool\0x\0")),
    *((xs.XS_WATCH, payload) for payload in (b"/tool\0", b"/tool\0t\0u\0")),
    *((xs.XS_SET_PERMS, payload) for payload in (b"/tool\0", b"/tool\0n0")),
    *((xs.XS_SET_TARGET, payload) for payload in (b"2\0", b"2\x0077\0")),
    (xs.XS_WRITE, b"/tool/a"),
    (xs.XS_UNWATCH, b"/tool\0"),
    (xs.XS_DIRECTORY_PART, b"/tool\0"),
    (xs.XS_TRANSACTION_START, b""),
    (xs.XS_RESET_WATCHES, b""),
    (xs.XS_MKDIR, b"/tool\0\0"),
    (xs.XS_RM, b""),
    (99, b"x\0"),
)
_NO_PATHS = (b"", b"//", b"/a/", b"/a//b", b"/a b", b"/a\xff", b"a/")
_DEEP = b"/x" * 1500
_STRANGE_PATHS = (
    *_NO_PATHS, _DEEP, _DEEP + b"/x" * 100, b"@bad", b"@releaseDomain", b"/local/domain/1/" + b"y" * 2048,
    b"rel/" + b"y" * 2044, b"y" * 2048, b"y" * 2049, b"/tool/..",
)  # fmt: skip


_ONE_PATH = (xs.XS_READ, xs.XS_DIRECTORY, xs.XS_GET_PERMS, xs.XS_MKDIR, xs.XS_RM)
_SPECIAL = (b"@releaseDomain", b"@introduceDomain")


def is_fatal(xen: str, who: str, request: Request) -> bool:
    """Whether the release's C xenstored ends of it, or of what comes later.

    4.17 answers a path that is no string, and permissions of a special path that are refused, with what errno
    was left from before, and ends if that is 0. Both were mended in 4.18. The same happens, in 4.20 too, to
    who writes what its owner has no memory left for: no profile goes so far, but for what counts since 4.18,
    KNOWN: "dom0's memory". And since 4.18 it ends with the domain that a special path was given to: it looks
    for the slash in that path.
    """
    kind, payload = request.kind, request.payload
    if xen != "4.17":
        if kind in (xs.XS_WRITE, xs.XS_MKDIR):
            return payload.startswith(_DEEP)
        is_special = kind == xs.XS_SET_PERMS and payload[:1] == b"@"
        return is_special and who[0] == "s" and payload.split(b"\0")[1][1:] != b"0"
    if kind in _ONE_PATH:
        return not payload or payload.find(b"\0") != len(payload) - 1
    is_special = kind == xs.XS_SET_PERMS and payload[:1] == b"@"
    return is_special and (who[0] == "d" or payload.split(b"\0")[0] not in _SPECIAL)


class Generator:
    """Steps of a `profile` from a `seed`. What it knows of the store is what it has sent itself."""

    def __init__(self, profile: Profile, seed: str, xen: str) -> None:
        self.profile = profile
        self._xen = xen
        self.random = random.Random(seed)
        weights = {**WEIGHTS, **dict(profile.weights)}
        if not profile.domids:
            for name in ("domain", "shut_down", "target"):
                weights[name] = 0
        if profile.top:
            weights["control"] = weights["odd"] = 0
        self._actions = list(weights)
        self._weights = list(weights.values())
        self._slots: dict[str, list[int]] = {}
        self._watched: dict[str, list[tuple[bytes, bytes]]] = {}
        self._serial = 0
        self._used_again = 0
        """The serial of the last transaction that was begun before a domid was used again."""
        self._introduced: list[int] = []
        self._targets: set[int] = set()
        self._sockets = ["s0", "s1", "s2"]

    def steps(self, count: int) -> Iterator[Step]:
        """About `count` requests."""
        left = count
        for step in self._prepare():
            yield step
            left -= len(step.requests)
        while left > 0:
            for step in self._next():
                yield step
                left -= len(step.requests)

    def _prepare(self) -> Iterator[Step]:
        top = self.profile.top
        for domid in self.profile.domids:
            yield from self._introduce(domid)
        yield Step("s0", (Request(xs.XS_WRITE, top + b"/pub\0"),))
        yield Step("s0", (Request(xs.XS_SET_PERMS, top + b"/pub\0b0\0"),))
        for name, value in self.profile.quotas:
            yield Step("s0", (Request(xs.XS_CONTROL, b"quota\0set\0%s\0%d\0" % (name.encode(), value)),))

    def _next(self) -> Iterator[Step]:
        who = self.random.choice([*self._sockets, *(f"d{domid}" for domid in self._introduced)])
        (action,) = self.random.choices(self._actions, self._weights)
        special = getattr(self, f"_do_{action}", None)
        if special is not None:
            yield from special(who)
            return
        many = self.random.randrange(2, 9) if self.random.random() < self.profile.burst else 1
        requests = [getattr(self, f"_{action}")(who)]
        while len(requests) < many:
            (action,) = self.random.choices(self._actions, self._weights)
            make = getattr(self, f"_{action}", None)
            if make is not None:
                requests.append(make(who))
        yield Step(who, tuple(request for request in requests if not is_fatal(self._xen, who, request)))

    # -- names -----------------------------------------------------------------

    def _path(self) -> bytes:
        pick = self.random
        if pick.random() < 0.02:
            return pick.choice(_NO_PATHS if self.profile.top else _STRANGE_PATHS)
        names = self.profile.names
        parts = [pick.choice(names) for _ in range(pick.choice((0, 1, 1, 1, 2, 2, 3)))]
        if pick.random() < 0.15 and not self.profile.top:
            return b"/".join(parts) or b"rel"
        tops = [b"/tool", b"/pub", b""] + [b"/local/domain/%d" % domid for domid in self.profile.domids]
        base = self.profile.top + pick.choice(tops)
        return base + b"".join(b"/" + part for part in parts) or b"/"

    def _slot(self, who: str) -> int:
        if self.random.random() < 0.003:
            return BOGUS_TRANSACTION
        slots = self._slots.get(who)
        return self.random.choice(slots) if slots and self.random.random() < 0.6 else 0

    def _domid(self) -> int:
        return self.random.choice((0, *self.profile.domids, 9, 4000))

    # -- requests ---------------------------------------------------------------

    def _read(self, who: str) -> Request:
        return Request(xs.XS_READ, self._path() + b"\0", self._slot(who))

    def _write(self, who: str) -> Request:
        value = self.random.choice((b"x\0y", b"v" * self.random.choice(self.profile.values)))
        return Request(xs.XS_WRITE, (self._path() + b"\0" + value)[:4096], self._slot(who))

    def _mkdir(self, who: str) -> Request:
        return Request(xs.XS_MKDIR, self._path() + b"\0", self._slot(who))

    def _rm(self, who: str) -> Request:
        path = self._path()
        # Seldom what everything else is under.
        if path.count(b"/") - self.profile.top.count(b"/") < 2 or path.startswith(b"/local/domain/"):
            path = path if self.random.random() < 0.05 else path + b"/a"
        return Request(xs.XS_RM, path + b"\0", self._slot(who))

    def _directory(self, who: str) -> Request:
        return Request(xs.XS_DIRECTORY, self._path() + b"\0", self._slot(who))

    def _part(self, who: str) -> Request:
        offset = self.random.choice((b"0", b"0", b"2", b"4", b"900", b"4000", b"x", b"-1"))
        return Request(xs.XS_DIRECTORY_PART, self._path() + b"\0" + offset + b"\0", self._slot(who))

    def _get_perms(self, who: str) -> Request:
        return Request(xs.XS_GET_PERMS, self._path() + b"\0", self._slot(who))

    def _set_perms(self, who: str) -> Request:
        pick = self.random
        owner = int(who[1:]) if who[0] == "d" and pick.random() < 0.8 else self._domid()
        perms = [b"%c%d" % (ord(pick.choice(_PERMS)), owner)]
        others = range(pick.choice((0, 0, 1, 1, 2, 6)))
        perms += [b"%c%d" % (ord(pick.choice(_PERMS)), self._domid()) for _ in others]
        if pick.random() < 0.03:
            perms[0] = pick.choice((b"q1", b"r", b"", b"r1x", b"b-1"))
        path = self._path()
        if not self.profile.top and pick.random() < 0.04:
            path = pick.choice((b"@releaseDomain", b"@introduceDomain", b"@nothing"))
        if path == b"/" and perms[0][1:] != b"0":  # KNOWN: "the root's owner"
            perms[0] = b"b0"
        return Request(
            xs.XS_SET_PERMS, path + b"\0" + b"".join(perm + b"\0" for perm in perms), self._slot(who)
        )

    def _watch(self, who: str) -> Request:
        pick = self.random
        special = (b"@releaseDomain", b"@introduceDomain", b"@nothing")
        # A foreign store has domains of its own.
        path = pick.choice(special) if pick.random() < 0.15 and not self.profile.top else self._path()
        token = pick.choice((b"t1", b"t2", b"", b"long" * 20))
        self._watched.setdefault(who, []).append((path, token))
        return Request(xs.XS_WATCH, path + b"\0" + token + b"\0")

    def _unwatch(self, who: str) -> Request:
        watched = self._watched.get(who)
        if watched and self.random.random() < 0.8:
            path, token = watched.pop(self.random.randrange(len(watched)))
        else:
            path, token = self._path(), b"t1"
        return Request(xs.XS_UNWATCH, path + b"\0" + token + b"\0")

    def _start(self, who: str) -> Request:
        self._serial += 1
        inside = self._slot(who) if self.random.random() < 0.03 else 0
        if not inside:
            self._slots.setdefault(who, []).append(self._serial)
        return Request(xs.XS_TRANSACTION_START, b"\0", self._serial, inside)

    def _end(self, who: str) -> Request:
        slots = self._slots.get(who)
        word = self.random.choice((b"T\0", b"T\0", b"T\0", b"T\0", b"F\0"))
        if self.random.random() < 0.02:
            return Request(
                xs.XS_TRANSACTION_END, self.random.choice((b"", b"X\0", b"T", b"T\0F\0")), self._slot(who)
            )
        if not slots:
            return Request(xs.XS_TRANSACTION_END, word)
        slot = slots.pop(self.random.randrange(len(slots)))
        if slot <= self._used_again:  # KNOWN: "a transaction that outlives a domain"
            word = b"F\0"
        return Request(xs.XS_TRANSACTION_END, word, slot)

    def _reset(self, who: str) -> Request:
        self._slots[who] = []
        self._watched[who] = []
        return Request(xs.XS_RESET_WATCHES, b"\0", self._slot(who))

    def _odd(self, who: str) -> Request:
        kind, payload = self.random.choice(_ODD)
        if kind == xs.XS_INTRODUCE and self._xen != "4.17" and 2 not in self._introduced:
            # One that does not exist goes together with the next that ends. Which goes first is since 4.18 a
            # matter of where a hash table has them; ours always begins with the youngest.
            kind, payload = xs.XS_READ, b""
        if kind == xs.XS_TRANSACTION_START and self.profile.exact_memory:
            return self._read(who)  # What a transaction takes depends on the digits of its generation.
        if kind == xs.XS_TRANSACTION_START:
            self._serial += 1
            self._slots.setdefault(who, []).append(self._serial)
            return Request(kind, payload, self._serial)
        if kind == xs.XS_RESET_WATCHES:
            self._slots[who] = []
        return Request(kind, payload, self._slot(who))

    # -- what is more than one request ---------------------------------------------

    def _do_control(self, who: str) -> Iterator[Step]:
        payload = self.random.choice(
            (
                b"quota\x001\0",
                b"quota\x002\0",
                b"quota\x0077\0",
                b"check\0",
                b"quota\0set\0none\x005\0",
                b"quota\x00x\0",
            )
        )
        yield Step(who, (Request(xs.XS_CONTROL, payload),))

    def _do_target(self, who: str) -> Iterator[Step]:
        pick = self.random
        if pick.random() < 0.8:
            who = "s0"
        # None who was introduced by mistake: nothing would keep it here until its target goes.
        pair = pick.choice(self._introduced or [77]), pick.choice((*self._introduced, 77))
        if who[0] == "s":
            self._targets.add(pair[1])
        yield Step(who, (Request(xs.XS_SET_TARGET, b"%d\0%d\0" % pair),))

    def _do_reconnect(self, who: str) -> Iterator[Step]:
        who = self.random.choice(self._sockets)
        self._slots.pop(who, None)
        self._watched.pop(who, None)
        yield Step(who, what="reconnect")

    def _do_shut_down(self, who: str) -> Iterator[Step]:
        domid = self.random.choice(self.profile.domids)
        if domid not in self._introduced:
            return
        yield Step(what="shut_down", domid=domid)
        if self.random.random() < 0.7:
            yield Step("s0", (Request(xs.XS_RESUME, b"%d\0" % domid),))
        yield Step(what="create", domid=domid)

    def _do_domain(self, who: str) -> Iterator[Step]:
        """A domain goes, in one of the ways in which it can; or one that went comes back."""
        pick = self.random
        domid = pick.choice(self.profile.domids)
        if domid not in self._introduced:
            yield from self._introduce(domid)
            self._used_again = self._serial
            return
        if domid in self._targets:  # KNOWN: "a target that is gone"
            return
        how = pick.random()
        if how < 0.2:  # introduced once more
            self._forget(domid, keep=True)
            yield Step("s0", (Request(xs.XS_INTRODUCE, b"%d\x00100\x00%d\0" % (domid, 200 + domid)),))
            return
        self._forget(domid)
        if how < 0.5:
            yield Step("s0", (Request(xs.XS_RELEASE, b"%d\0" % domid),))
            yield Step(what="destroy", domid=domid)
        elif how < 0.7:
            yield Step(what="dying", domid=domid)
            yield Step(what="destroy", domid=domid)
        else:
            yield Step(what="destroy", domid=domid)
        yield Step("s0", (Request(xs.XS_IS_DOMAIN_INTRODUCED, b"%d\0" % domid),))
        if pick.random() < 0.7:
            yield from self._introduce(domid)
            self._used_again = self._serial

    def _forget(self, domid: int, *, keep: bool = False) -> None:
        self._slots.pop(f"d{domid}", None)
        self._watched.pop(f"d{domid}", None)
        if not keep:
            self._introduced.remove(domid)

    def _introduce(self, domid: int) -> Iterator[Step]:
        home = b"/local/domain/%d\0" % domid
        # KNOWN: "a domid used again at once"
        yield Step("s0", (Request(xs.XS_WRITE, b"/tool/xenstored\0x"),))
        yield Step(what="create", domid=domid)
        yield Step("s0", (Request(xs.XS_INTRODUCE, b"%d\x00100\x00%d\0" % (domid, 200 + domid)),))
        yield Step("s0", (Request(xs.XS_MKDIR, home), Request(xs.XS_SET_PERMS, home + b"n%d\0r0\0" % domid)))
        self._introduced.append(domid)
