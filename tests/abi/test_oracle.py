"""Every structure and constant of `xentool.abi`, compared with Xen's C headers by a C compiler.

The headers at hand are those of one release (libxen-dev). What is newer than they are is in
`NEWER`, with the numbers of the release that brought it.
"""

from __future__ import annotations

import errno
import importlib
import pkgutil
import re
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

import xentool.abi
from xentool.abi import console, cpu_policy, start_info, vcpu, versions, xs_wire
from xentool.abi.layout import Struct

if TYPE_CHECKING:
    from pathlib import Path

HOW_TO_GET_THEM = (
    "the ABI oracle needs a C compiler and Xen's headers: `./dev setup`, or apt-get install gcc libxen-dev"
)

PROLOGUE = """
#define __XEN_TOOLS__ 1
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xenctrl.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
"""

OWN_MODULES = {"layout", "paging"}  # no header of Xen's: machinery, and Intel's page tables

# Ours, and what each is in C.
OWN_NAMES = {
    "start_info.START_INFO_MAGIC": None,  # test_the_magic
    "version.XEN_COMMANDLINE_LEN": "sizeof(xen_commandline_t)",
    "vcpu.USER_REGS": "offsetof(struct vcpu_guest_context, user_regs)",
    "vcpu.FLAT_KERNEL_CS": "FLAT_KERNEL_CS",
    "console.CONNECTION_OFFSET": None,  # test_what_is_newer_than_the_headers
    "cpu_policy.HOST": "XEN_SYSCTL_cpu_policy_host",
    "cpu_policy.PV_MAX": "XEN_SYSCTL_cpu_policy_pv_max",
    "cpu_policy.PV_DEFAULT": "XEN_SYSCTL_cpu_policy_pv_default",
    "cpu_policy.HTT": None,  # test_cpu_features
    "cpu_policy.CMP_LEGACY": None,
    "cpu_policy.ITSC": None,
    "cpu_features.MSR_ARCH_CAPABILITIES": None,  # in no public header
    "versions.INTERFACES": None,  # test_versions
    "versions.OLDEST": None,
    "versions.NEWEST": None,
    "xs_wire.XSD_SOCKMSG_SIZE": "sizeof(struct xsd_sockmsg)",
    "xs_wire.XSD_ERRORS": None,  # test_the_store_s_errors
    **{
        f"xs_wire.RING_{field.upper()}_OFFSET": f"offsetof(struct xenstore_domain_interface, {field})"
        for field in (
            "req", "rsp", "req_cons", "req_prod", "rsp_cons", "rsp_prod",
            "server_features", "connection", "error",
        )
    },
}  # fmt: skip

# Newer than 4.17's headers, transcribed from those of the release named.
NEWER = {
    "xen.DOMID_ANY": 0x7FF5,  # 4.22, public/xen.h
    "console.XENCONSOLE_CONNECTED": 0,  # 4.21, public/io/console.h
    "console.XENCONSOLE_DISCONNECTED": 1,
    "xs_wire.XS_GET_FEATURE": 23,  # 4.21, public/io/xs_wire.h
    "xs_wire.XS_SET_FEATURE": 24,
    "xs_wire.XS_GET_QUOTA": 25,
    "xs_wire.XS_SET_QUOTA": 26,
    "xs_wire.XENSTORE_SERVER_FEATURE_WATCHDEPTH": 4,  # 4.22, public/io/xs_wire.h
    "xs_wire.XENSTORE_SERVER_FEATURE_DOMID_ANY": 8,
}


def _modules() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(xentool.abi.__path__))


def _names(module_name: str) -> dict[str, object]:
    """The public names that a module itself defines."""
    module = importlib.import_module(f"xentool.abi.{module_name}")
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in ("annotations", "TYPE_CHECKING") and not callable(value)
    }


STRUCTS = [
    pytest.param(value, id=f"{module}.{name}")
    for module in _modules()
    if module not in OWN_MODULES
    for name, value in _names(module).items()
    if isinstance(value, Struct)
]


def _constants() -> dict[str, tuple[str, int]]:
    """By "module.name": the C expression, and our value."""
    found = {}
    for module in _modules():
        if module in OWN_MODULES:
            continue
        for name, value in _names(module).items():
            key = f"{module}.{name}"
            if isinstance(value, Struct) or key in NEWER:
                continue
            expression = OWN_NAMES.get(key, name)
            if expression is None:
                continue
            if re.fullmatch("HYPERVISOR_[a-z_]+", name):
                expression = f"__{name}"
            assert isinstance(value, int), f"{key} is neither an integer, a Struct, nor listed in OWN_NAMES"
            found[key] = (expression, value)
    return found


class Compiler:
    """Compiles programs against Xen's headers and runs them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not shutil.which("gcc"):
            pytest.fail(f"no gcc: {HOW_TO_GET_THEM}")
        probe = self._compile("int main(void) { return 0; }")
        if probe.returncode:
            pytest.fail(f"{HOW_TO_GET_THEM}\n{probe.stderr}")

    def _compile(self, body: str) -> subprocess.CompletedProcess[str]:
        source = self._folder / "oracle.c"
        source.write_text(PROLOGUE + body)
        return subprocess.run(
            ["gcc", "-w", "-O0", "-o", self._folder / "oracle", source],
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, statements: list[str]) -> list[str]:
        """What a main() of these statements prints, by lines."""
        result = self._compile("int main(void) {\n" + "\n".join(statements) + "\nreturn 0;\n}\n")
        assert not result.returncode, result.stderr
        run = subprocess.run([self._folder / "oracle"], capture_output=True, text=True, check=True)
        return run.stdout.splitlines()

    def numbers(self, expressions: list[str]) -> list[int]:
        return [
            int(line) for line in self.ask([f'printf("%lld\\n", (long long)({e}));' for e in expressions])
        ]


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Compiler:
    return Compiler(tmp_path_factory.mktemp("oracle"))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def test_constants(compiler: Compiler) -> None:
    constants = _constants()
    assert len(constants) > 300
    answers = compiler.numbers([expression for expression, _ours in constants.values()])
    wrong = {
        name: (ours, theirs)
        for (name, (_expression, ours)), theirs in zip(constants.items(), answers, strict=True)
        if _signed(ours) != theirs
    }
    assert not wrong, "ours and Xen's differ"


def test_structures(compiler: Compiler) -> None:
    questions: list[str] = []
    ours: list[int] = []
    names: list[str] = []
    for parameter in STRUCTS:
        layout = parameter.values[0]
        assert isinstance(layout, Struct)
        questions.append(f"sizeof({layout.c_name})")
        ours.append(layout.size)
        names.append(f"sizeof({layout.c_name})")
        for field in layout.fields.values():
            codec = struct.Struct("<" + field.code)
            element = f"(({layout.c_name} *)0)->{field.path}"
            questions += [f"offsetof({layout.c_name}, {field.path})", f"sizeof({element})"]
            ours += [field.offset, codec.size]
            names += [f"offset of {layout.c_name}.{field.path}", f"size of {layout.c_name}.{field.path}"]
            if not field.code.endswith("s"):  # a scalar, or an array of them: signed as in C?
                item = f"{element}[0]" if field.is_array else element
                questions.append(f"((__typeof__({item}))-1) < 0" if not _is_handle(field.path) else "0")
                ours.append(int(field.code[-1].islower()))
                names.append(f"signedness of {layout.c_name}.{field.path}")
    theirs = compiler.numbers(questions)
    wrong = {
        name: pair
        for name, pair in zip(names, zip(ours, theirs, strict=True), strict=True)
        if pair[0] != pair[1]
    }
    assert not wrong, "ours and Xen's differ"


def _is_handle(path: str) -> bool:
    """Guest handles are structs with a pointer: neither signed nor not."""
    return path.rpartition(".")[2] in {
        "array", "bitmap", "buffer", "cputopo", "ctxt", "distance",
        "extent_start", "frame_list", "leaves", "meminfo", "msrs",
    }  # fmt: skip


@pytest.mark.parametrize("layout", STRUCTS)
def test_fields_lie_inside(layout: Struct) -> None:
    for field in layout.fields.values():
        assert field.offset + struct.calcsize("<" + field.code) <= layout.size, field.path


def test_the_store_s_errors(compiler: Compiler) -> None:
    lines = compiler.ask(
        [
            "for (unsigned i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)",
            "puts(xsd_errors[i].errstring);",
        ]
    )
    assert tuple(lines) == xs_wire.XSD_ERRORS
    assert all(hasattr(errno, name) for name in lines)


def test_the_magic(compiler: Compiler) -> None:
    """XENVER_capabilities lists guest types in this form; the page's field must hold it, ended by a NUL."""
    assert compiler.numbers(["sizeof(((struct start_info *)0)->magic)"]) == [32]
    assert len(start_info.START_INFO_MAGIC) < 32
    assert vcpu.vcpu_guest_context.offset("user_regs") == vcpu.USER_REGS


# cpufeatureset.h numbers a feature by word and bit; its comments say which leaf and register a word is.
WORDS = {
    (0x1, cpu_policy.XEN_CPUID_NO_SUBLEAF, "d"): 0,
    (0x80000001, cpu_policy.XEN_CPUID_NO_SUBLEAF, "c"): 3,
    (0x80000007, cpu_policy.XEN_CPUID_NO_SUBLEAF, "d"): 7,
}


def test_cpu_features(compiler: Compiler) -> None:
    features = [cpu_policy.HTT, cpu_policy.CMP_LEGACY, cpu_policy.ITSC]
    ours = [WORDS[feature[:3]] * 32 + feature[3] for feature in features]
    assert ours == compiler.numbers([f"XEN_X86_FEATURE_{name}" for name in ("HTT", "CMP_LEGACY", "ITSC")])


def test_what_is_newer_than_the_headers() -> None:
    for key, number in NEWER.items():
        module, _, name = key.partition(".")
        assert _names(module)[name] == number, key
    # 4.21 put `connection` right behind out_prod (public/io/console.h).
    assert console.xencons_interface.size == console.CONNECTION_OFFSET


# Transcribed from public/domctl.h and public/sysctl.h of each stable branch: domctl's and
# sysctl's interface version, sizeof(struct xen_domctl_createdomain), and the offset of vmtrace_size in it.
RELEASES = {
    (4, 17): (0x15, 0x15, 64, 48),
    (4, 18): (0x16, 0x15, 64, 48),
    (4, 19): (0x17, 0x15, 68, 52),
    (4, 20): (0x17, 0x15, 68, 52),
    (4, 21): (0x17, 0x16, 68, 52),
    (4, 22): (0x18, 0x16, 68, 52),
}


@pytest.mark.parametrize("release", RELEASES)
def test_versions(release: tuple[int, int]) -> None:
    domctl_version, sysctl_version, size, vmtrace_at = RELEASES[release]
    assert versions.INTERFACES[release] == (domctl_version, sysctl_version)
    layout = versions.createdomain(domctl_version)
    assert layout.size == size
    assert layout.offset("vmtrace_size") == vmtrace_at
    assert layout.offset("emulation_flags") == size - 8


def test_versions_of_the_headers_at_hand(compiler: Compiler) -> None:
    """The table's row for the release whose headers are installed, by those headers."""
    domctl_version, sysctl_version, size = compiler.numbers(
        [
            "XEN_DOMCTL_INTERFACE_VERSION",
            "XEN_SYSCTL_INTERFACE_VERSION",
            "sizeof(struct xen_domctl_createdomain)",
        ]
    )
    assert (domctl_version, sysctl_version) in versions.INTERFACES.values()
    layout = versions.createdomain(domctl_version)
    assert layout.size == size
    names = [field.path for field in layout.fields.values()]
    theirs = compiler.numbers([f"offsetof(struct xen_domctl_createdomain, {name})" for name in names])
    assert [field.offset for field in layout.fields.values()] == theirs


def test_all_releases_are_listed() -> None:
    assert set(versions.INTERFACES) == set(RELEASES)
    assert (min(RELEASES), max(RELEASES)) == (versions.OLDEST, versions.NEWEST)
