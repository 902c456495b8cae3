"""How far our own code reaches with domains that run, whoever made them.

A PV or PVH guest is its memory, its nodes and its devices. An HVM guest is a QEMU besides, which has to
be told what happens. Some kinds of devices are tied to the host by more than their nodes.
"""

from __future__ import annotations

from xentool.devices.paths import libxl_path
from xentool.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from xentool.domain.host import Host
    from xentool.units import DomId

KINDS = frozenset(("console", "vbd", "vfb", "vif", "vkbd"))
"""The kinds of devices, as ``/libxl/DOMID/device`` names them, that we take away completely."""

HVM = b"hvm"
"""What ``/libxl/DOMID/type`` says of an HVM guest, and of no other (libxl_domain_type)."""


def refuse_hvm(action: str, subject: object, kind: bytes | None) -> None:
    """Refuse a domain whose ``/libxl/DOMID/type`` is `kind`, if it takes more than a PV or PVH guest.

    Raises:
        UnsupportedError: it does.
    """
    if kind == HVM:
        raise UnsupportedError(action, subject, "it is an HVM guest, with a QEMU")


def check_no_hvm(host: Host, action: str, domid: DomId) -> None:
    """Refuse an HVM guest. Xen itself tells a PV guest from others: no word with the store is needed for one.

    Raises:
        NotFoundError: there is no such domain.
        UnsupportedError: it is an HVM guest.
    """
    if host.hypercalls.domain_info(domid).hvm_guest:
        refuse_hvm(action, domid, host.store.try_read(f"{libxl_path(domid)}/type"))


def refuse_destroy(domid: int, kind: bytes | None, qemu_user: bytes | None, kinds: Iterable[str]) -> None:
    """Refuse to destroy a domain that leaves more behind than we take away.

    `kind` is as for `refuse_hvm`; `qemu_user` is what its QEMU runs as if that is not root; `kinds` are those
    of its devices.

    Raises:
        UnsupportedError: it does.
    """
    refuse_hvm("destroy domain", domid, kind)
    foreign = sorted(set(kinds) - KINDS)
    if foreign:
        raise UnsupportedError("destroy domain", domid, f"it has devices of kind {', '.join(foreign)}")
    if qemu_user is not None:
        raise UnsupportedError("destroy domain", domid, "it has a QEMU without privileges")
