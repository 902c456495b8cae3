"""The text that scripts parse: xl's, byte for byte.

Source: the formats of tools/xl/xl_info.c of Xen 4.17.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xentool.toolstack.views import DomainView, HostView


def _seconds(cpu_time_ns: int) -> float:
    """xl computes in C floats: one decimal is off by that now and then, and ours must be off too."""
    from struct import pack, unpack

    as_float: float = unpack("f", pack("f", cpu_time_ns))[0]
    return as_float / 1e9


def list_text(
    domains: Iterable[DomainView],
    *,
    uuids: bool = False,
    labels: bool = False,
    pools: Mapping[int, str] | None = None,
) -> str:
    """`xl list`, and with `uuids` -v, `labels` -Z, `pools` (names by id) -c."""
    header = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
    if uuids:
        header += "   UUID                            Reason-Code\tSecurity Label"
    elif labels:
        header += "   Security Label"
    if pools is not None:
        header += "         Cpupool"
    lines = [header]
    for domain in domains:
        line = "%-40s %5d %5d %5d     %s  %8.1f" % (  # noqa: UP031 - xl's own format, to be compared with it
            "(null)" if domain.name is None else domain.name,
            domain.domid,
            domain.memory_kib // 1024,
            domain.vcpus_online,
            domain.state,
            _seconds(domain.cpu_time_ns),
        )
        if uuids:
            reason = "-" if domain.shutdown_reason is None else f"{domain.shutdown_reason:x}"
            line += f" {domain.uuid} {reason:>8}"
        if uuids or labels:
            line += f" {label(domain):>16}"
        if pools is not None:
            line += f"{pools.get(domain.cpupool, '(null)'):>16}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def label(domain: DomainView) -> str:
    """The domain's security label; without XSM there is none. With it, its number (Xen's ssidref)."""
    return str(domain.ssidref) if domain.ssidref else "-"


def info_text(host: HostView) -> str:
    """`xl info`."""
    return "".join(f"{_info_line(key, value)}\n" for key, value in host.facts.items())


def _info_line(key: str, value: str) -> str:
    if key == "virt_caps":  # the one line whose space belongs to each of its values
        return f"{key:<23}:{''.join(f' {word}' for word in value.split())}"
    return f"{key:<23}: {value}"


def info_values(host: HostView) -> str:
    """The values alone, a line each, as `xl info KEY` prints those of the keys that begin with KEY."""
    return "".join(f"{_info_line(key, value)[25:]}\n" for key, value in host.facts.items())
