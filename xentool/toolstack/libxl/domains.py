"""Domains through libxl: listing, stopping, renaming.

Source: libxl.h (domain related functions).
"""

from __future__ import annotations

from xentool.errors import LibxlError
from xentool.toolstack.libxl.codes import FAIL, NOPARAVIRT
from xentool.toolstack.views import DomainView, state_letters
from xentool.units import DOMAIN0, DomId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.toolstack.libxl.context import Context

    Facts = Mapping[str, object]

REASONS = ("poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset")
"""libxl_shutdown_reason, by its number, which is Xen's."""
NO_NAME = None
TRIGGERS = {"power": 1, "sleep": 2, "nmi": 3, "init": 4, "reset": 5, "s3resume": 6}
"""libxl_trigger, in xl's words."""


def infos(context: Context) -> list[dict[str, object]]:
    """What libxl knows of each domain (libxl_dominfo), by domid."""
    with context.said() as said:
        listed = context.array("dominfo", "libxl_list_domain")
    if listed is None:
        raise said.failure("list", "the domains", FAIL)
    return listed


def info(context: Context, domid: DomId) -> dict[str, object]:
    """What libxl knows of one domain.

    Raises:
        NotFoundError: there is none.
    """
    from xentool.toolstack.libxl.struct import Struct  # which a list need not load

    with Struct(context, "dominfo") as found:
        context.call("find domain", domid, "libxl_domain_info", found.address, domid)
        return found.read()


def name_of(context: Context, domid: DomId) -> str | None:
    """The domain's name; None if it has none (yet, or any more)."""
    address = context.library.function("libxl_domid_to_name")(context.handle, domid)
    return context.text_of(address, "replace") if address else None


def view_of(facts: Facts, name: str | None) -> DomainView:
    """A libxl_dominfo as commands see it. libxl leaves out what is zero or false."""

    def number(key: str) -> int:
        value = facts.get(key, 0)
        return value if isinstance(value, int) else 0

    stopped = bool(facts.get("shutdown"))
    reason = reason_of(facts) if stopped else None
    state = state_letters(
        running=facts.get("running"),
        blocked=facts.get("blocked"),
        paused=facts.get("paused"),
        stopped=stopped,
        dying=facts.get("dying"),
        reason=reason,
    )
    return DomainView(
        domid=DomId(number("domid")),
        name=name,
        uuid=str(facts.get("uuid", "00000000-0000-0000-0000-000000000000")),
        memory_kib=number("current_memkb") + number("outstanding_memkb"),
        max_memory_kib=number("max_memkb"),
        vcpus_online=number("vcpu_online"),
        vcpus_max=number("vcpu_max_id") + 1,
        state=state,
        shutdown_reason=reason,
        cpu_time_ns=number("cpu_time"),
        cpupool=number("cpupool"),
        ssidref=number("ssidref"),
        is_pv=facts.get("domain_type") == "pv",
    )


def reason_of(facts: Facts) -> int | None:
    """Why a domain shut down, as Xen's number; None if libxl does not say."""
    word = facts.get("shutdown_reason", "poweroff")
    return REASONS.index(word) if word in REASONS else None


def refuse_domain0(action: str, domid: DomId) -> None:
    """The rule that all toolstacks have; where it does not hold, nothing is loaded for it."""
    if domid == DOMAIN0:
        from xentool.domain import lifecycle

        lifecycle.refuse_domain0(action, domid)


def destroy(context: Context, domid: DomId) -> None:
    refuse_domain0("destroy", domid)
    info(context, domid)
    function = context.library.function("libxl_domain_destroy")
    context.run("destroy domain", domid, lambda how: function(context.handle, domid, how))


def pause(context: Context, domid: DomId) -> None:
    info(context, domid)
    function = context.library.function("libxl_domain_pause")
    context.run("pause domain", domid, lambda how: function(context.handle, domid, how))


def unpause(context: Context, domid: DomId) -> None:
    info(context, domid)
    function = context.library.function("libxl_domain_unpause")
    context.run("unpause domain", domid, lambda how: function(context.handle, domid, how))


def shutdown(context: Context, domid: DomId, *, acpi: bool = False) -> None:
    """Ask the guest to power off; with `acpi` one without PV drivers by its power button.

    Raises:
        LibxlError: it has no drivers that could be asked.
    """
    _ask_to_stop(context, domid, "shut down", "libxl_domain_shutdown", "power" if acpi else "")


def reboot(context: Context, domid: DomId, *, acpi: bool = False) -> None:
    """Ask the guest to restart; with `acpi` one without PV drivers is reset."""
    _ask_to_stop(context, domid, "reboot", "libxl_domain_reboot", "reset" if acpi else "")


def _ask_to_stop(context: Context, domid: DomId, verb: str, name: str, trigger: str) -> None:
    refuse_domain0(verb, domid)
    info(context, domid)
    function = context.library.function(name)
    try:
        context.run(f"{verb} domain", domid, lambda how: function(context.handle, domid, how))
    except LibxlError as error:
        if error.code != NOPARAVIRT or not trigger:
            raise
        send_trigger(context, domid, trigger)


def send_trigger(context: Context, domid: DomId, trigger: str, vcpu: int = 0) -> None:
    """Send an HVM guest one of `TRIGGERS`."""
    function = context.library.function("libxl_send_trigger")
    number = TRIGGERS[trigger]
    context.run(
        f"send {trigger} to domain", domid, lambda how: function(context.handle, domid, number, vcpu, how)
    )


def rename(context: Context, domid: DomId, name: str) -> None:
    """Give the domain another name.

    Raises:
        InUseError: another domain has it.
    """
    context.call(
        "rename domain", domid, "libxl_domain_rename", domid, NO_NAME, name.encode("utf-8", "surrogateescape")
    )
