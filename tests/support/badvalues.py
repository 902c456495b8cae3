"""Configs that are wrong: refused by us, each of them, and some of them by xl.

What xl takes all the same, libxl or QEMU refuse while the domain is made, or nobody ever does.
"""

from __future__ import annotations

REFUSES, TAKES = "refuses", "takes"
BASE = "name='bad'\nmemory=64\n"
KERNELS = {"hvm": "", "pvh": "kernel='/boot/vmlinuz'\n", "pv": "kernel='/boot/vmlinuz'\n"}

BAD_VALUES = (
    ("hvm", "bios='coreboot'", REFUSES),
    ("hvm", "hdtype='scsi'", REFUSES),
    ("hvm", "vga='matrox'", REFUSES),
    ("hvm", "vendor_device='acme'", REFUSES),
    ("hvm", "ms_vm_genid='random'", REFUSES),
    ("hvm", "gfx_passthru='nvidia'", REFUSES),
    ("hvm", "timer_mode='fast'", REFUSES),
    ("hvm", "timer_mode=4", REFUSES),
    ("hvm", "altp2m='all'", REFUSES),
    ("hvm", "altp2m=4", REFUSES),
    ("hvm", "mmio_hole=255", REFUSES),
    ("hvm", "mmio_hole=3841", REFUSES),
    ("hvm", "viridian=['basic']", REFUSES),
    ("hvm", "mca_caps=['lmc']", REFUSES),
    ("hvm", "vncdisplay=1; vnclisten='::1'", REFUSES),
    ("hvm", "device_model_version='qemu'", REFUSES),
    ("hvm", "device_model_args='-x'", REFUSES),
    ("hvm", "passthrough='yes'", REFUSES),
    ("hvm", "boot='xyz'", TAKES),
    ("hvm", "boot='cc'", TAKES),
    ("hvm", "usbversion=4", TAKES),
    ("hvm", "spiceport=70000", TAKES),
    ("hvm", "spiceusbredirection=5", TAKES),
    ("hvm", "rdm='policy=rigid'", TAKES),
    ("hvm", "rdm='strategy=guest'", TAKES),
    ("hvm", "acpi='yes'", TAKES),
    ("hvm", "hpet=[1]", TAKES),
    ("pvh", "firmware='pvgrub64'", REFUSES),
    ("pv", "firmware='ovmf'; kernel=''", REFUSES),
    ("pv", "pci=['0000:00:20.0']", REFUSES),
    ("pv", "pci=['00:1f.8']", REFUSES),
    ("pv", "pci=['00:1f.0,slot=3']", REFUSES),
    ("pv", "pci=['00:1f.0,name=x']", REFUSES),
    ("pv", "pci=['00:1f.0@20']", REFUSES),
    ("pv", "pci=['00:1f.0,rdm_policy=none']", REFUSES),
    ("pv", "pci=['00:1f.0,seize=2']", TAKES),
    ("pv", "ioports=['xyz']", REFUSES),
    ("pv", "ioports=['3f8-2f8']", TAKES),
    ("pv", "ioports=['3f8,2']", TAKES),
    ("pv", "ioports=['12345']", TAKES),
    ("pv", "iomem=['febf1']", REFUSES),
    ("pv", "iomem=['febf1,1@x']", REFUSES),
    ("pv", "irqs=['x']", REFUSES),
    ("pv", "irqs=['5-6']", REFUSES),
    ("pv", "vtpm=['uuid=1']", REFUSES),
    ("pv", "vtpm=['backend=x,uuid=1']", REFUSES),
    ("pv", "vtpm=['backend=x,tpm=2']", REFUSES),
    ("pv", "vtpm=['backend=x,word']", TAKES),
    ("pv", "p9=['tag=x,path=/,model=none']", REFUSES),
    ("pv", "pvcalls=['front=x']", REFUSES),
    ("pv", "vfb=['vpc=1']", TAKES),
    ("pv", "vkb=['backend=x']", REFUSES),
    ("pv", "vkb=['backend-type=usb']", REFUSES),
    ("pv", "vkb=['backend-type=qemu,feature-multi-touch=1']", REFUSES),
    ("pv", "vdispl=['backend=x']", REFUSES),
    ("pv", "vdispl=['connectors=id0:19201080']", REFUSES),
    ("pv", "vsnd=[['CARD, sample-formats=s17_le']]", REFUSES),
    ("pv", "vsnd=[['DISK, name=x']]", REFUSES),
    ("pv", "usbctrl=['type=usb3']", REFUSES),
    ("pv", "usbctrl=['version=4']", TAKES),
    ("pv", "usbdev=['hostbuss=1']", REFUSES),
    ("pv", "usbdev=['hostbus=1']", TAKES),
    ("pv", "cpuid='avx=0'", TAKES),
    ("pv", "cpuid='host,avx9=0'", TAKES),
    ("pv", "cpuid='host,avx=y'", TAKES),
    ("pv", "cpuid=['1:ecx=x']", TAKES),
    ("pv", "cpuid=['1']", TAKES),
    ("pvh", "vnuma=[['size=64','vcpus=0','vdistances=10']]; maxvcpus=2", REFUSES),
    ("pvh", "vnuma=[['size=32','vcpus=0','vdistances=10']]; maxmem=64", REFUSES),
    ("pvh", "vnuma=[['size','vcpus=0','vdistances=10']]", REFUSES),
    ("pvh", "vnuma=[['size=64','vcpus=0','vdistances=10','cpus=0']]", TAKES),
    ("pvh", "vnuma=[['vcpus=0','vdistances=10']]", TAKES),
    ("pv", "e820_host='on'", TAKES),
    ("pv", "extratime=2", TAKES),
)  # fmt: skip
"""Each row: the guest's type, the text that is wrong, and what xl (4.17 and 4.20) does with it."""


def taken_together() -> list[tuple[str, str]]:
    """(type, text) of configs that have, few as they are, all that xl takes: each takes a second to ask."""
    configs: list[tuple[str, set[str], list[str]]] = []
    for guest_type, text, verdict in BAD_VALUES:
        if verdict == TAKES:
            keys = {statement.partition("=")[0].strip() for statement in text.split("; ")}
            room = next((one for one in configs if one[0] == guest_type and one[1].isdisjoint(keys)), None)
            if room is None:
                room = (guest_type, set(), [])
                configs.append(room)
            room[1].update(keys)
            room[2].append(text)
    return [(guest_type, "; ".join(texts)) for guest_type, _, texts in configs]


def bad_config(guest_type: str, text: str) -> str:
    """A config that is good but for `text`."""
    return f"{BASE}type='{guest_type}'\n{KERNELS[guest_type]}{text}\n"
