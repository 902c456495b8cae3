"""The keys that libxl alone honours: read, checked, and put into the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.badvalues import BAD_VALUES, bad_config
from xentool.domain.config.keys import all_keys
from xentool.domain.config.load import parse_config
from xentool.domain.config.model import DomainConfig
from xentool.domain.config.reader import ConfigWarning
from xentool.domain.config.record.whole import domain_config
from xentool.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

UUID = "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"
BASE = 'name="web"\nmemory=64\nkernel="/boot/vmlinuz"\n'
X32 = "x" * 32
NODE = "['size=64', 'vcpus={}', 'vdistances={}']"


def load(text: str, guest_type: str = "hvm", suffix: str = "cfg") -> tuple[DomainConfig, list[ConfigWarning]]:
    return parse_config(f"{BASE}type='{guest_type}'\n{text}\n".encode(), f"web.{suffix}")


def record(
    text: str, guest_type: str = "hvm", *, release: tuple[int, int] | None = None
) -> dict[str, object]:
    return dict(domain_config(load(text, guest_type)[0], UUID, [0, 0], xen_version=release))


def part(found: Mapping[str, object], path: str) -> object:
    """What is at "b_info/type.hvm/rdm"."""
    value: object = found
    for name in path.split("/"):
        value = cast("dict[str, object]", value)[name]
    return value


def of_yaml(text: str) -> dict[str, object]:
    raw = f"name: web\nmemory: 64\nkernel: /boot/vmlinuz\n{text}\n".encode()
    return dict(domain_config(parse_config(raw, "web.yaml")[0], UUID))


@pytest.mark.parametrize(("guest_type", "text", "_verdict"), BAD_VALUES)
def test_what_is_wrong_is_refused_with_its_line(guest_type: str, text: str, _verdict: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(bad_config(guest_type, text).encode(), "bad.cfg")
    assert caught.value.subject == "bad.cfg"
    assert caught.value.reason.startswith("line ")
    assert len(caught.value.reason) < 400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pci=['00:1f']", "no PCI device"),
        ("pci=['00:1f.0,seize=1,seize=1']", "seize is given twice"),
        ("pci=['']", "is empty"),
        ("pci=[['00:1f.0']]", "must be text"),
        ("pci=['1:2:3:4.0']", "no PCI device"),
        ("pci=['100:0.0']", "there is no such PCI device"),
        ("pci=['seize=1']", "an address or a name, and not both"),
        ("pci=['name=']", "name has no value"),
        ("serial=[['pty']]", "must be text"),
        ("vtpm='backend=x'", "must be a list"),
        ("vga=['std']", "must be one value"),
        ("iomem=['1,0']", "no frames in it"),
        ("iomem=['-1,1']", "not a hexadecimal number"),
        ("irqs=['5x']", "is not a number"),
        ("llc_colors=['3-1']", "ends before it begins"),
        ("smbios=['bios=x']", 'no SMBIOS string'),
        ("smbios=['oem=']", "has no value"),
        ("smbios=[" + "'oem=x'," * 100 + "]", "more than 99 oem strings"),
        ("xenstore_quota=['nodes']", "no NAME=NUMBER"),
        ("xenstore_quota=['nodes=x']", "not a number"),
        ("cpuid='host,avx'", "no NAME=VALUE"),
        ("cpuid='host,family=256'", "does not fit 8 bits"),
        ("cpuid='host,avx=2'", "must be 0 or 1"),
        (f"cpuid=['1:efx={X32}']", "no register"),
        (f"cpuid=['1:ecx={'y' * 32}']", "each of them 0, 1, x, k or s"),
        ("cpuid=['x:ecx=0']", "no leaf"),
        ("vnuma='x'", "a list for each node"),
        (f"vnuma=[{NODE.format('0', '10')}, {NODE.format('1', '10')}]", "1 distances, but there are 2 nodes"),
        (f"vnuma=[{NODE.format('0', '10,20')}, {NODE.format('0', '20,10')}]", "vcpu 0 is another node's too"),
        ("vnuma=[['size=1','vcpus=1','vdistances=10']]", "vcpu 0 is on no node"),
        ("vnuma=[['size=1','vcpus=3-1','vdistances=10']]", "ends before it begins"),
        ("vnuma=[['size=1','vcpus=0','size=1','vdistances=10']]", "given twice"),
        (f"vnuma=[{NODE.format('0', '10,20')}]", "2 distances, but there are 1 nodes"),
        (f"vnuma=[{NODE.format('0', '10')}]; maxmem=128", "is not what the nodes of vnuma have (64 MiB)"),
        (f"vnuma=[{NODE.format('0', '10')}]; vcpus=2", "more than the nodes of vnuma have (1)"),
        ("vnuma=[['size=32','vcpus=0','vdistances=10']]", "less than memory (64 MiB)"),
        ("vsnd='x'", "a list for each card"),
        ("vdispl=['connectors=;']", "a connector at least"),
        ("vkb=['backend-type=qemu,unique-id=a\tb']", "does not print"),
        ("usbdev=['hostbus=1,hostaddr=256']", "a number from 1 to 255"),
        ("bios=''", "must be one of"),
    ],
)  # fmt: skip
def test_what_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("guest_type", "text", "warning"),
    [
        ("hvm", "kernel='/x/hvmloader'", "kernel is the firmware of HVM guests"),
        ("hvm", "stdvga=1", "stdvga is deprecated (write vga = …)"),
        ("hvm", "bios_path_override='/x'", "is given without bios"),
        ("hvm", "device_model_override='/x'", "without device_model_version"),
        ("hvm", "e820_host=1", "concerns PV guests only"),
        ("pvh", "bios='ovmf'", "concerns HVM guests only"),
        ("pvh", "tee='optee'", "concerns ARM guests only"),
        ("pv", "vnclisten='::'", "has no effect: a PV guest has a display with vnc = 1"),
        ("pv", "vfb=['vnc=1']; vncpasswd='x'", "has no effect: vfb is given"),
        ("pv", "vfb=['vnc=1']; vnc=1", "vnc has no effect: vfb is given"),
    ],
)
def test_what_is_odd_is_a_warning(guest_type: str, text: str, warning: str) -> None:
    _, warnings = load(text, guest_type)
    assert len(warnings) == 1
    assert warning in str(warnings[0])


def test_reserved_memory_is_read_as_it_is_meant() -> None:
    found = record("rdm='strategy=host,policy=relaxed'; pci=['03:00.0', '04:00.0,rdm_policy=strict']")
    assert part(found, "b_info/type.hvm/rdm") == {"strategy": "host", "policy": "relaxed"}
    assert [device["rdm_policy"] for device in cast("list[dict[str, str]]", found["pcidevs"])] == [
        "relaxed",
        "strict",
    ]
    assert part(record("rdm='strategy=host'"), "b_info/type.hvm/rdm") == {"strategy": "host"}


@pytest.mark.parametrize("guest_type", ["pv", "pvh"])
def test_firmware_that_is_a_kernel(guest_type: str) -> None:
    raw = f"name='a'\nmemory=64\ntype='{guest_type}'\nfirmware='pvgrub64'\n".encode()
    found = dict(domain_config(parse_config(raw, "web.cfg")[0], UUID))
    assert str(part(found, "b_info/kernel")).endswith("/boot/pvgrub64.bin")
    assert part(found, f"b_info/type.{guest_type}") == {}


def test_a_pv_guest_with_a_pci_device_sees_the_hosts_memory_map() -> None:
    assert part(record("pci=['03:00.0']; e820_host=0", "pv"), "b_info/type.pv") == {"e820_host": "True"}
    assert part(record("pci=['03:00.0']", "pvh"), "b_info/type.pvh") == {}


def test_a_generation_id_is_new_each_time() -> None:
    config, _ = load("ms_vm_genid='generate'")
    first, second = (part(dict(domain_config(config, UUID)), "b_info/type.hvm/ms_vm_genid") for _ in "12")
    assert first != second
    assert len(cast("list[int]", first)) == 16


@pytest.mark.parametrize(
    ("text", "release", "what"),
    [
        ("smbios=['oem=x']", (4, 17), "smbios"),
        ("hvm_pirq=1", (4, 18), "hvm_pirq"),
        ("llc_colors=['0']", (4, 19), "llc_colors"),
        ("altp2m_count=3", (4, 20), "altp2m_count"),
        ("xenstore_feature_mask=3", (4, 20), "xenstore_feature_mask"),
        ("xenstore_quota=['nodes=3']", (4, 21), "xenstore_quota"),
        ("p9=['tag=a,path=/,security_model=none,max-files=3']", (4, 18), "p9: max-files"),
        ("vif=['vlan=10p']", (4, 18), "vif 0: vlan"),
        ("disk=['/a,raw,hda,w,grant_usage=1']", (4, 18), "disk hda: grant_usage"),
    ],
)
def test_what_a_libxl_does_not_know_yet_is_refused(text: str, release: tuple[int, int], what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        record(text, release=release)
    assert caught.value.reason.startswith(f"{what}: libxl {release[0]}.{release[1]} does not know that")
    record(text, release=(release[0], release[1] + 1))
    record(text)


def test_what_a_libxl_no_longer_knows_is_refused() -> None:
    text = "device_model_version='qemu-xen-traditional'"
    record(text, release=(4, 20))
    with pytest.raises(ConfigError, match=r"it went with 4\.21"):
        record(text, release=(4, 21))


def test_what_came_after_4_20() -> None:
    found = record(
        "altp2m_count=3; xen_platform_pci_bar_uc=0; xenstore_feature_mask=0; xenstore_quota=['nodes=5']",
        release=(4, 22),
    )
    assert part(found, "b_info/altp2m_count") == 3
    assert part(found, "b_info/xenstore_feature_mask") == 0
    assert part(found, "b_info/xenstore_quota") == {"quota": [{"name": "nodes", "val": 5}]}
    assert part(found, "b_info/type.hvm/xen_platform_pci_bar_uc") == "False"
    assert part(found, "b_info/arch_arm") == {"arm_sci": {}}


def test_devices_may_be_mappings_in_yaml() -> None:
    found = of_yaml(
        f"""
vnc: true
vtpm: [{{backend: tpm, uuid: {UUID}}}]
p9: [{{tag: share, path: /srv, security_model: none}}]
pci: [{{bdf: "03:00.0", seize: true}}, "04:00.0"]
usbdev: [{{hostbus: 1, hostaddr: 4}}]
vdispl: [{{connectors: ["id0:1x2", "id1:3x4"], be-alloc: true}}]
"""
    )
    same = record(
        f"vnc=1; vtpm=['backend=tpm,uuid={UUID}']; p9=['tag=share,path=/srv,security_model=none']\n"
        "pci=['03:00.0,seize=1', '04:00.0']; usbdev=['hostbus=1,hostaddr=4']\n"
        "vdispl=['connectors=id0:1x2;id1:3x4,be-alloc=1']",
        "pv",
    )
    assert found == same


def test_vnuma_says_memory_and_vcpus() -> None:
    node = "['size=32', 'vcpus={}', 'vdistances=10,20']"
    config, _ = load(f"vnuma=[{node.format('0-1')}, {node.format('2')}]", "pvh")
    assert (config.max_memory_kib, config.max_vcpus, config.vcpus) == (64 << 10, 3, 1)


@pytest.mark.parametrize(
    ("word", "eax"),
    [
        ("family=6", "xxxx00000000xxxxxxxx0110xxxxxxxx"),
        ("family=0x17", "xxxx00001000xxxxxxxx1111xxxxxxxx"),
        ("family=k", "xxxx00000000xxxxxxxxkkkkxxxxxxxx"),
        ("model=0x9e", "xxxxxxxxxxxx1001xxxxxxxx1110xxxx"),
        ("stepping=5", "xxxxxxxxxxxxxxxxxxxxxxxxxxxx0101"),
    ],
)
def test_parts_of_a_processor_s_signature(word: str, eax: str) -> None:
    cpuid = cast("dict[str, list[object]]", part(record(f"cpuid='host,{word}'"), "b_info/cpuid"))
    assert cpuid == {"cpuid": [{"leaf": 1, "eax": eax}], "msr": []}


values = st.sampled_from(
    ["''", "0", "1", "2", "-1", "[]", "['x']", "'x'", "[1,2]", "'all'", "99999999999", "[['a=b']]", "'é'",
     "['00:1.0']", "'a=b,c'", "[['STREAM,name=x']]", "['a=1','b=2']", "'host,avx=0'", "'\\t'", "[['size=1']]"]
)  # fmt: skip


@given(
    st.sampled_from(["pv", "pvh", "hvm"]),
    st.dictionaries(
        st.sampled_from([key.name for key in all_keys() if key.status in ("libxl", "deprecated")]),
        values,
        max_size=8,
    ),
)
def test_any_setting_has_a_record_or_is_an_error(guest_type: str, settings: dict[str, str]) -> None:
    text = "".join(f"{key}={value}\n" for key, value in settings.items() if key != "builder")
    try:
        config, _ = load(text, guest_type)
    except ConfigError:
        return
    found = domain_config(config, UUID)
    assert list(found)[:2] == ["c_info", "b_info"]
    assert hash(config) == hash(config.replace(name="web"))
