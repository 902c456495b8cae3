"""Hotplug scripts, run as libxl runs them: its words, its environment, its time.

Source: tools/libs/light/libxl_linux.c (get_hotplug_env, libxl__hotplug_nic, libxl__hotplug_disk),
libxl_device.c (device_hotplug), libxl_internal.h (LIBXL_HOTPLUG_TIMEOUT);
tools/hotplug/Linux/xen-hotplug-common.sh (fatal).
"""

from __future__ import annotations

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xentool.devices.device import Address, DeviceHost

TIMEOUT_SECONDS = 40.0
LOG = "/var/log/xen/xen-hotplug.log"
_SHOWN_LINES = 3
_SHOWN_CHARACTERS = 400


def run_hotplug(
    host: DeviceHost,
    address: Address,
    title: str,
    script: str,
    words: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run the script at the path `script` with these words ("online", "type_if=vif"; "add").

    Raises:
        HostError: it failed; with its own words: ``hotplug-error``, and the last that it printed.
        NotFoundError, TimedOutError: as `Programs.run_script`.
    """
    kind = address.backend_kind
    known = {
        "script": script,
        "XENBUS_TYPE": kind,
        "XENBUS_PATH": f"backend/{kind}/{address.domid}/{address.devid}",
        "XENBUS_BASE_PATH": "backend",
        **(environment or {}),
    }
    code, output = host.dom0.programs.run_script([script, *words], known, TIMEOUT_SECONDS)
    status = host.store.try_read(f"{address.back}/hotplug-status")
    if code == 0 and status != b"error":
        return
    said = (host.store.try_read(f"{address.back}/hotplug-error") or b"").decode("utf-8", "replace")
    lines = [line for line in output.splitlines() if line.strip()]
    own = [_plain(said), *map(_plain, lines[-_SHOWN_LINES:])]
    reason = f"{script} {words[0]} " + (f"failed (exit code {code})" if code else "says that it failed")
    if any(own):
        reason += ": " + "; ".join(filter(None, own))
    raise HostError(
        f"{'attach' if words[0] in ('online', 'add') else 'detach'} {title} of domain",
        address.domid,
        reason,
        hint=f"Xen's own scripts say more in {LOG}",
        detail="\n".join(map(_plain, lines)),
    )


def _plain(text: str) -> str:
    """One line that a terminal can be shown, not too long."""
    text = "".join(char if char.isprintable() else " " for char in text).strip()
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
