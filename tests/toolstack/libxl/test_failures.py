"""libxl's codes and words, in ours. The lines are what libxl 4.17 and 4.20 logged."""

from __future__ import annotations

import re

import pytest

from xentool.errors import (
    ConfigError,
    HostError,
    InUseError,
    KernelError,
    LibxlError,
    NoMemoryError,
    NotFoundError,
    TimedOutError,
    XentoolError,
)
from xentool.toolstack.libxl.codes import NAMES, name_of
from xentool.toolstack.libxl.failures import OF_CODES, failure, words_of
from xentool.toolstack.libxl.log import parse_line
from xentool.toolstack.libxl.words import MEANINGS

NO_SPACE = "xc: error: Failed to write page data to stream (28 = No space left on device): Internal error"
NO_KERNEL = """\
xc: error: panic: xg_dom_core.c:205: failed to open file '/x': No such file or directory: Internal error
libxl: error: libxl_dom.c:646:libxl__build_pv: xc_dom_kernel_file failed: No such file or directory
libxl: error: libxl_create.c:1640:domcreate_rebuild_done: Domain 2:cannot (re-)build domain: -3"""
GARBAGE = """\
xc: error: panic: xg_dom_core.c:689: xc_dom_find_loader: no loader found: Invalid kernel
libxl: error: libxl_dom.c:571:libxl__build_dom: xc_dom_parse_image failed"""
NO_BRIDGE = """\
libxl: error: libxl_exec.c:117:f: /etc/xen/scripts/vif-bridge online [3] exited with error status 1
libxl: error: libxl_device.c:1337:device_hotplug_child_death_cb: script: Could not find bridge device nobr
libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain 1:Unable to add vif with id 0"""
NO_DISK = "libxl: error: libxl_device.c:455:f: Disk vdev=xvdc failed to stat: /x: No such file or directory"
NAME = 'libxl: error: libxl_domain.c:81:f: Domain 1:Domain with name "a" already exists.'

QMP = "libxl: error: libxl_qmp.c:1399:f: Domain 3:error on QMP socket: Connection reset by peer"
CONSOLE = "libxl: error: libxl_create.c:1976:console_xswait_callback: domain 14 console tty: timed out"
NO_LIST = "xc: error: Bad mfn 0 for p2m frame list list: Internal error"
POOL = "libxl: error: libxl_dom.c:1470:f: Failed to set paging mempool size to 16kB: Cannot allocate memory"
CUT = "xc: error: Failed to read 4202504 bytes of data for record (0x00000001, Page data) (0 = Success)"
DAMAGED = "xc: error: pfn 0x878000000010c (index 268) outside domain maximum: Internal error"
NO_QEMU = """\
libxl: error: libxl_dm.c:2909:f: Domain 13:device model /nosuch is not executable: No such file or directory
libxl: error: libxl_dm.c:3161:device_model_spawn_outcome: Domain 13:(null): spawn failed (rc=-3)
libxl: error: libxl_create.c:1896:f: Domain 13:device model did not start: -3"""

NO_READER, KILLED = (
    f"""\
libxl: error: libxl_utils.c:513:f: file/stream truncated reading ipc msg header from domain 5 helper
libxl: error: libxl_exec.c:126:f: domain 5 save/restore helper [99] died due to fatal signal {signal}"""
    for signal in ("Broken pipe", "Killed")
)
QEMU_GONE = "libxl: error: libxl_qmp.c:1581:qmp_ev_fd_callback: Domain 5:Unexpected EOF on QMP socket"
PYGRUB_GONE = "libxl: error: libxl_bootloader.c:711:f: Domain 5:unexpected eof copying bootloader pty"
KERNEL_IN_FIRMWARE = NO_KERNEL.replace("/x", "/boot/firmware/vmlinuz")
NO_HVMLOADER = NO_KERNEL.replace("/x", "/usr/lib/xen-4.17/boot/hvmloader")
NO_STORE = "libxl: error: libxl_xshelp.c:154:f: Domain 6:Failed to get dompath: Bad file descriptor"
NO_BIOS = "libxl: error: libxl_dom.c:845:f: failed to read BIOS file: No such file or directory"
NO_MEMORY = "xc: error: panic: xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain"


@pytest.mark.parametrize(
    ("code", "log", "kind", "reason"),
    [
        (-3, NO_SPACE, HostError, "no room .*No space left on device"),
        (
            -3,
            NO_KERNEL,
            KernelError,
            r"kernel cannot be read.*\(failed to open file '/x': No such",
        ),
        (-3, GARBAGE, KernelError, "no loader found: Invalid kernel"),
        (-3, NO_BRIDGE, LibxlError, r"script failed \(Could not find bridge device nobr\)"),
        (-6, NO_DISK, LibxlError, r"disks cannot be opened \(Disk vdev=xvdc failed to stat: /x"),
        (-6, NAME, InUseError, "another domain has that name"),
        (-21, "", NotFoundError, "there is no such domain$"),
        (-3, CONSOLE, TimedOutError, "xenconsoled opened no terminal"),
        (-8, NO_LIST, LibxlError, "cannot be saved"),
        (-8, "", TimedOutError, "the guest did not answer$"),
        (-3, POOL, LibxlError, "page the guest's memory"),
        (-3, CUT, ConfigError, "the save file ends before the guest does"),
        (-3, DAMAGED, ConfigError, "damaged"),
        (-3, NO_QEMU, HostError, r"\(QEMU\) .* not on this host \(device model /nosuch"),
        (-3, NO_READER, HostError, "nobody reads"),
        (-3, KILLED, LibxlError, r"helper.* was killed .*fatal signal Killed"),
        (-3, QEMU_GONE, LibxlError, "libxl says: Unexpected EOF on QMP"),
        (-3, PYGRUB_GONE, LibxlError, "its bootloader"),
        (-3, KERNEL_IN_FIRMWARE, KernelError, "kernel cannot be read"),
        (-3, NO_HVMLOADER, HostError, "firmware that an HVM guest"),
        (-3, NO_BIOS, HostError, "firmware that an HVM guest"),
        (-5, NO_MEMORY, NoMemoryError, "not enough free memory"),
        (-26, QMP, LibxlError, r"\(QEMU\) has ended, or does not answer \(error on QMP socket: Connection"),
        (-3, NO_STORE, HostError, "XenStore's daemon cannot be reached"),
        (-9, "", TimedOutError, "did not answer in time$"),
        (-5, "", NoMemoryError, "not enough memory$"),
        (-3, "", LibxlError, "ERROR_FAIL, and no more"),
        (
            -3,
            "libxl: error: libxl_a.c:1:f: Domain 3:strange things",
            LibxlError,
            "libxl says: strange things",
        ),
        (-99, "", LibxlError, "ERROR_-99"),
        (-25, "", ConfigError, "any more"),
    ],
)
def test_what_libxl_says(code: int, log: str, kind: type[XentoolError], reason: str) -> None:
    lines = [parse_line(raw) for raw in log.splitlines()]
    error = failure("create domain", "web", code, lines)
    assert type(error) is kind
    assert re.search(reason, error.reason), error.reason
    assert error.hint
    assert f"({code})" in error.detail
    assert all(line.text in error.detail for line in lines)
    if isinstance(error, LibxlError):
        assert error.code == code


def test_a_warning_is_quoted_where_nothing_worse_was_said() -> None:
    error = failure("do", "it", -3, [parse_line("libxl: warning: libxl_a.c:1:f: odd")])
    assert error.reason == "libxl says: odd"


def test_a_hint_of_the_callers_own_gives_way_to_a_better_one() -> None:
    assert failure("do", "it", -3, [], hint="look").hint == "look"
    assert failure("do", "it", -3, [parse_line(NO_SPACE)], hint="look").hint != "look"


def test_codes_have_the_names_of_libxl() -> None:
    assert [name_of(code) for code in (-3, -9, -22, -32)] == ["FAIL", "TIMEDOUT", "ABORTED", "QEMU_API"]
    assert all(0 < -code < len(NAMES) for code in OF_CODES)


SAID = {
    "no room": ("write failed: Disk quota exceeded", "write failed: File too large"),
    "did not start": ("device model required but not running", "domain 3 device model: startup timed out"),
    "has ended, or does not answer": ("Failed to connect to QMP socket /x",),
    "firmware": (
        "failed to read ACPI firmware file /x",
        "failed to read SMBIOS firmware file /x",
        "initializing domain firmware failed",
    ),
    "XenStore's daemon": ("Unable to open xenstore connection", "cannot connect to xenstore"),
    "is there already": (
        "device already exists in xenstore",
        "USB device already attached to a domain",
        "PCI device already assigned to a different guest",
    ),
    "does not suspend": (
        "guest didn't acknowledge suspend, cancelling request",
        "guest did not suspend, timed out",
    ),
    "ends before the guest": ("PAGE_DATA record truncated: length 4, min 8",),
    "no saved guest, damaged": (
        "Invalid marker: Got 0x0",
        "Unexpected CHECKPOINT_END record in stream",
        "Mandatory record 0x77 (Unknown) not handled",
        "Unrecognised record 0x77",
        "Record (0x77, Unknown) length 0x9 exceeds max (0x8)",
        "HVM_CONTEXT record wrong size: length 4, expected 8",
        "Unknown type 0x3 for pfn 0x9",
    ),
    "not enough free memory": ("Failed to allocate memory for batch", "Failed to populate physmap"),
    "hotplug script failed": ("unable to open /dev/null for hotplug script",),
    "cannot be opened": ("no suitable backend for disk xvda", "unable to add disk devices"),
    "cannot be read, or Xen": ("type is not supported by the hypervisor",),
    "no such cpupool": ("Illegal pool specified: x",),
}
"""What is said, by the reason that it gives; with the lines above, something for each pattern."""


def test_every_meaning_can_be_met_and_none_hides_another() -> None:
    lines = [
        line
        for name, text in globals().items()
        if name.isupper() and isinstance(text, str)
        for line in text.splitlines()
    ]
    for reason, said in SAID.items():
        for text in said:
            raw = f"libxl: error: libxl_x.c:1:f: Domain 3:{text}"
            lines.append(raw)
            assert reason in failure("do", "it", -3, [parse_line(raw)]).reason, text
    unmet = [
        pattern
        for patterns, *_ in MEANINGS
        for pattern in patterns
        if not any(re.search(pattern, line) for line in lines)
    ]
    assert unmet == []
    assert all(reason and hint for _, _, reason, hint in MEANINGS)


def test_words_are_without_their_place() -> None:
    assert words_of(parse_line("libxl: error: libxl_a.c:1:f: Domain 12:why: because")) == "why: because"
    assert words_of(parse_line("xc: error: plain")) == "plain"
