"""PCI devices of the host, and the policy for memory that they reserve.

    pci = [ "0000:03:00.0", "04:1f.*@5,permissive=1", "name=gpu,seize=1" ]
    rdm = "strategy=host,policy=relaxed"

xl does not take ``rdm`` with a policy in it: libxlutil takes the good ones for bad (4.17 to 4.21), and
of the bad ones an undefined policy results. Here they are read as they are meant.

Source: xl-pci-configuration(5); tools/libs/util/libxlu_pci.c (xlu_pci_parse_spec_string, xlu_rdm_parse).
"""

from __future__ import annotations

from xentool.domain.config.further.entries import (
    entry,
    fail,
    flag,
    one_of,
    pairs_of_mapping,
    pairs_of_text,
    read_fields,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xentool.domain.config.reader import Reader
    from xentool.values import FrozenMap

ALL_FUNCTIONS = 0xFFFFFFFF
"""LIBXL_PCI_FUNC_ALL."""
POLICIES = ("strict", "relaxed")
_HEX = frozenset("0123456789abcdefABCDEF")
_FLAGS = ("msitranslate", "power_mgmt", "permissive", "seize")


def _address(value: str) -> FrozenMap:
    """``[DOMAIN:]BUS:DEVICE.FUNCTION``, all hexadecimal; ``*`` is all functions."""
    place, dot, function = value.partition(".")
    groups = place.split(":")
    if not dot or len(groups) not in (2, 3) or not all(group and _HEX.issuperset(group) for group in groups):
        raise ValueError("it is no PCI device, as 0000:03:00.0 or 03:00.0")
    domain, bus, device = (int(group, 16) for group in (["0"] * (3 - len(groups)) + groups))
    if domain > 0xFFFF or bus > 0xFF or device > 0x1F:
        raise ValueError("there is no such PCI device: domains end at ffff, buses at ff, devices at 1f")
    if function == "*":
        number, mask = 0, ALL_FUNCTIONS
    elif len(function) == 1 and function in "01234567":
        number, mask = int(function), 1
    else:
        raise ValueError("a device's functions are 0 to 7, or * for all")
    return entry({"func": number, "dev": device, "bus": bus, "domain": domain, "vfunc_mask": mask})


def _slot(value: str) -> int:
    """The slot that the guest sees it in, hexadecimal."""
    if not value or not _HEX.issuperset(value) or int(value, 16) > 0x1F:
        raise ValueError("it is no slot from 0 to 1f")
    return int(value, 16) << 3


_FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "bdf": ("bdf", _address),
    "vslot": ("vdevfn", _slot),
    **{name: (name, flag) for name in _FLAGS},
    "rdm_policy": ("rdm_policy", one_of(*POLICIES)),
    "name": ("name", text),
}


def read_pci(reader: Reader) -> tuple[FrozenMap, ...]:
    """The devices, each with the fields of a libxl_device_pci that it sets itself.

    Raises:
        ConfigError: an entry is no device.
    """
    return tuple(reader.entries("pci", _of_text, _of_mapping))


def _of_text(given: str) -> FrozenMap:
    first, _, rest = given.partition(",")
    if "=" in first:
        return _device(pairs_of_text(given), given)
    if not first.strip():
        fail(given, "is empty", "write an address, as 0000:03:00.0")
    address, at, slot = first.strip().partition("@")
    pairs = [("bdf", address)] + ([("vslot", slot)] if at else [])
    return _device(pairs + pairs_of_text(rest), given)


def _of_mapping(given: Mapping[str, object]) -> FrozenMap:
    return _device(pairs_of_mapping(given), str(given))


def _device(pairs: list[tuple[str, str]], shown: str) -> FrozenMap:
    said = {word for word, _ in pairs}
    fields = read_fields(pairs, _FIELDS, shown)
    # What is said to be off differs from what is not said: the config has defaults of its own.
    fields |= {name: False for name in _FLAGS if name in said and name not in fields}
    if ("bdf" in said) == ("name" in said):
        fail(shown, "it needs an address or a name, and not both", "as 0000:03:00.0, or name=gpu")
    address = fields.pop("bdf", None)
    return entry(fields | address if isinstance(address, dict) else fields)


def read_rdm(reader: Reader) -> object:
    """``strategy`` and ``policy``, those that are said.

    Raises:
        ConfigError: a word that is neither, or a value that does not fit.
    """
    given = reader.text("rdm")
    fields = {"strategy": ("strategy", one_of("host")), "policy": ("policy", one_of(*POLICIES))}
    from xentool.errors import ConfigError

    try:
        return entry(read_fields(pairs_of_text(given), fields, given))
    except ConfigError as exc:
        raise reader.error(
            "rdm", exc.reason, exc.hint or 'for example: "strategy=host,policy=relaxed"'
        ) from exc
