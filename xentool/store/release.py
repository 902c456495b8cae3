"""Which XenStore the server plays: what differs between the releases of Xen.

since  what C xenstored does
4.17   the base: everything that is not listed here
4.18   CONTROL knows "quota max" and "log" with switches; dom0 has no limit for
       paths, and its writes do not fail over the quota of a node's owner; a
       node may be as large as its quota, and its header counts 16 bytes, not 24;
       special paths are nodes below the root, for permissions and watches;
       UNWATCH of what is no path is EINVAL; a transaction is refused at once
       what would be too many nodes, and ENOMEM at its end where it removed more
       of a domain's nodes than there are left
4.21   GET_FEATURE and SET_FEATURE, for dom0
4.22   quotas per domain, GET_QUOTA and SET_QUOTA; every quota is the first
       number that is refused, 0 is none; watches with a depth and
       "@releaseDomain/DOMID"; permissions for DOMID_ANY; GET_FEATURE for all;
       watches on the root do not mean special paths

Source: tools/xenstore (4.17), tools/xenstored (4.18 to 4.22), docs/misc/xenstore.txt.
"""

from __future__ import annotations

from xentool.abi import xs_wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

RELEASES: Final = ("4.17", "4.18", "4.19", "4.20", "4.21", "4.22")
DEFAULT: Final = "4.17"

_ERROR = xs_wire.XENSTORE_SERVER_FEATURE_ERROR
_NEW = xs_wire.XENSTORE_SERVER_FEATURE_WATCHDEPTH | xs_wire.XENSTORE_SERVER_FEATURE_DOMID_ANY


class Release:
    """The differences, by name. `features`: XENSTORE_SERVER_FEATURE_* that a domain is offered.

    Raises:
        ValueError: `name` is none of `RELEASES`.
    """

    __slots__ = (
        "features",
        "has_feature_requests",
        "has_quota_requests",
        "keeps_peaks",
        "limits_dom0",
        "minor",
        "name",
        "node_header_bytes",
        "special_nodes",
    )

    def __init__(self, name: str = DEFAULT) -> None:
        if name not in RELEASES:
            raise ValueError(f"the store plays Xen {', '.join(RELEASES)}, not {name}")
        self.name = name
        self.minor = minor = int(name.partition(".")[2])
        self.keeps_peaks = minor >= 18
        self.limits_dom0 = minor < 18
        # sizeof(struct xs_tdb_record_hdr), and since 4.18 of struct node_hdr.
        self.node_header_bytes = 24 if minor < 18 else 16
        self.special_nodes = () if minor < 18 else (b"@releaseDomain", b"@introduceDomain")
        self.has_feature_requests = minor >= 21
        self.has_quota_requests = minor >= 22
        # Before 4.21 the error field is used, and nobody is told.
        self.features = (_ERROR | _NEW) if minor >= 22 else _ERROR if minor == 21 else 0
