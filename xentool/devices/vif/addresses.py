"""IP addresses and networks as text, in one canonical form. (`ipaddress` takes 10 ms to import.)"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton


def canonical_address(text: str) -> str:
    """An IPv4 or IPv6 address that a host can have, or a network of them ("10.0.0.16/28"), as text.

    Raises:
        ValueError: it is neither; the message says why.
    """
    address, slash, length = text.partition("/")
    family = AF_INET6 if ":" in address else AF_INET
    try:
        packed = inet_pton(family, address)
    except (OSError, ValueError):
        raise ValueError(f"{text} is no IP address") from None
    bits = len(packed) * 8
    prefix = int(length) if length.isdecimal() and length.isascii() and len(length) < 4 else -1
    if slash and not 1 <= prefix <= bits:
        raise ValueError(f"{text}: after the / stands a number from 1 to {bits}")
    number = int.from_bytes(packed)
    if slash and number & ((1 << (bits - prefix)) - 1):
        start = (number >> (bits - prefix) << (bits - prefix)).to_bytes(len(packed))
        raise ValueError(
            f"{text} is not where its network starts: that is {inet_ntop(family, start)}/{prefix}"
        )
    if not number or packed[0] == 0xFF or (family == AF_INET and packed[0] >> 4 == 0xE):
        raise ValueError(f"{text} is no address that a guest can send from")
    shown = inet_ntop(family, packed)
    return f"{shown}/{prefix}" if slash and prefix < bits else shown


def addresses_of(text: str) -> list[str]:
    """The addresses in xl's ``ip``, separated by blanks. ValueError: as `canonical_address`."""
    return [canonical_address(word) for word in text.split()]
