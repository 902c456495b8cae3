"""What libxl's words mean: for each pattern the error, its reason and its hint.

The patterns are of what libxl, the domain builder and the save helper log (`log`), in 4.17 and 4.20;
a release that says it otherwise is quoted instead of explained.

Source: tools/libs/light/*.c, tools/libs/guest/*.c (what is logged as an error).
"""

from __future__ import annotations

from xentool.errors import (
    ConfigError,
    HostError,
    InUseError,
    KernelError,
    LibxlError,
    NoMemoryError,
    TimedOutError,
    XentoolError,
)

Meaning = tuple[tuple[str, ...], type[XentoolError], str, str]

MEANINGS: tuple[Meaning, ...] = (
    (
        ("No space left on device", "Disk quota exceeded", "File too large"),
        HostError,
        "there is no room for what is written",
        "make room, or name a file elsewhere",
    ),
    (
        (r"device model \S+ is not executable",),
        HostError,
        "the device model (QEMU) that it needs is not on this host",
        "apt-get install qemu-system-xen; or say where it is by device_model_override",
    ),
    (
        ("device model did not start", "device model required but not running", ": startup timed out"),
        LibxlError,
        "its device model (QEMU) did not start",
        "its own words are in /var/log/xen/qemu-dm-NAME.log",
    ),
    (
        ("error on QMP socket", "connect to QMP socket"),
        LibxlError,
        "its device model (QEMU) has ended, or does not answer",
        "its last words are in /var/log/xen/qemu-dm-NAME.log; `xentool destroy` ends the guest",
    ),
    (
        (
            "failed to read (ACPI|SMBIOS) firmware",
            "initializing domain firmware failed",
            "failed to read BIOS file",
            "failed to open file '[^']*hvmloader[^/']*'",  # a kernel may well lie in /boot/firmware
        ),
        HostError,
        "the firmware that an HVM guest starts with is not on this host",
        'apt-get install seabios (ovmf, for bios = "ovmf") and Xen\'s own hvmloader',
    ),
    (
        ("Unable to open xenstore", "cannot connect to xenstore", "Failed to get dompath: (Bad file|Broken)"),
        HostError,
        "XenStore's daemon cannot be reached",
        "does xenstored run? `systemctl status xenstored`",
    ),
    (
        ("[Dd]omain with name .* already exists",),
        InUseError,
        "another domain has that name",
        "`xentool list` shows who has which name",
    ),
    (
        ("device already exists", "already attached", "already assigned"),
        InUseError,
        "such a device is there already",
        "`xentool block-list` and `network-list` show those there are",
    ),
    (
        ("console tty: timed out",),
        TimedOutError,
        "xenconsoled opened no terminal for it",
        "does xenconsoled run, and is there a /var/log/xen/console?",
    ),
    (
        ("p2m frame list",),
        LibxlError,
        "the guest's kernel keeps no list of its memory, and so cannot be saved",
        "Linux does so; the guest runs on",
    ),
    (
        ("paging mempool",),
        LibxlError,
        "Xen could not set aside what it takes to page the guest's memory",
        "HVM and PVH guests need some MiB: raise memory = …, or shadow_memory = …",
    ),
    (
        ("guest did(n't| not) acknowledge suspend", "guest did not suspend"),
        TimedOutError,
        "the guest does not suspend",
        "its kernel must know how to (Linux: CONFIG_XEN_SAVE_RESTORE); it runs on",
    ),
    (
        ("save/restore helper .*fatal signal Broken pipe",),
        HostError,
        "nobody reads any more what is written",
        "look at what the file is piped to: it has ended; the guest runs on",
    ),
    (
        ("save/restore helper .*fatal signal",),
        LibxlError,
        "libxl's helper, which copies the guest's memory, was killed",
        "had Domain-0 no memory left? `dmesg` says whom Linux killed",
    ),
    (
        ("Failed to read .*(stream|record)", "record truncated"),
        ConfigError,
        "the save file ends before the guest does",
        "it was cut short as it was written or copied: take another copy",
    ),
    (
        (
            "Invalid (ident|marker|ID|Version)",
            "Unexpected (ident|Version|[A-Z_]+ record)",
            "[Mm]andatory record .* not handled",
            "Unrecognised record",
            "exceeds max",
            "record wrong size",
            "Unknown type",
            "outside domain maximum",
        ),
        ConfigError,
        "what is in the save file is no saved guest, damaged, or from a later Xen",
        "take another copy of the file, or restore it with the Xen that saved it",
    ),
    (
        ("[Ff]ailed to (allocate|populate)", "can't allocate", "Cannot allocate memory"),
        NoMemoryError,
        "the host has not enough free memory",
        "stop other domains, give Domain-0 less (`xl mem-set 0 …`), or lower memory = …",
    ),
    (
        (": script: ", r"/etc/xen/scripts/\S+ .* exited with error", "hotplug script"),
        LibxlError,
        "a hotplug script failed",
        "the script's own words are in /var/log/xen/xen-hotplug.log",
    ),
    (
        ("Disk vdev=.* failed", "no suitable backend for disk", "unable to add disk devices"),
        LibxlError,
        "one of its disks cannot be opened",
        "look at disk = [ … ]: is the file there, and in that format?",
    ),
    (
        ("[Bb]ootloader",),
        LibxlError,
        "its bootloader (bootloader = …) failed",
        "its own words are in /var/log/xen/bootloader.*.log",
    ),
    (
        ("panic: xg_dom_", "xc_dom_(kernel|parse|find)", "not supported by the hypervisor"),
        KernelError,
        "its kernel cannot be read, or Xen cannot boot it as that type of guest",
        "look at kernel = … and type = …; -v shows what the builder said",
    ),
    (
        ("Illegal pool",),
        ConfigError,
        "there is no such cpupool",
        "`xl cpupool-list` shows those there are; leave pool out for Pool-0",
    ),
)
"""The first pattern that matches any line counts, and of that the first line that it matches."""
