"""Letting a bridged vif through iptables, where iptables has a say in what goes through bridges.

That is so when br_netfilter is loaded (Docker does it, and forbids all that it does not know).
As with Xen's scripts, a failure is none: a Domain-0 without such rules works as well as its policy lets it.

Source: tools/hotplug/Linux/vif-common.sh (handle_iptable, frob_iptable).
"""

from __future__ import annotations

from xentool.errors import XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.devices.device import DeviceHost

TIMEOUT_SECONDS = 10.0


def accept(host: DeviceHost, name: str, ip: str | None) -> None:
    """Accept what goes to the interface and comes from it; if xl's `ip` is given, from those addresses."""
    _change(host, "-I", name, ip)


def withdraw(host: DeviceHost, name: str, ip: str | None) -> None:
    """Take those rules away again."""
    _change(host, "-D", name, ip)


def _change(host: DeviceHost, verb: str, name: str, ip: str | None) -> None:
    iptables = host.dom0.programs.find("iptables")
    if iptables is None:
        return
    for rule in _rules(name, ip):
        words = [
            iptables,
            "-w",
            verb,
            "FORWARD",
            "-m",
            "physdev",
            "--physdev-is-bridged",
            *rule,
            "-j",
            "ACCEPT",
        ]
        try:
            host.dom0.programs.run_script(words, {"LC_ALL": "C"}, TIMEOUT_SECONDS)
        except XentoolError:
            return


def _rules(name: str, ip: str | None) -> Iterator[list[str]]:
    out = ["--physdev-in", name]
    if ip:
        for address in ip.split():
            if ":" not in address:
                yield [*out, "-s", address]
        yield [*out, "-p", "udp", "--sport", "68", "--dport", "67"]
    else:
        yield out
    yield ["--physdev-out", name]
