"""From a config's text to a DomainConfig: every key read, checked and accounted for."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.config.affinity import parse_affinity
from xentool.domain.config.keys import all_keys, find_key, nearest_key
from xentool.domain.config.load import parse_config
from xentool.domain.config.model import Action, DomainConfig, GuestType, Source, TscMode
from xentool.domain.config.reader import ConfigWarning
from xentool.errors import ConfigError

BASE = 'name="web"\nkernel="/boot/vmlinuz"\nmemory=64\n'
UUID = "5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37"


def load(text: str, *overrides: str, base: str = BASE) -> tuple[DomainConfig, list[ConfigWarning]]:
    return parse_config((base + text).encode(), "web.cfg", overrides)


def config(text: str, *overrides: str) -> DomainConfig:
    found, warnings = load(text, *overrides)
    assert warnings == []
    return found


def test_the_least_config_has_xls_defaults() -> None:
    found = config("")
    assert found == DomainConfig(
        name="web",
        kernel="/boot/vmlinuz",
        memory_kib=64 << 10,
        given=frozenset({"name", "kernel", "memory"}),
        source=Source("web.cfg", BASE.encode()),
    )
    assert (found.type, found.uuid, found.vcpus, found.max_vcpus) == (GuestType.PV, None, 1, 1)
    assert found.max_memory_kib == 64 << 10
    assert (found.on_poweroff, found.on_reboot) == (Action.DESTROY, Action.RESTART)
    assert (found.on_crash, found.on_soft_reset) == (Action.DESTROY, Action.SOFT_RESET)
    assert found.max_event_channels == 1023


def test_every_supported_key_is_read() -> None:
    found = config(
        f"""
        type="pv"; uuid="{UUID.upper()}"; maxmem=0x80; vcpus=2; maxvcpus="4"
        cpus="0-3,^1"; cpus_soft=["0", 1]; pool="Pool-1"; cpu_weight=512; cap=150
        ramdisk="/boot/initrd"; root="/dev/xvda1 ro"; extra="quiet"
        on_poweroff="preserve"; on_reboot="rename-restart"; on_watchdog="coredump-restart"
        on_crash="coredump-destroy"; on_soft_reset="destroy"
        max_grant_frames=1; max_maptrack_frames=64; max_grant_version=1; max_event_channels=256
        localtime=1; rtc_timeoffset=-3600; tsc_mode="native"; nomigrate=1
        """
    )
    assert found == DomainConfig(
        name="web", type=GuestType.PV, uuid=UUID, memory_kib=64 << 10, max_memory_kib=128 << 10, vcpus=2,
        max_vcpus=4, cpus=parse_affinity("0-3,^1"), cpus_soft=parse_affinity(["0", "1"]), pool="Pool-1",
        cpu_weight=512, cap=150, kernel="/boot/vmlinuz", ramdisk="/boot/initrd",
        cmdline="root=/dev/xvda1 ro quiet", on_poweroff=Action.PRESERVE, on_reboot=Action.RENAME_RESTART,
        on_watchdog=Action.COREDUMP_RESTART, on_crash=Action.COREDUMP_DESTROY, on_soft_reset=Action.DESTROY,
        max_grant_frames=1, max_maptrack_frames=64, max_grant_version=1, max_event_channels=256,
        localtime=True, rtc_timeoffset=-3600, tsc_mode=TscMode.NATIVE, nomigrate=True,
        given=found.given, source=found.source,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "cmdline"),
    [
        ("cmdline='a b'", "a b"), ("root='/dev/x'", "root=/dev/x"), ("extra='quiet'", "quiet"),
        ("root='/dev/x'; extra='quiet'", "root=/dev/x quiet"), ("cmdline='a\\tb\\nc'", "a\tb\nc"), ("", ""),
        ("cmdline='" + "x" * 1023 + "'", "x" * 1023),
    ],
)  # fmt: skip
def test_the_command_line(text: str, cmdline: str) -> None:
    assert config(text).cmdline == cmdline


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("name=''", 'line 4: name = "": is empty', ""),
        ("name='a/b'", 'must not hold "/"', ""),
        ("name='12'", "would take for a domid", "letter"),
        ("name='-x'", "for an option", ""),
        ("name=' x'", "blank", ""),
        ("name='a\\tb'", "does not print", ""),
        ("name='a\\nb'", "U+000A", ""),
        ("name='" + "é" * 101 + "'", "longer than 200 bytes", ""),
        ("name=['a']", "is a list, but must be one value", "without [ ]"),
        ("memory='abc'", 'memory = "abc": must be a number of MiB', ""),
        ("memory=0", "from 1 to 16,777,216", ""),
        ("memory='512M'", "must be a number of MiB", "in MiB, without a unit"),
        ("memory=08", "must be a number of MiB", "octal"),
        ("memory+='4'", "+= joins text", "write memory = "),
        ("memory=[4]", "must be a number of MiB", ""),
        ("memory=99999999999999999999999999999999999999", "must be a number of MiB", ""),
        ("maxmem=32", "less than memory (64 MiB)", "raise it"),
        ("vcpus=0", "from 1 to 128", ""),
        ("vcpus=129", "from 1 to 128", ""),
        ("vcpus=2; maxvcpus=1", "less than vcpus (2)", ""),
        ("cpus='5-3'", "ends before it begins", "for example"),
        ("cpus=[['1']]", "entries must be text", ""),
        ("cpu_weight=0", "from 1 to 65,535", ""),
        ("cap=101", "from 0 to 100", ""),
        ("uuid='x'", "is not a UUID", "for example"),
        ("uuid='5f3a1c9e-7b2d-4e86-9a10c-4d2e8f01b37'", "is not a UUID", ""),
        (f"uuid='{'0' * 32}'", "Domain-0's", ""),
        ("kernel=''", "kernel is missing", "kernel = "),
        ("cmdline='" + "x" * 1024 + "'", "1,024 bytes; a PV guest can be given 1,023", ""),
        ("root='" + "x" * 1019 + "'", 'root = "xxx', ""),
        ("cmdline='é" + "x" * 1022 + "'", "1,024 bytes", ""),
        ("on_crash='preserv'", "must be one of: destroy, restart", '"preserve"'),
        ("on_crash='rename_restart'", "must be one of", '"rename-restart"'),
        ("max_grant_frames=0", "from 1", ""),
        ("max_grant_version=3", "from 1 to 2", ""),
        ("tsc_mode='native_paravirt'", "no longer has native_paravirt", ""),
        ("tsc_mode='fast'", "must be one of: default", ""),
        ("tsc_mode=4", "from 0 to 3", ""),
        ("localtime='yes'", "must be 0 or 1", ""),
        ("type='p'", "must be one of: hvm, pv, pvh", ""),
        ("builder='linux'", 'must be "generic" or "hvm"', ""),
        ("type='pv'; builder='hvm'", "contradicts", "type replaces it"),
        ("disk=['/dev/x,xvda,w']", '"xvda" is no format', "the order is target,format,vdev,access"),
        ("disk='/dev/x,raw,xvda'", "must be a list", "disk = [ … ]"),
        ("disk=['/a,,xvda', '/b,,d0p0']", 'are called "d0p0" ("xvda" is the same', "its own vdev"),
    ],
)
def test_what_is_refused(text: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.subject == "web.cfg"
    if "is missing" not in reason:
        assert caught.value.reason.startswith("line 4: ")


@pytest.mark.parametrize(("base", "key"), [('kernel="k"', "name"), ('name="web"', "kernel")])
def test_what_is_missing(base: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        load("", base=base)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("memroy=3", "web.cfg: line 4: memroy is no key of a config; it is ignored (did you mean memory?)"),
        ("zzzzz=3", "web.cfg: line 4: zzzzz is no key of a config; it is ignored"),
        ("serial='pty'", "web.cfg: line 4: serial concerns HVM guests only; it is ignored"),
        ("acpi=0", "web.cfg: line 4: acpi concerns PVH and HVM guests only; it is ignored"),
        ("slice=3", "web.cfg: line 4: slice has no effect: "),
        ("builder='generic'", 'web.cfg: line 4: builder is deprecated: write type = "pv"'),
        (
            "tsc_mode=1",
            'web.cfg: line 4: tsc_mode as a number is deprecated: write tsc_mode = "always_emulate"',
        ),
        ("memory=0100", "web.cfg: line 4: memory = 0100 is octal and means 64"),
        ("cmdline='x'; extra='y'", "web.cfg: line 4: cmdline is given, so root and extra are ignored"),
        ("name='a b'", "web.cfg: line 4: name holds a blank"),
        ("cpus=['0', '1']", "web.cfg: line 4: cpus has 2 entries for 1 vcpus"),
    ],
)
def test_what_is_odd_is_a_warning(text: str, warning: str) -> None:
    _, warnings = load(text)
    assert [str(found)[: len(warning)] for found in warnings] == [warning]


def test_without_memory_the_domain_gets_xls_default_and_a_warning() -> None:
    found, (warning,) = load("", base='name="web"; kernel="k"')
    assert found.memory_kib == found.max_memory_kib == 32 << 10
    assert str(warning) == "web.cfg: memory is not given: the domain gets 32 MiB (write memory = <MiB>)"
    found, _ = load("maxmem=100", base='name="web"; kernel="k"\n')
    assert found.memory_kib == found.max_memory_kib == 100 << 10


@pytest.mark.parametrize(
    "text",
    ["disk=[]", "vif=''", "vnc=0", "vpmu=0x0", "passthrough='disabled'", "device_model_version='qemu-xen'",
     "hap=1", "hap=2",
     "cpus=[]", "seclabel=''", "builder=''", "pci_seize=0", "acpi=1", "nestedhvm=0", "cpuid=[]"],
)  # fmt: skip
def test_what_asks_for_nothing_is_nothing(text: str) -> None:
    if text == "builder=''":
        with pytest.raises(ConfigError):
            config(text)
        return
    assert config(text).cpus is None


def test_every_key_with_its_default_is_accepted() -> None:
    for key in all_keys():
        if key.default not in ("", "[]") and key.status != "supported":
            config(f"{key.name}='{key.default}'")
        if "list" in key.kind:
            config(f"{key.name}=[]")


def test_the_table_of_keys_is_sound() -> None:
    keys = all_keys()
    assert len(keys) > 150
    kinds = {"string", "integer", "mebibytes", "boolean", "list", "cpus", "action"}
    for key in keys:
        assert set(key.kind.split(" or ")) <= kinds
        assert key.status in ("supported", "libxl", "deprecated", "ignored")
        assert set(key.types) <= {"pv", "pvh", "hvm", "arm"}
        assert key.doc.endswith((".", "…"))
        assert (key.status == "deprecated") == bool(key.instead)
        assert not key.instead or find_key(key.instead)
    assert nearest_key("Memory") == "memory"
    assert find_key("nope") is None


def test_overrides_come_last() -> None:
    found = config("vcpus=2", "vcpus=3", "name=web2")
    assert (found.vcpus, found.name) == (3, "web2")
    assert found.source.raw == (BASE + "vcpus=2\nvcpus=3\nname=web2\n").encode()
    with pytest.raises(ConfigError, match="command line: vcpus"):
        config("", "vcpus=x")


def test_a_config_is_frozen() -> None:
    found = config("")
    with pytest.raises(AttributeError, match="frozen"):
        found.name = "x"
    with pytest.raises(AttributeError, match="frozen"):
        del found.name
    assert copy.deepcopy(found) is found
    other = found.replace(name="x")
    assert (other.name, found.name) == ("x", "web")
    assert other != found
    assert hash(found.replace(name="web")) == hash(found)
    assert eval(repr(Source("a", b"b"))) == Source("a", b"b")


values = st.sampled_from(
    ["''", "1", "-1", "08", "[]", "['x']", "'x'", "[1,2]", "'all'", "99999999999", "[['a=b']]", "'é'", "0x10"]
)


@given(st.dictionaries(st.sampled_from([key.name for key in all_keys()]), values, max_size=8))
def test_any_setting_is_a_config_or_a_config_error(settings: dict[str, str]) -> None:
    text = "".join(f"{key}={value}\n" for key, value in settings.items())
    try:
        found, _ = load(text)
    except ConfigError as error:
        found = None
        print(error)
    assert found is None or found.given == {"name", "kernel", "memory"} | settings.keys()
