"""libxl's error codes. What they mean is in `failures`, which only what fails loads.

Source: tools/libs/light/libxl_types.idl (libxl_error).
"""

from __future__ import annotations

FAIL, NOMEM, INVAL, GUEST_TIMEDOUT, TIMEDOUT, NOPARAVIRT = -3, -5, -6, -8, -9, -10
NOT_READY, BUFFERFULL = -11, -13
DOMAIN_NOTFOUND, ABORTED, NOTFOUND = -21, -22, -23
NAMES = (
    "", "NONSPECIFIC", "VERSION", "FAIL", "NI", "NOMEM", "INVAL", "BADFAIL", "GUEST_TIMEDOUT", "TIMEDOUT",
    "NOPARAVIRT", "NOT_READY", "OSEVENT_REG_FAIL", "BUFFERFULL", "UNKNOWN_CHILD", "LOCK_FAIL",
    "JSON_CONFIG_EMPTY", "DEVICE_EXISTS", "CHECKPOINT_DEVOPS_DOES_NOT_MATCH",
    "CHECKPOINT_DEVICE_NOT_SUPPORTED", "VNUMA_CONFIG_INVALID", "DOMAIN_NOTFOUND", "ABORTED", "NOTFOUND",
    "DOMAIN_DESTROYED", "FEATURE_REMOVED", "PROTOCOL_ERROR_QMP", "UNKNOWN_QMP_ERROR", "QMP_GENERIC_ERROR",
    "QMP_COMMAND_NOT_FOUND", "QMP_DEVICE_NOT_ACTIVE", "QMP_DEVICE_NOT_FOUND", "QEMU_API",
)  # fmt: skip
"""libxl's names for its codes, by the code's negative."""


def name_of(code: int) -> str:
    """libxl's name for a code, or the code itself if it is none that we know."""
    return NAMES[-code] if 0 < -code < len(NAMES) else str(code)
