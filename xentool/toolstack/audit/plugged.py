"""Devices: do the record, the frontend and the backend belong together, and do they work?

What a domain owns is what ``/libxl/DOMID/device`` says (no guest can write it);
the two ends must agree with that, and with each other.

Source: libxl_device.c (libxl__device_generic_add), public/io/xenbus.h (the
states), tools/hotplug/Linux (hotplug-status, hotplug-error).
"""

from __future__ import annotations

from xentool.store.text import escaped
from xentool.toolstack.audit.facts import DOMAINS
from xentool.toolstack.audit.findings import NOTICE, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from xentool.toolstack.audit.facts import Device, Facts

STATES: Final = (
    "Unknown", "Initialising", "InitWait", "Initialised", "Connected", "Closing", "Closed", "Reconfiguring",
    "Reconfigured",
)  # fmt: skip
_CONNECTED: Final = 4
_CLOSING: Final = 5
_CLOSED: Final = 6
_UP: Final = (_CONNECTED, 7, 8)


def wrong_links(facts: Facts) -> Iterator[Finding]:
    """Ends of devices that point elsewhere than the record says (XSA-175, XSA-178)."""
    for device in facts.devices:
        if not facts.is_settled(device.domid):
            continue
        for end, value in device.malformed.items():
            yield Finding(
                device.record,
                f"its {end} is '{_safe(value)}': no place where that of {device.title} can be",
                f"xentool destroy {device.domid}; or write the right path to {device.record}/{end}",
                {device.domid},
            )
        if device.backend_domid is None or not device.frontend:
            continue
        for path, wanted in (
            (f"{device.frontend}/backend", device.backend),
            (f"{device.frontend}/backend-id", str(device.backend_domid)),
            (f"{device.backend}/frontend", device.frontend),
            (f"{device.backend}/frontend-id", str(device.domid)),
        ):
            found = facts.text(path)
            if facts.has(path) and found != wanted:
                yield Finding(
                    path,
                    f"it says '{_safe(found)}', the record of {device.title} '{wanted}'",
                    f"xentool store write {path} {wanted}; it may be the guest's doing",
                    {device.domid},
                )


def half_plugged(facts: Facts) -> Iterator[Finding]:
    """Devices of which a part is missing: record, frontend or backend."""
    for device in facts.devices:
        if not facts.is_settled(device.domid):
            continue
        for end, path, fault in (
            ("frontend", device.frontend, f"xl cannot detach it; xentool store rm -t {device.record}"),
            (
                "backend",
                device.backend,
                f"the guest waits for ever; detach it, or xentool store rm -t {device.record}",
            ),
        ):
            if path and not facts.has(path):
                yield Finding(path, f"{device.title} is recorded, but has no {end}", fault, {device.domid})
    for domid, kind, devid, path in facts.frontends():
        if facts.is_settled(domid) and path not in facts.by_frontend:
            yield Finding(
                path,
                f"no toolstack has a record of {kind} {devid} of domain {domid}: the guest made it, or"
                " the record is lost",
                f"xentool store rm {path}",
                {domid},
            )
    for host, kind, domid, devid, path in facts.backends():
        if facts.is_settled(domid) and path not in facts.by_backend:
            yield Finding(
                path,
                f"no toolstack has a record of {kind} {devid} of domain {domid}: it was not wholly detached",
                f"xentool store rm -t {path}",
                {domid, host},
            )


def unmet_states(facts: Facts) -> Iterator[Finding]:
    """Two ends that are there and do not come together."""
    for device in facts.devices:
        if device.is_primary_console or not facts.is_settled(device.domid):
            continue
        front, back = f"{device.frontend}/state", f"{device.backend}/state"
        if not (device.frontend and facts.has(device.frontend) and facts.has(device.backend)):
            continue
        if not facts.has(front) and not facts.has(back):
            continue  # a kind that does not use the states
        states = [_state(facts.text(path)) for path in (front, back)]
        judged = _judge(*states)
        if judged is not None:
            severity, what = judged
            said = " and ".join(
                f"the {end} is {_named(state, facts.text(path))}"
                for end, state, path in zip(("frontend", "backend"), states, (front, back), strict=True)
            )
            yield Finding(
                back if states[1] is None else front,
                f"{device.title}: {said}: {what}",
                _state_remedy(device),
                {device.domid},
                severity,
            )


def _judge(front: int | None, back: int | None) -> tuple[str, str] | None:
    """How grave a pair of states is, and what it means; None where all is well."""
    if front is None or back is None:
        return WARNING, "that is no state"
    if front in _UP and back in _UP:
        return None
    if front == _CLOSED and back == _CLOSED:
        return WARNING, "it was unplugged, but not taken away"
    if _CLOSED in (front, back) or _CLOSING in (front, back):
        if front in _UP or back in _UP:
            return WARNING, "one side has left, the other has not noticed"
        return NOTICE, "the guest has closed it"
    if front in _UP or back in _UP:
        return WARNING, "one side believes to be connected, the other is not"
    return NOTICE, "the guest has no driver for it, or has not come to it yet"


def _state(text: str) -> int | None:
    return int(text) if len(text) == 1 and text in "012345678" else None


def _named(state: int | None, text: str) -> str:
    return f"'{_safe(text)}'" if state is None else STATES[state]


def _state_remedy(device: Device) -> str:
    return (
        "look for the reason in the guest's and the backend's logs;"
        f" detach {device.kind} {device.devid} and attach it again"
    )


def failed_hotplug(facts: Facts) -> Iterator[Finding]:
    """Backends whose hotplug script failed."""
    for host, kind, domid, devid, path in facts.backends():
        if facts.is_gone(domid):
            continue
        error = facts.text(f"{path}/hotplug-error")
        status = facts.text(f"{path}/hotplug-status")
        if error or status == "error":
            said = f": {_safe(error)}" if error else ""
            yield Finding(
                f"{path}/hotplug-error" if error else f"{path}/hotplug-status",
                f"the hotplug script of {kind} {devid} of domain {domid} failed{said}",
                "mend that (see /var/log/xen/xen-hotplug.log);"
                f" then detach {kind} {devid} and attach it again",
                {domid, host},
            )


def _safe(text: str) -> str:
    """What a guest may have written, for a terminal, and not too long."""
    return escaped(text.encode("utf-8", "backslashreplace")[:120])


def console_ends(facts: Facts) -> Iterator[Finding]:
    """A terminal of the primary console that is none: tools open what is named there (XSA-57)."""
    for domain in facts.settled():
        path = f"{DOMAINS}/{domain.domid}/console/tty"
        tty = facts.text(path)
        if tty and not (tty.startswith("/dev/pts/") and tty[9:].isdigit()):
            yield Finding(
                path,
                f"it names '{_safe(tty)}', which is no terminal that xenconsoled makes",
                "see who may write it; restart xenconsoled to have it written anew",
                {domain.domid},
            )
