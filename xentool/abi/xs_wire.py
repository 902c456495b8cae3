"""The XenStore wire protocol: message types, limits, the ring.

Plain integers instead of an ``IntEnum``: every command speaks to the store, and
importing ``enum`` costs more than `list` takes to ask it.

Source: public/io/xs_wire.h (4.17 to 4.22). The four last types are in it since
4.21, the two last features since 4.22.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

XS_CONTROL: Final = 0
XS_DIRECTORY: Final = 1
XS_READ: Final = 2
XS_GET_PERMS: Final = 3
XS_WATCH: Final = 4
XS_UNWATCH: Final = 5
XS_TRANSACTION_START: Final = 6
XS_TRANSACTION_END: Final = 7
XS_INTRODUCE: Final = 8
XS_RELEASE: Final = 9
XS_GET_DOMAIN_PATH: Final = 10
XS_WRITE: Final = 11
XS_MKDIR: Final = 12
XS_RM: Final = 13
XS_SET_PERMS: Final = 14
XS_WATCH_EVENT: Final = 15
XS_ERROR: Final = 16
XS_IS_DOMAIN_INTRODUCED: Final = 17
XS_RESUME: Final = 18
XS_SET_TARGET: Final = 19
# 20 was XS_RESTRICT, which is gone.
XS_RESET_WATCHES: Final = 21
XS_DIRECTORY_PART: Final = 22
XS_GET_FEATURE: Final = 23
XS_SET_FEATURE: Final = 24
XS_GET_QUOTA: Final = 25
XS_SET_QUOTA: Final = 26

XS_INVALID: Final = 0xFFFF
"""Guaranteed to stay an invalid type."""

XSD_SOCKMSG_SIZE: Final = 16
"""struct xsd_sockmsg: u32 type, u32 req_id, u32 tx_id, u32 len; then `len` bytes of payload."""

XENSTORE_PAYLOAD_MAX: Final = 4096
XENSTORE_ABS_PATH_MAX: Final = 3072
XENSTORE_REL_PATH_MAX: Final = 2048

XENSTORE_RING_SIZE: Final = 1024

# struct xenstore_domain_interface: where its fields lie in the shared page.
RING_REQ_OFFSET: Final = 0
RING_RSP_OFFSET: Final = XENSTORE_RING_SIZE
RING_REQ_CONS_OFFSET: Final = 2 * XENSTORE_RING_SIZE
RING_REQ_PROD_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 4
RING_RSP_CONS_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 8
RING_RSP_PROD_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 12
RING_SERVER_FEATURES_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 16
RING_CONNECTION_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 20
RING_ERROR_OFFSET: Final = 2 * XENSTORE_RING_SIZE + 24

XENSTORE_SERVER_FEATURE_RECONNECTION: Final = 1
XENSTORE_SERVER_FEATURE_ERROR: Final = 2
XENSTORE_SERVER_FEATURE_WATCHDEPTH: Final = 4
XENSTORE_SERVER_FEATURE_DOMID_ANY: Final = 8

XENSTORE_CONNECTED: Final = 0
XENSTORE_RECONNECT: Final = 1

XENSTORE_ERROR_NONE: Final = 0
XENSTORE_ERROR_COMM: Final = 1
XENSTORE_ERROR_RINGIDX: Final = 2
XENSTORE_ERROR_PROTO: Final = 3

XSD_ERRORS: Final = (
    "EINVAL",
    "EACCES",
    "EEXIST",
    "EISDIR",
    "ENOENT",
    "ENOMEM",
    "ENOSPC",
    "EIO",
    "ENOTEMPTY",
    "ENOSYS",
    "EROFS",
    "EBUSY",
    "EAGAIN",
    "EISCONN",
    "E2BIG",
    "EPERM",
)
"""The words that an XS_ERROR may carry (xsd_errors), in the header's order."""
