"""Differences that random steps keep away from, because the two stores hold different things afterwards.

Each is played by itself, and both answers are as they are said to be here: if one changes, its test fails,
and the words `KNOWN` in steps.py lead to what may be asked again.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.store.replay.steps import Request, Step
from xentool.abi import xs_wire as xs


class Known(NamedTuple):
    """After `steps`, the same for both, and `then`, what it causes, `asked` gets different answers."""

    name: str
    reason: str
    steps: tuple[Step, ...]
    then: Step
    asked: Step
    theirs: tuple[int, bytes]
    ours: tuple[int, bytes]
    releases: tuple[str, ...] = ("4.17", "4.20")
    """Whose C xenstored gives that answer; of others it gives ours."""


def _dom0(kind: int, payload: bytes) -> Step:
    return Step("s0", (Request(kind, payload),))


def _introduced(domid: int) -> tuple[Step, ...]:
    home = b"/local/domain/%d\0" % domid
    return (
        Step(what="create", domid=domid),
        _dom0(xs.XS_INTRODUCE, b"%d\x00100\x00%d\0" % (domid, 200 + domid)),
        _dom0(xs.XS_MKDIR, home),
        _dom0(xs.XS_SET_PERMS, home + b"n%d\0" % domid),
    )


KNOWN = (
    Known(
        "a domid used again at once",
        "A permission counts for a domain that came no later than the node was written. C xenstored counts "
        "writes: with none between the end of a domain and the beginning of the next of its domid, the new "
        "one inherits. Ours counts domains' comings and goings as well (XSA-322).",
        (
            *_introduced(1),
            _dom0(xs.XS_WRITE, b"/tool/a\0secret"),
            _dom0(xs.XS_SET_PERMS, b"/local/domain/1\0n0\0"),
            _dom0(xs.XS_SET_PERMS, b"/tool/a\0n0\0r1\0"),
            Step(what="destroy", domid=1),
            Step(what="create", domid=1),
        ),
        _dom0(xs.XS_INTRODUCE, b"1\x00100\x00201\0"),
        Step("d1", (Request(xs.XS_READ, b"/tool/a\0"),)),
        (xs.XS_READ, b"secret"),
        (xs.XS_ERROR, b"EACCES\0"),
    ),
    Known(
        "a transaction that outlives a domain",
        "C xenstored takes over the permissions of a transaction's nodes as they are when it is committed: a "
        "domain that got its domid while the transaction was open has the rights that the last one of that "
        "domid had. Ours ends them with the domain (XSA-322).",
        (
            *_introduced(1),
            _dom0(xs.XS_SET_PERMS, b"/local/domain/1\0n0\0"),
            _dom0(xs.XS_WRITE, b"/tool/a\0"),
            _dom0(xs.XS_SET_PERMS, b"/tool/a\0n0\0r1\0"),
            Step("s0", (Request(xs.XS_TRANSACTION_START, b"\0", 1),)),
            Step("s0", (Request(xs.XS_WRITE, b"/tool/a\0secret", 1),)),
            Step(what="destroy", domid=1),
            _dom0(xs.XS_WRITE, b"/tool/xenstored\0x"),
            *_introduced(1),
        ),
        Step("s0", (Request(xs.XS_TRANSACTION_END, b"T\0", 1),)),
        Step("d1", (Request(xs.XS_READ, b"/tool/a\0"),)),
        (xs.XS_READ, b"secret"),
        (xs.XS_ERROR, b"EACCES\0"),
    ),
    Known(
        "a target that is gone",
        "C xenstored lets a stub domain keep the rights of its target's domid after the target is gone, over "
        "the next domain of that domid too; ours ends them with the target.",
        (
            *_introduced(1),
            *_introduced(2),
            _dom0(xs.XS_SET_TARGET, b"1\x002\0"),
            _dom0(xs.XS_RELEASE, b"2\0"),
            _dom0(xs.XS_WRITE, b"/tool/xenstored\0x"),
            *_introduced(2)[1:3],
        ),
        _introduced(2)[3],
        Step("d1", (Request(xs.XS_WRITE, b"/local/domain/2\0x"),)),
        (xs.XS_WRITE, b"OK\0"),
        (xs.XS_ERROR, b"EACCES\0"),
    ),
    Known(
        "the root's owner",
        "Where a domain that was made the owner of the root goes, C xenstored removes what it owned: the "
        "whole store. Ours gives the root back to dom0.",
        (*_introduced(1), _dom0(xs.XS_SET_PERMS, b"/\0b1\0")),
        Step(what="destroy", domid=1),
        _dom0(xs.XS_READ, b"/tool\0"),
        (xs.XS_ERROR, b"EACCES\0"),
        (xs.XS_READ, b""),
    ),
    Known(
        "dom0's memory",
        "Since 4.18 C xenstored holds what dom0's nodes take against a guest that may write one of them: it "
        "refuses the guest from the quota for a guest's memory on. (If that was to write a node that is "
        "there, it ends, or answers with another error's word.) Dom0 has no limits in ours.",
        (
            *_introduced(1),
            _dom0(xs.XS_WRITE, b"/pub\0"),
            _dom0(xs.XS_SET_PERMS, b"/pub\0b0\0"),
            _dom0(xs.XS_MKDIR, b"/x" * 1800 + b"\0"),
        ),
        _dom0(xs.XS_READ, b"/tool\0"),
        Step("d1", (Request(xs.XS_MKDIR, b"/pub/a\0"),)),
        (xs.XS_ERROR, b"EIO\0"),
        (xs.XS_MKDIR, b"OK\0"),
        releases=("4.20",),
    ),
)
