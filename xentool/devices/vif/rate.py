"""How fast a guest may send: xl's ``rate=10Mb/s@20ms``.

Source: xl-network-configuration(5); tools/libs/util/libxlu_vif.c (xlu_vif_parse_rate).
"""

from __future__ import annotations

from xentool.values import Frozen, set_slots

DEFAULT_INTERVAL_US = 50_000
MIN_INTERVAL_US = 1_000
"""netback counts whole milliseconds, so a shorter interval would limit nothing
(Linux: drivers/net/xen-netback/netback.c, tx_credit_exceeded)."""
UINT32_MAX = 0xFFFFFFFF
UINT64_MAX = 0xFFFFFFFFFFFFFFFF

_UNITS = (("G", 1_000_000_000), ("M", 1_000_000), ("K", 1_000), ("", 1))
_INTERVALS = (("us", 1), ("ms", 1_000), ("u", 1), ("m", 1_000), ("s", 1_000_000), ("", 1_000_000))


class Rate(Frozen):
    """How fast a guest may send: bytes per second, granted anew at each interval (µs)."""

    __slots__ = ("bytes_per_second", "interval_us")
    bytes_per_second: int
    interval_us: int

    def __init__(self, bytes_per_second: int, interval_us: int = DEFAULT_INTERVAL_US) -> None:
        set_slots(self, locals())

    @property
    def credit_bytes(self) -> int:
        """What may be sent in one interval."""
        return self.bytes_per_second * self.interval_us // 1_000_000

    @property
    def words(self) -> str:
        """As netback reads it: the credit in bytes, the interval in microseconds."""
        return f"{self.credit_bytes},{self.interval_us}"

    def __str__(self) -> str:
        for unit, factor in _UNITS:
            for kind, bits in (("B", 1), ("b", 8)):
                number, rest = divmod(self.bytes_per_second * bits, factor)
                if not rest and number <= UINT32_MAX:
                    return f"{number}{unit}{kind}/s@{self.interval_us}us"
        raise AssertionError(f"{self.bytes_per_second} bytes per second cannot be written")


def parse_rate(text: str) -> Rate:
    """The rate that `text` says, bits as bytes, rounded down.

    Raises:
        ValueError: it is none, or one that would let nothing pass, or that cannot be kept.
    """
    speed, at, interval = text.partition("@")
    number, kind = speed[:-3], speed[-3:]
    factor = 1
    for unit, size in _UNITS[:3]:
        if number.endswith(unit):
            number, factor = number[:-1], size
            break
    if kind not in ("B/s", "b/s") or not _is_number(number):
        raise ValueError(f"{text} is no rate")
    if not 0 < int(number) <= UINT32_MAX:
        raise ValueError(f"{text}: the number must be from 1 to {UINT32_MAX}; K, M and G make it greater")
    per_second = int(number) * factor // (8 if kind == "b/s" else 1)
    rate = Rate(per_second, _interval(interval) if at else DEFAULT_INTERVAL_US)
    if per_second * rate.interval_us > UINT64_MAX:
        raise ValueError(f"{text} is more than can be counted")
    if rate.credit_bytes == 0:
        raise ValueError(f"{text} is less than a byte in each interval, so nothing could ever be sent")
    return rate


def _interval(text: str) -> int:
    suffix, factor = next((suffix, size) for suffix, size in _INTERVALS if text.endswith(suffix))
    number = text.removesuffix(suffix)
    if not _is_number(number):
        raise ValueError(f"{text or 'nothing'} is no interval: a number with us, ms or s")
    interval = int(number) * factor
    if not MIN_INTERVAL_US <= interval <= UINT32_MAX:
        raise ValueError(f"the interval {text} is not from 1ms to {UINT32_MAX // 1_000_000}s")
    return interval


def _is_number(text: str) -> bool:
    # To libxlu's strtoull a leading 0 means octal, which nobody means.
    return text.isdecimal() and text.isascii() and len(text) <= 10 and (text == "0" or text[0] != "0")
