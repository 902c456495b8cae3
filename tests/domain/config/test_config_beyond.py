"""What goes beyond the native toolstack: described by a config, refused where it would be built."""

from __future__ import annotations

import pytest

from xentool.domain.config.beyond import check_native, reasons
from xentool.domain.config.keys import all_keys, find_key
from xentool.domain.config.load import parse_config
from xentool.domain.config.model import DomainConfig, GuestType
from xentool.errors import ConfigError, UnsupportedError

BASE = 'name="web"\nmemory=64\n'


def load(text: str, base: str = BASE + 'kernel="/boot/vmlinuz"\n') -> DomainConfig:
    return parse_config((base + text).encode(), "web.cfg")[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("type='hvm'", ('type="hvm"',)),
        ("builder='hvm'", ('type="hvm"',)),
        ("type='pvh'", ('type="pvh"',)),
        ("bootloader='pygrub'", ('bootloader="pygrub"',)),
        ("vpmu=1", ("vpmu=1",)),
        ("vnc=1; vncpasswd='x'", ("vnc=1",)),
        ("vncpasswd='x'; keymap='de'", ()),
        ("vtpm=['backend=x']; vpmu=1", ("vtpm=", "vpmu=1")),
        ("passthrough='enabled'", ('passthrough="enabled"',)),
        ("disk=['/a,raw,xvda,w,specification=virtio']", ("disk xvda: specification=virtio",)),
        ("disk=['/a,raw,xvda,w', '/b,raw,xvdb,w,backendtype=tap']", ("disk xvdb: backendtype=tap",)),
        ("type='pvh'; nestedhvm=1", ('type="pvh"',)),
    ],
)
def test_the_reasons(text: str, found: tuple[str, ...]) -> None:
    config = load(text)
    assert reasons(config) == found
    if not found:
        check_native(config)
        return
    with pytest.raises(UnsupportedError) as caught:
        check_native(config)
    assert caught.value.subject == "web.cfg"
    assert f": {found[0]} (" in caught.value.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("type='hvm'", 'the native toolstack does not do that: type="hvm" (HVM guests)'),
        ("vtpm=['backend=x']", "the native toolstack does not do that: vtpm= (virtual TPMs)"),
        ("pci=['03:00.0']", "the native toolstack does not do that: pci= (PCI devices of the host)"),
        ("irqs=[5]; ioports=['3f8']", "the native toolstack does not do that: irqs= (physical interrupts"),
        ("ioports=['3f8']", "the native toolstack does not do that: ioports= (I/O ports of the host"),
    ],
)
def test_the_refusal_says_what(text: str, reason: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        check_native(load(text))
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("guest_type", GuestType.WORDS)
def test_a_default_written_out_is_no_reason(guest_type: str) -> None:
    for key in all_keys():
        if key.status == "libxl" and key.default:
            value = key.default if key.default == "[]" else f"'{key.default}'"
            config = load(f"type='{guest_type}'; {key.name}={value}")
            assert len(reasons(config)) == (guest_type != "pv"), key.name
            assert (key.name in config.beyond) == key.concerns(guest_type)


@pytest.mark.parametrize(
    ("name", "written", "nothing"),
    [
        ("hap", 1, True),
        ("hap", "2", True),  # any number but 0 is a yes
        ("hap", 0, False),
        ("vnc", "0x0", True),
        ("altp2m", "disabled", True),
        ("altp2m", "mixed", False),
        ("passthrough", "default", True),
        ("passthrough", "enabled", False),
        ("bootloader", "", True),
        ("bootloader", "pygrub", False),
        ("vtpm", [], True),
        ("vtpm", ["backend=x"], False),
        ("usbversion", 0, False),
    ],
)
def test_a_value_asks_for_as_much_as_it_is_written_as_once_it_is_read(
    name: str, written: object, nothing: bool
) -> None:
    key = find_key(name)
    assert key is not None
    text = f"type='{(key.types or ('pv',))[-1]}'\n{name}={written!r}"
    read = load(text).beyond[name]
    assert (key.asks_for_nothing(written), key.asks_for_nothing(read)) == (nothing, nothing), read


def test_which_guests_need_no_kernel() -> None:
    for text in ("type='hvm'", "bootloader='pygrub'", "type='pvh'; firmware='pvgrub64'"):
        assert load(text, BASE).kernel == ""
    assert load("type='hvm'; kernel='/x/hvmloader'", BASE).kernel == ""
    assert load("type='pvh'; kernel='/x/hvmloader'", BASE).kernel == "/x/hvmloader"
    for text in ("", "type='pvh'", "bootloader=''"):
        with pytest.raises(ConfigError, match="kernel is missing"):
            load(text, BASE)


def test_an_emulated_network_card_is_for_hvm_alone() -> None:
    assert load("type='hvm'; vif=['type=ioemu']").vifs[0].type == "ioemu"
    with pytest.raises(ConfigError, match="a PVH guest has no emulated devices"):
        load("type='pvh'; vif=['type=ioemu']")


def test_what_goes_beyond_is_frozen_too() -> None:
    config = load(f"vpmu=1; cpuid=['0:eax={'x' * 32}']")
    assert hash(config) == hash(config.replace(name="web"))
    with pytest.raises(TypeError, match="frozen"):
        config.beyond["vpmu"] = False  # type: ignore[index]
