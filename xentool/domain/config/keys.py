"""Every key of xl.cfg, in one table: what it holds, whom it concerns, and who does it.

The reader, the man page and the YAML schema are made from this table, so a key is added here.

Each row: name, kind, guest types, status, default, what it is for, and (where there is one) its successor.

* kind: what a value looks like. ``string``, ``integer``, ``mebibytes`` (a number of MiB), ``boolean`` (0 or
  1), ``list`` (of strings), ``cpus`` (a CPU list, or one per vcpu), ``action`` (`model.Action`), or two of
  these.
* guest types: which types of guest it concerns; "" is all, "arm" none that x86 has.
* status: ``supported`` by every toolstack; ``libxl``: what asks for more than the default is done through
  libxl alone, and the native toolstack refuses it (`beyond`); ``deprecated``, with a successor; ``ignored``:
  has no effect here, nor in xl.
* default: how the value that changes nothing is written; "" where only leaving the key out changes nothing.

Source: xl.cfg(5); tools/xl/xl_parse.c (parse_config_data) of 4.17, 4.20, 4.21 and later.
"""

from __future__ import annotations

from xentool.values import Frozen, set_slots


class Key(Frozen):
    """One row of the table; the module's docstring says what the fields mean."""

    __slots__ = ("default", "doc", "group", "instead", "kind", "name", "status", "types")
    name: str
    kind: str
    types: tuple[str, ...]
    status: str
    default: str
    doc: str
    instead: str
    group: str

    def __init__(
        self,
        name: str,
        kind: str,
        types: tuple[str, ...],
        status: str,
        default: str,
        doc: str,
        instead: str = "",
        group: str = "",
    ) -> None:
        set_slots(self, locals())

    @property
    def about(self) -> str:
        """`doc` as a part of a sentence: "virtual TPMs", "PCI devices of the host"."""
        doc = self.doc.removesuffix(".")
        rest = doc.split(" ", 1)[0][1:]
        return doc if rest != rest.lower() else f"{doc[0].lower()}{doc[1:]}"

    def concerns(self, guest_type: str) -> bool:
        """Whether the key means anything to a guest of that type."""
        return not self.types or guest_type in self.types

    def asks_for_nothing(self, value: object) -> bool:
        """Whether a value changes nothing: it is empty, or what it would be without the key.

        The value is as it is written (`reader.settings`) or as it was read (`DomainConfig.beyond`).
        """
        if not isinstance(value, (str, int)):
            return not value
        if value in ("", ALSO_DEFAULT.get(self.name)):
            return True
        if not self.default:
            return False
        from xentool.domain.config.lexer import parse_number

        default = parse_number(self.default)
        if default is None:
            return str(value) == self.default
        number = parse_number(value) if isinstance(value, str) else value
        if number is None:
            return False
        is_flag = self.kind == "boolean" or isinstance(value, bool)
        return bool(number) == bool(default) if is_flag else number == default


ALSO_DEFAULT = {"passthrough": "default"}
"""Words that ask libxl itself for what is the default."""


# fmt: off
_GROUPS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("core", (
        ("name", "string", "", "supported", "", "The domain's name; unique on the host."),
        ("type", "string", "", "supported", "pv", 'How the guest runs: "pv", "pvh" or "hvm".'),
        ("builder", "string", "", "deprecated", "", 'Old spelling of type: "generic" is "pv".', "type"),
        ("uuid", "string", "", "supported", "", "The domain's UUID; a random one if absent."),
        ("memory", "mebibytes", "", "supported", "32", "Memory at start, in MiB."),
        ("maxmem", "mebibytes", "", "supported", "",
         "Most memory that the guest can be given later, in MiB; memory if absent."),
        ("vcpus", "integer", "", "supported", "1", "Virtual CPUs online at start."),
        ("maxvcpus", "integer", "", "supported", "", "Most virtual CPUs; vcpus if absent."),
        ("cpus", "cpus", "", "supported", "",
         'CPUs that the vcpus may run on: "all", "0-3,^1", "node:0", or a list with one entry per vcpu.'),
        ("cpus_soft", "cpus", "", "supported", "", "CPUs that the vcpus prefer; written as cpus."),
        ("pool", "string", "", "supported", "", "CPU pool, by name or number."),
        ("cpu_weight", "integer", "", "supported", "",
         "Share of CPU time against other domains; 256 is usual."),
        ("cap", "integer", "", "supported", "", "Most CPU time, in percent of one CPU; 0 is no limit."),
        ("period", "integer", "", "libxl", "", "RTDS scheduler: the period in microseconds."),
        ("extratime", "integer", "", "libxl", "", "RTDS scheduler: whether spare time may be used."),
        ("slice", "integer", "", "ignored", "",
         "A parameter of the SEDF scheduler, which Xen no longer has."),
        ("latency", "integer", "", "ignored", "",
         "A parameter of the SEDF scheduler, which Xen no longer has."),
        ("vnuma", "list", "pvh hvm", "libxl", "[]", "Virtual NUMA nodes."),
        ("llc_colors", "list", "", "libxl", "[]",
         "Colours of the last-level cache that the domain may use."),
        ("seclabel", "string", "", "libxl", "", "XSM security label."),
        ("init_seclabel", "string", "", "libxl", "", "XSM security label while the domain is built."),
        ("nomigrate", "boolean", "", "supported", "0",
         "The domain is never migrated; lets it see an invariant TSC."),
        ("driver_domain", "boolean", "", "supported", "0", "The domain runs backends for other domains."),
        ("passthrough", "string", "", "libxl", "disabled",
         'How devices are passed through: "disabled", "enabled", "sync_pt", "share_pt".'),
        ("max_grant_frames", "integer", "", "supported", "", "Most frames of the grant table."),
        ("max_maptrack_frames", "integer", "", "supported", "", "Most frames of the grant maptrack table."),
        ("max_grant_version", "integer", "", "supported", "",
         "Newest grant-table version that the guest may use: 1 or 2."),
        ("max_event_channels", "integer", "", "supported", "1023", "Most event channels."),
        ("vpmu", "boolean", "", "libxl", "0", "The guest sees a virtual performance monitoring unit."),
        ("vmtrace_buf_kb", "integer", "pvh hvm", "libxl", "0", "Processor-trace buffer per vcpu, in KiB."),
        ("xenstore_quota", "list", "", "libxl", "[]", "XenStore quota of the domain."),
        ("xenstore_feature_mask", "integer", "", "libxl", "", "XenStore features that the domain may see."),
        ("xend_suspend_evtchn_compat", "boolean", "", "libxl", "0",
         "Leave out the suspend event channel's store node."),
        ("nestedhvm", "boolean", "pvh hvm", "libxl", "0",
         "The guest may run hardware-virtualised guests itself."),
    )),
    ("boot", (
        ("kernel", "string", "", "supported", "", "Path of the kernel image."),
        ("ramdisk", "string", "", "supported", "", "Path of the ramdisk."),
        ("cmdline", "string", "", "supported", "", "The kernel's command line."),
        ("root", "string", "", "supported", "", 'Puts "root=…" before extra; ignored if cmdline is given.'),
        ("extra", "string", "", "supported", "",
         "Kernel command line after root; ignored if cmdline is given."),
        ("bootloader", "string", "pv pvh", "libxl", "",
         "Program that takes kernel and ramdisk from the guest's disk (pygrub)."),
        ("bootloader_args", "list or string", "pv pvh", "libxl", "[]", "Arguments of bootloader."),
        ("bootloader_restrict", "boolean", "pv pvh", "libxl", "", "Run bootloader without privileges."),
        ("bootloader_user", "string", "pv pvh", "libxl", "", "User that bootloader runs as."),
        ("firmware", "string", "", "libxl", "", 'pv, pvh: "pvgrub32" or "pvgrub64"; hvm: "bios", "uefi", …'),
        ("device_tree", "string", "arm", "libxl", "", "Partial device tree for the guest."),
        ("e820_host", "boolean", "pv", "libxl", "0",
         "The guest sees the host's memory map (for device passthrough)."),
    )),
    ("events", (
        ("on_poweroff", "action", "", "supported", "destroy", "What to do when the guest powers off."),
        ("on_reboot", "action", "", "supported", "restart", "What to do when the guest reboots."),
        ("on_watchdog", "action", "", "supported", "destroy", "What to do when the guest's watchdog fires."),
        ("on_crash", "action", "", "supported", "destroy", "What to do when the guest crashes."),
        ("on_soft_reset", "action", "", "supported", "soft-reset",
         "What to do when the guest asks for a soft reset."),
    )),
    ("time", (
        ("tsc_mode", "string or integer", "", "supported", "default",
         'Time stamp counter: "default", "always_emulate" or "native".'),
        ("localtime", "boolean", "", "supported", "0", "The guest's clock starts at local time, not UTC."),
        ("rtc_timeoffset", "integer", "", "supported", "0", "Seconds added to the guest's clock."),
        ("timer_mode", "string or integer", "pvh hvm", "libxl", "", "How missed timer ticks are delivered."),
    )),
    ("devices", (
        ("disk", "list", "", "supported", "[]", "Disks: see xentool-disk(5)."),
        ("vif", "list", "", "supported", "[]", "Network interfaces: see xentool-network(5)."),
        ("vif2", "list", "", "ignored", "[]", "Never had a meaning."),
        ("vtpm", "list", "", "libxl", "[]", "Virtual TPMs."),
        ("p9", "list", "", "libxl", "[]", "Shared folders (9pfs)."),
        ("pvcalls", "list", "", "libxl", "[]", "PV calls (sockets)."),
        ("vfb", "list", "", "libxl", "[]", "PV framebuffers."),
        ("channel", "list", "", "supported", "[]", "Named byte channels to the host: see xl.cfg(5)."),
        ("usbctrl", "list", "", "libxl", "[]", "USB controllers."),
        ("usbdev", "list", "", "libxl", "[]", "USB devices of the host."),
        ("pci", "list", "", "libxl", "[]", "PCI devices of the host."),
        ("pci_msitranslate", "integer", "", "libxl", "0",
         "Default of pci entries: MSI to INTx translation."),
        ("pci_power_mgmt", "integer", "", "libxl", "0", "Default of pci entries: power management."),
        ("pci_permissive", "integer", "", "libxl", "0",
         "Default of pci entries: whole config space is writable."),
        ("pci_seize", "integer", "", "libxl", "0",
         "Default of pci entries: take the device from its driver."),
        ("rdm", "string", "hvm", "libxl", "", "Reserved device memory policy."),
        ("rdm_mem_boundary", "integer", "hvm", "libxl", "", "Boundary for reserved device memory, in MiB."),
        ("dtdev", "list", "arm", "libxl", "[]", "Device-tree nodes of the host."),
        ("ioports", "list", "", "libxl", "[]", "I/O ports of the host that the guest may use."),
        ("iomem", "list", "", "libxl", "[]", "I/O memory of the host that the guest may map."),
        ("irqs", "list", "", "libxl", "[]", "Physical interrupts of the host that the guest may take."),
        ("vdispl", "list", "", "libxl", "[]", "PV displays."),
        ("vsnd", "list", "", "libxl", "[]", "PV sound cards."),
        ("vkb", "list", "", "libxl", "[]", "PV keyboards and pointers."),
        ("virtio", "list", "arm", "libxl", "[]", "Virtio devices."),
    )),
    ("cpu", (
        ("cpuid", "list or string", "", "libxl", "[]", "Changes to the CPU features that the guest sees."),
        ("mca_caps", "list", "hvm", "libxl", "[]", "Machine-check capabilities."),
        ("msr_relaxed", "boolean", "", "libxl", "0", "Reads of unknown MSRs give zero."),
        ("hap", "boolean", "pvh hvm", "libxl", "1", "Hardware-assisted paging."),
        ("oos", "boolean", "pvh hvm", "libxl", "1", "Out-of-sync shadow page tables."),
        ("shadow_memory", "integer", "pvh hvm", "libxl", "",
         "Memory for shadow or nested page tables, in MiB."),
        ("altp2m", "string or integer", "pvh hvm", "libxl", "disabled", "Alternate p2m."),
        ("altp2m_count", "integer", "pvh hvm", "libxl", "", "Number of alternate p2m views."),
        ("altp2mhvm", "boolean", "hvm", "deprecated", "0", "Old spelling of altp2m.", "altp2m"),
        ("apic", "boolean", "hvm", "libxl", "1", "Emulated local APIC."),
        ("nx", "boolean", "hvm", "libxl", "1", "The no-execute bit."),
        ("pae", "boolean", "hvm", "libxl", "1", "Physical address extension."),
    )),
    ("pvh", (
        ("pvshim", "boolean", "pvh", "libxl", "0", "Run a PV guest inside a PVH one."),
        ("pvshim_path", "string", "pvh", "libxl", "", "The shim's image."),
        ("pvshim_cmdline", "string", "pvh", "libxl", "", "The shim's command line."),
        ("pvshim_extra", "string", "pvh", "libxl", "", "Added to the shim's command line."),
    )),
    ("hvm", (
        ("acpi", "boolean", "pvh hvm", "libxl", "1", "ACPI tables."),
        ("acpi_s3", "boolean", "hvm", "libxl", "1", "ACPI suspend to RAM."),
        ("acpi_s4", "boolean", "hvm", "libxl", "1", "ACPI suspend to disk."),
        ("acpi_laptop_slate", "boolean", "hvm", "libxl", "0", "ACPI laptop or slate switch."),
        ("acpi_firmware", "string", "hvm", "libxl", "", "Extra ACPI tables."),
        ("smbios", "list", "hvm", "libxl", "[]", "SMBIOS strings."),
        ("smbios_firmware", "string", "hvm", "libxl", "", "Extra SMBIOS structures."),
        ("ms_vm_genid", "string", "hvm", "libxl", "none", 'VM generation id: "generate" or "none".'),
        ("bios", "string", "hvm", "libxl", "", 'Guest firmware: "seabios", "ovmf", "rombios".'),
        ("bios_path_override", "string", "hvm", "libxl", "", "Path of the guest firmware."),
        ("firmware_override", "string", "hvm", "libxl", "", "Path of hvmloader."),
        ("boot", "string", "hvm", "libxl", "", "Boot order: c disk, d cdrom, n network."),
        ("hdtype", "string", "hvm", "libxl", "ide", "Emulated disk controller."),
        ("hpet", "boolean", "hvm", "libxl", "1", "Emulated HPET."),
        ("hvm_pirq", "boolean", "hvm", "libxl", "",
         "Emulated devices' interrupts may go over event channels."),
        ("vpt_align", "boolean", "hvm", "libxl", "1", "Virtual timers expire together."),
        ("mmio_hole", "integer", "hvm", "libxl", "", "Size of the hole below 4 GiB, in MiB."),
        ("viridian", "list or string", "hvm", "libxl", "0", "Hyper-V enlightenments."),
        ("xen_platform_pci", "boolean", "hvm", "libxl", "1", "The Xen platform PCI device."),
        ("xen_platform_pci_bar_uc", "boolean", "hvm", "libxl", "", "The platform device's BAR is uncached."),
        ("vendor_device", "string", "hvm", "libxl", "none", "A further PCI id of the platform device."),
        ("gfx_passthru", "string or integer", "hvm", "libxl", "0",
         "The passed-through GPU is the primary display."),
        ("vga", "string", "hvm", "libxl", "", "Emulated graphics card."),
        ("stdvga", "boolean", "hvm", "deprecated", "0", 'Old spelling of vga="stdvga".', "vga"),
        ("videoram", "integer", "hvm", "libxl", "", "Memory of the emulated graphics card, in MiB."),
        ("nographic", "boolean", "hvm", "libxl", "0", "No display."),
        ("serial", "list or string", "hvm", "libxl", "", "Emulated serial port."),
        ("soundhw", "string", "hvm", "libxl", "", "Emulated sound card."),
        ("usb", "boolean", "hvm", "libxl", "0", "Emulated USB bus."),
        ("usbversion", "integer", "hvm", "libxl", "", "Emulated USB controller's version."),
        ("usbdevice", "list or string", "hvm", "libxl", "", "Emulated USB devices."),
        ("vkb_device", "boolean", "hvm", "libxl", "1", "PV keyboard and pointer."),
        ("spice", "boolean", "hvm", "libxl", "0", "SPICE display."),
        ("spicehost", "string", "hvm", "libxl", "", "SPICE: address."),
        ("spiceport", "integer", "hvm", "libxl", "", "SPICE: port."),
        ("spicetls_port", "integer", "hvm", "libxl", "", "SPICE: TLS port."),
        ("spicedisable_ticketing", "boolean", "hvm", "libxl", "", "SPICE: no password."),
        ("spicepasswd", "string", "hvm", "libxl", "", "SPICE: password."),
        ("spiceagent_mouse", "boolean", "hvm", "libxl", "", "SPICE: agent mouse."),
        ("spicevdagent", "boolean", "hvm", "libxl", "", "SPICE: guest agent."),
        ("spice_clipboard_sharing", "boolean", "hvm", "libxl", "", "SPICE: shared clipboard."),
        ("spiceusbredirection", "integer", "hvm", "libxl", "", "SPICE: redirected USB devices."),
        ("spice_image_compression", "string", "hvm", "libxl", "", "SPICE: image compression."),
        ("spice_streaming_video", "string", "hvm", "libxl", "", "SPICE: streaming video."),
    )),
    ("display", (
        ("vnc", "boolean", "pv hvm", "libxl", "0", "VNC display (pv: of a PV framebuffer)."),
        ("vnclisten", "string", "pv hvm", "libxl", "", "VNC: address."),
        ("vncdisplay", "integer", "pv hvm", "libxl", "", "VNC: display number."),
        ("vncunused", "boolean", "pv hvm", "libxl", "", "VNC: take a free display number."),
        ("vncpasswd", "string", "pv hvm", "libxl", "", "VNC: password."),
        ("vncviewer", "integer", "", "ignored", "0", "Ignored by xl too: its option -V opens a viewer."),
        ("sdl", "boolean", "pv hvm", "libxl", "0", "SDL display."),
        ("opengl", "boolean", "pv hvm", "libxl", "", "SDL: OpenGL."),
        ("display", "string", "pv hvm", "libxl", "", "SDL: X display."),
        ("xauthority", "string", "pv hvm", "libxl", "", "SDL: X authority file."),
        ("keymap", "string", "pv hvm", "libxl", "", "Keyboard layout of the display."),
    )),
    ("device model", (
        ("device_model", "string", "", "ignored", "", "Ignored by xl too; see device_model_override."),
        ("device_model_override", "string", "", "libxl", "", "Path of the device model."),
        ("device_model_version", "string", "", "libxl", "qemu-xen", "Which device model."),
        ("device_model_stubdomain_override", "boolean", "hvm", "libxl", "0",
         "The device model runs in a domain of its own."),
        ("device_model_stubdomain_seclabel", "string", "hvm", "libxl", "",
         "XSM label of the device model's domain."),
        ("device_model_user", "string", "", "libxl", "", "User that the device model runs as."),
        ("device_model_args", "list", "", "libxl", "[]", "Further arguments of the device model."),
        ("device_model_args_pv", "list", "pv", "libxl", "[]", "The same, for pv."),
        ("device_model_args_hvm", "list", "hvm", "libxl", "[]", "The same, for hvm."),
        ("dm_restrict", "boolean", "", "libxl", "0", "The device model gives up its privileges."),
        ("stubdomain_kernel", "string", "hvm", "libxl", "", "Kernel of the device model's domain."),
        ("stubdomain_cmdline", "string", "hvm", "libxl", "", "Command line of the device model's domain."),
        ("stubdomain_ramdisk", "string", "hvm", "libxl", "", "Ramdisk of the device model's domain."),
        ("stubdomain_memory", "integer", "hvm", "libxl", "", "Memory of the device model's domain, in MiB."),
    )),
    ("arm", (
        ("gic_version", "string", "arm", "libxl", "", "Interrupt controller."),
        ("vuart", "string", "arm", "libxl", "", "Emulated UART."),
        ("tee", "string", "arm", "libxl", "", "Trusted execution environment."),
        ("sve", "string", "arm", "libxl", "", "Scalable vector extension."),
        ("nr_spis", "integer", "arm", "libxl", "", "Shared peripheral interrupts."),
        ("arm_sci", "string", "arm", "libxl", "", "System control interface."),
        ("trap_unmapped_accesses", "boolean", "arm", "libxl", "", "Accesses to unmapped addresses trap."),
    )),
)
# fmt: on

_ROWS = {row[0]: (group, row) for group, rows in _GROUPS for row in rows}


def find_key(name: str) -> Key | None:
    """The key of that name, or None. Rows become objects only here: a config uses few of them."""
    found = _ROWS.get(name)
    if found is None:
        return None
    group, row = found
    return Key(
        name, row[1], tuple(row[2].split()), row[3], row[4], row[5], row[6] if len(row) > 6 else "", group
    )


def all_keys() -> list[Key]:
    """Every key, in the table's order: group by group."""
    return [key for name in _ROWS if (key := find_key(name))]


def nearest_key(name: str) -> str:
    """The key that `name` was most likely meant to be, or ""."""
    import difflib

    near = difflib.get_close_matches(name.lower(), _ROWS, 1, 0.7)
    return near[0] if near else ""
