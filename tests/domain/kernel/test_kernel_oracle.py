"""Our reading of kernels against Xen's own: libxenguest parses the same files, offline.

Whatever we take, Xen's loader takes too, and at the same addresses. (What we refuse and Xen takes is
in test_kernel_image.py, each with its reason.) Needs libxenguest, of libxen-dev or of a Xen host.
"""

from __future__ import annotations

import ctypes.util
import random
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.domain.kernel import test_kernel_fuzz as fuzz
from tests.support import elfwriter as ew
from tests.support.elfwriter import VIRT_BASE, ElfFile, Load, Section, bzimage, notes_of, pv_kernel, pv_notes
from xentool.domain.kernel import load_kernel
from xentool.errors import KernelError

if TYPE_CHECKING:
    from pathlib import Path

UNSET = (1 << 64) - 1

ORACLE = """
import ctypes, ctypes.util, sys
guest = ctypes.CDLL(sys.argv[1])
tools = ctypes.CDLL("libxentoollog.so.1")
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
tools.xtl_createlogger_stdiostream.restype = ctypes.c_void_p
tools.xtl_createlogger_stdiostream.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
guest.xc_interface_open.restype = ctypes.c_void_p
guest.xc_interface_open.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
guest.xc_dom_allocate.restype = ctypes.c_void_p
guest.xc_dom_allocate.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
guest.xc_dom_kernel_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
guest.xc_dom_parse_image.argtypes = [ctypes.c_void_p]
guest.xc_dom_release.argtypes = [ctypes.c_void_p]
stream = libc.fdopen(1, b"w")
logger = tools.xtl_createlogger_stdiostream(stream, 1, 0)
xch = guest.xc_interface_open(logger, logger, 1)  # XC_OPENFLAG_DUMMY: no hypervisor needed
for path in sys.argv[2:]:
    libc.fflush(None)
    print("FILE", path, flush=True)
    dom = guest.xc_dom_allocate(xch, b"", None)
    if guest.xc_dom_kernel_file(dom, path.encode()) == 0:
        guest.xc_dom_parse_image(dom)
    libc.fflush(None)
    print("\\nEND", flush=True)
    guest.xc_dom_release(dom)
"""


def library() -> str | None:
    """libxenguest's file name; its version is the Xen release's."""
    return ctypes.util.find_library("xenguest")


pytestmark = pytest.mark.skipif(
    library() is None, reason="libxenguest is not installed (apt install libxen-dev)"
)

Answer = dict[str, int] | None


def ask_xen(paths: list[Path]) -> list[Answer]:
    """For each file what libxenguest says of it: addresses, or None if it is refused."""
    name = library()
    assert name
    done = subprocess.run(
        [sys.executable, "-c", ORACLE, name, *map(str, paths)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    answers: list[Answer] = []
    for text in done.stdout.decode(errors="replace").split("FILE ")[1:]:
        # The parser's last word; what comes behind it is about a hypervisor that is not there.
        taken = re.search(r"elf_kernel: xen-3\.0-x86_64: (0x[0-9a-f]+) -> (0x[0-9a-f]+)", text)
        fields = dict(re.findall(r"    (\w+) += (0x[0-9a-f]+)", text))
        answers.append({key: int(value, 16) for key, value in fields.items()} if taken else None)
    assert len(answers) == len(paths)
    return answers


def ours(path: Path) -> Answer:
    try:
        image = load_kernel(str(path), cache_dir="")
    except KernelError:
        return None
    with image:
        return {
            "virt_base": image.virt_base,
            "elf_paddr_offset": image.paddr_offset,
            "virt_offset": (image.virt_base - image.paddr_offset) % (1 << 64),
            "virt_kstart": image.vstart,
            "virt_kend": image.vend,
            "virt_entry": image.entry,
            "p2m_base": UNSET if image.init_p2m is None else image.init_p2m,
        }


def legacy(text: bytes, paddr: int) -> bytes:
    return ElfFile(loads=[Load(paddr, bytes(0x3000))], sections=[Section("__xen_guest", 1, text)]).build()


BASE2 = 0xFFFF_FFFF_C000_0000
KERNELS = {
    "linux": pv_kernel(INIT_P2M=0x80_0000_0000, MOD_START_PFN=b"\1\0\0\0", PAE_MODE="yes"),
    "no base": ElfFile(
        loads=[Load(0, bytes(0x3000), memsz=0x4321)],
        notes=notes_of({ew.GUEST_OS: "GRUB", ew.LOADER: "generic", ew.XEN_VERSION: "xen-3.0"}),
        entry=16,
    ).build(),
    "paddr offset": ElfFile(
        loads=[Load(BASE2 + 0x10_0000, bytes(0x3000))],
        notes=notes_of(pv_notes(BASE=BASE2, PADDR_OFFSET=BASE2, ENTRY=BASE2 + 0x10_0000)),
    ).build(),
    "short numbers": pv_kernel(BASE=0, PADDR_OFFSET=b"\0\0", ENTRY=(0x10_0000).to_bytes(4, "little")),
    "symbols": ElfFile(
        loads=[Load(0x10_0000, bytes(0x1001))],
        notes=notes_of(pv_notes(BSD_SYMTAB="yes")),
        sections=[Section("s", ew.SHT_SYMTAB, b"S" * 50, link=2), Section("t", ew.SHT_STRTAB, b"\0main\0")],
    ).build(),
    "note section": ElfFile(
        loads=[Load(0x10_0000, bytes(0x3000))],
        sections=[Section(".note.Xen", ew.SHT_NOTE, notes_of(pv_notes()))],
    ).build(),
    "legacy": legacy(
        b"GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,PAE=yes,LOADER=generic,"
        b"VIRT_ENTRY=0xffffffff80100040,HYPERCALL_PAGE=0x101,FEATURES=!writable_page_tables\0",
        VIRT_BASE + 0x10_0000,
    ),
    "legacy with offset": legacy(
        b"XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0,"
        b"VIRT_ENTRY=0xffffffff80100040\0",
        0x10_0000,
    ),
    "legacy octal": legacy(b"XEN_VER=xen-3.0,LOADER=generic,VIRT_BASE=010000,VIRT_ENTRY=8192\0", 4096),
    "bzImage": bzimage(fuzz.packed("gzip"), appended=False),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_same_addresses(tmp_path: Path, name: str) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(KERNELS[name])
    (answer,) = ask_xen([path])
    assert answer is not None
    assert ours(path) == answer


def test_what_we_take_of_mutated_kernels_xen_takes_too(tmp_path: Path) -> None:
    """Same addresses, too. (Xen takes more: it lets segments overlap, and checks no hypercall page.)"""
    chance = random.Random(20)
    paths: list[Path] = []
    kernels = [data for name, data in KERNELS.items() if name != "bzImage"] + [fuzz.bsd_like().build()]
    for number in range(400):
        data = bytearray(chance.choice(kernels))
        for _ in range(chance.randint(1, 2)):
            at = chance.choice(
                [chance.randrange(0, 300) & ~3, len(data) - 4 - (chance.randrange(0, 400) & ~3)]
            )
            value = chance.choice([*fuzz.NUMBERS, chance.randrange(1 << 64)])
            width = chance.choice([1, 2, 4, 8])
            data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        path = tmp_path / f"kernel{number}"
        path.write_bytes(data)
        paths.append(path)
    taken = [(path, image) for path in paths if (image := ours(path)) is not None]
    assert 50 < len(taken) < 400, "the mutations no longer probe both sides"
    for (path, image), answer in zip(taken, ask_xen([path for path, _ in taken]), strict=True):
        assert answer == image, path.read_bytes()[:300].hex()
