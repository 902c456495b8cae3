"""What a toolstack says about domains and the host. Values only.

Plain classes with slots, because `list` is on the path where every import counts.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.units import DomId


SHUTDOWN_LETTERS = "-rscwS"  # poweroff, reboot, suspend, crash, watchdog, soft-reset


def state_letters(
    *, running: object, blocked: object, paused: object, stopped: object, dying: object, reason: int | None
) -> str:
    """The six letters of ``xl list``. `reason` is Xen's number for why it stopped, None if nobody says."""
    known = SHUTDOWN_LETTERS[reason : reason + 1] if reason is not None else ""
    return "".join(
        (
            "r" if running else "-",
            "b" if blocked else "-",
            "p" if paused else "-",
            "s" if stopped else "-",
            (known or "?") if stopped else "-",
            "d" if dying else "-",
        )
    )


class DomainView:
    """A domain at one moment.

    `state` is the six letters of ``xl list`` (``r b p s <reason> d``, ``-`` for no);
    `name` is None where the store has none; memory is in KiB, cpu time in nanoseconds.
    """

    __slots__ = (
        "cpu_time_ns", "cpupool", "domid", "is_pv", "max_memory_kib", "memory_kib", "name", "shutdown_reason",
        "ssidref", "state", "uuid", "vcpus_max", "vcpus_online",
    )  # fmt: skip

    def __init__(
        self,
        domid: DomId,
        name: str | None,
        uuid: str,
        memory_kib: int,
        max_memory_kib: int,
        vcpus_online: int,
        vcpus_max: int,
        state: str,
        shutdown_reason: int | None,
        cpu_time_ns: int,
        cpupool: int,
        ssidref: int,
        is_pv: bool,
    ) -> None:
        self.domid = domid
        self.name = name
        self.uuid = uuid
        self.memory_kib = memory_kib
        self.max_memory_kib = max_memory_kib
        self.vcpus_online = vcpus_online
        self.vcpus_max = vcpus_max
        self.state = state
        self.shutdown_reason = shutdown_reason
        self.cpu_time_ns = cpu_time_ns
        self.cpupool = cpupool
        self.ssidref = ssidref
        self.is_pv = is_pv


class HostView:
    """The host, as ``xl info`` shows it: an ordered mapping from xl's key to its printed value."""

    __slots__ = ("facts",)

    def __init__(self, facts: dict[str, str]) -> None:
        self.facts = facts


class RecordPlan:
    """What a create through libxl would be given: the domain's config in libxl's words
    (`libxl_domain_config` as JSON, what ``xl create -n`` prints), and why libxl is to do it."""

    __slots__ = ("record", "why")

    def __init__(self, record: dict[str, object], why: str = "") -> None:
        self.record = record
        self.why = why
