"""VLANs of a bridge's port, in xl's words: ``10p/20-22/30u/100+10x4``.

Source: xl-network-configuration(5), vlan.
"""

from __future__ import annotations

from xentool.values import Frozen, set_slots

MIN_VLAN, MAX_VLAN = 1, 4094


class PortVlans(Frozen):
    """`pvid` is the VLAN of untagged frames that come in; `tagged` and `untagged` say how each goes out."""

    __slots__ = ("pvid", "tagged", "untagged")
    pvid: int
    tagged: tuple[int, ...]
    untagged: tuple[int, ...]

    def __init__(self, pvid: int, tagged: tuple[int, ...], untagged: tuple[int, ...]) -> None:
        set_slots(self, locals())


def parse_vlans(text: str) -> PortVlans:
    """What `text` says of a port.

    Raises:
        ValueError: it is not in that syntax, or says nothing sensible; the message says why.
    """
    terms = text.split("/")
    pvids: list[int] = []
    plain: set[int] = set()
    bare: set[int] = set()
    for term in terms:
        flag = term[-1:] if term[-1:] in ("p", "u") else ""
        vlans = _range(term.removesuffix(flag), text)
        if flag == "p":
            if len(vlans) != 1:
                raise ValueError(f"{term}: only one VLAN can be the port's own (p)")
            pvids.append(vlans[0])
        target = bare if flag else plain
        if not target.isdisjoint(vlans) or not (plain | bare).isdisjoint(vlans):
            raise ValueError(f"{text} has a VLAN twice")
        target.update(vlans)
    if not pvids and len(terms) == 1 and len(plain) == 1:
        pvids, bare, plain = list(plain), plain, set()
    if len(pvids) != 1:
        raise ValueError(f"{text} must mark one VLAN as the port's own, with a p behind it")
    return PortVlans(pvids[0], tuple(sorted(plain)), tuple(sorted(bare)))


def _range(text: str, whole: str) -> range:
    first, dash, last = text.partition("-")
    if dash:
        vlans = range(_number(first, whole), _number(last, whole) + 1)
    else:
        first, plus, rest = text.partition("+")
        start = _number(first, whole)
        if plus:
            step, times, count = rest.partition("x")
            if not times:
                raise ValueError(f"{whole}: {text} is no VLAN, nor several")
            # "100+10x4" is 100 and four more (xl-network-configuration(5)).
            vlans = range(
                start, start + _number(step, whole) * _number(count, whole) + 1, _number(step, whole)
            )
        else:
            vlans = range(start, start + 1)
    if not vlans or vlans[-1] > MAX_VLAN:
        raise ValueError(f"{whole}: {text} is not within {MIN_VLAN} to {MAX_VLAN}, upwards")
    return vlans


def _number(text: str, whole: str) -> int:
    number = int(text) if text.isdecimal() and text.isascii() and len(text) < 5 else 0
    if not MIN_VLAN <= number <= MAX_VLAN:
        raise ValueError(f"{whole}: {text or 'nothing'} is no number of a VLAN ({MIN_VLAN} to {MAX_VLAN})")
    return number
