"""Every key of xl.cfg, in one table: what it holds, whom it concerns, and what xentool does with it.

The reader, the man page and the YAML schema are made from this table, so a key is added here.

Each row: name, kind, guest types, status, default, what it is for, and (where there is one) its successor.

* kind: what a value looks like. ``string``, ``integer``, ``mebibytes`` (a number of MiB), ``boolean`` (0 or
  1), ``list`` (of strings), ``cpus`` (a CPU list, or one per vcpu), ``action`` (`model.Action`), or two of
  these.
* guest types: which types of guest it concerns; "" is all, "arm" none that x86 has.
* status: ``supported``; ``known`` to xl, but xentool does not build it yet: an error if it asks for more than
  its default; ``deprecated``, with a successor; ``ignored``: has no effect here, nor in xl (or none without
  the display that it is about, which is an error by itself).
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

    def concerns(self, guest_type: str) -> bool:
        """Whether the key means anything to a guest of that type."""
        return not self.types or guest_type in self.types


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
        ("period", "integer", "", "known", "", "RTDS scheduler: the period in microseconds."),
        ("extratime", "integer", "", "known", "", "RTDS scheduler: whether spare time may be used."),
        ("slice", "integer", "", "ignored", "",
         "A parameter of the SEDF scheduler, which Xen no longer has."),
        ("latency", "integer", "", "ignored", "",
         "A parameter of the SEDF scheduler, which Xen no longer has."),
        ("vnuma", "list", "pvh hvm", "known", "[]", "Virtual NUMA nodes."),
        ("llc_colors", "list", "", "known", "[]",
         "Colours of the last-level cache that the domain may use."),
        ("seclabel", "string", "", "known", "", "XSM security label."),
        ("init_seclabel", "string", "", "known", "", "XSM security label while the domain is built."),
        ("nomigrate", "boolean", "", "supported", "0",
         "The domain is never migrated; lets it see an invariant TSC."),
        ("driver_domain", "boolean", "", "supported", "0", "The domain runs backends for other domains."),
        ("passthrough", "string", "", "known", "disabled",
         'How devices are passed through: "disabled", "enabled", "sync_pt", "share_pt".'),
        ("max_grant_frames", "integer", "", "supported", "", "Most frames of the grant table."),
        ("max_maptrack_frames", "integer", "", "supported", "", "Most frames of the grant maptrack table."),
        ("max_grant_version", "integer", "", "supported", "",
         "Newest grant-table version that the guest may use: 1 or 2."),
        ("max_event_channels", "integer", "", "supported", "1023", "Most event channels."),
        ("vpmu", "boolean", "", "known", "0", "The guest sees a virtual performance monitoring unit."),
        ("vmtrace_buf_kb", "integer", "pvh hvm", "known", "0", "Processor-trace buffer per vcpu, in KiB."),
        ("xenstore_quota", "list", "", "known", "[]", "XenStore quota of the domain."),
        ("xenstore_feature_mask", "integer", "", "known", "", "XenStore features that the domain may see."),
        ("xend_suspend_evtchn_compat", "boolean", "", "known", "0",
         "Leave out the suspend event channel's store node."),
        ("nestedhvm", "boolean", "pvh hvm", "known", "0",
         "The guest may run hardware-virtualised guests itself."),
    )),
    ("boot", (
        ("kernel", "string", "", "supported", "", "Path of the kernel image."),
        ("ramdisk", "string", "", "supported", "", "Path of the ramdisk."),
        ("cmdline", "string", "", "supported", "", "The kernel's command line."),
        ("root", "string", "", "supported", "", 'Puts "root=…" before extra; ignored if cmdline is given.'),
        ("extra", "string", "", "supported", "",
         "Kernel command line after root; ignored if cmdline is given."),
        ("bootloader", "string", "pv pvh", "known", "",
         "Program that takes kernel and ramdisk from the guest's disk (pygrub)."),
        ("bootloader_args", "list or string", "pv pvh", "known", "[]", "Arguments of bootloader."),
        ("bootloader_restrict", "boolean", "pv pvh", "known", "", "Run bootloader without privileges."),
        ("bootloader_user", "string", "pv pvh", "known", "", "User that bootloader runs as."),
        ("firmware", "string", "", "known", "", 'pv, pvh: "pvgrub32" or "pvgrub64"; hvm: "bios", "uefi", …'),
        ("device_tree", "string", "arm", "known", "", "Partial device tree for the guest."),
        ("e820_host", "boolean", "pv", "known", "0",
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
        ("timer_mode", "string or integer", "pvh hvm", "known", "", "How missed timer ticks are delivered."),
    )),
    ("devices", (
        ("disk", "list", "", "supported", "[]", "Disks: see xentool-disk(5)."),
        ("vif", "list", "", "supported", "[]", "Network interfaces: see xentool-network(5)."),
        ("vif2", "list", "", "ignored", "[]", "Never had a meaning."),
        ("vtpm", "list", "", "known", "[]", "Virtual TPMs."),
        ("p9", "list", "", "known", "[]", "Shared folders (9pfs)."),
        ("pvcalls", "list", "", "known", "[]", "PV calls (sockets)."),
        ("vfb", "list", "", "known", "[]", "PV framebuffers."),
        ("channel", "list", "", "supported", "[]", "Named byte channels to the host: see xl.cfg(5)."),
        ("usbctrl", "list", "", "known", "[]", "USB controllers."),
        ("usbdev", "list", "", "known", "[]", "USB devices of the host."),
        ("pci", "list", "", "known", "[]", "PCI devices of the host."),
        ("pci_msitranslate", "integer", "", "known", "0",
         "Default of pci entries: MSI to INTx translation."),
        ("pci_power_mgmt", "integer", "", "known", "0", "Default of pci entries: power management."),
        ("pci_permissive", "integer", "", "known", "0",
         "Default of pci entries: whole config space is writable."),
        ("pci_seize", "integer", "", "known", "0",
         "Default of pci entries: take the device from its driver."),
        ("rdm", "string", "hvm", "known", "", "Reserved device memory policy."),
        ("rdm_mem_boundary", "integer", "hvm", "known", "", "Boundary for reserved device memory, in MiB."),
        ("dtdev", "list", "arm", "known", "[]", "Device-tree nodes of the host."),
        ("ioports", "list", "", "known", "[]", "I/O ports of the host that the guest may use."),
        ("iomem", "list", "", "known", "[]", "I/O memory of the host that the guest may map."),
        ("irqs", "list", "", "known", "[]", "Physical interrupts of the host that the guest may take."),
        ("vdispl", "list", "", "known", "[]", "PV displays."),
        ("vsnd", "list", "", "known", "[]", "PV sound cards."),
        ("vkb", "list", "", "known", "[]", "PV keyboards and pointers."),
        ("virtio", "list", "arm", "known", "[]", "Virtio devices."),
    )),
    ("cpu", (
        ("cpuid", "list or string", "", "known", "[]", "Changes to the CPU features that the guest sees."),
        ("mca_caps", "list", "hvm", "known", "[]", "Machine-check capabilities."),
        ("msr_relaxed", "boolean", "", "known", "0", "Reads of unknown MSRs give zero."),
        ("hap", "boolean", "pvh hvm", "known", "1", "Hardware-assisted paging."),
        ("oos", "boolean", "pvh hvm", "known", "1", "Out-of-sync shadow page tables."),
        ("shadow_memory", "integer", "pvh hvm", "known", "",
         "Memory for shadow or nested page tables, in MiB."),
        ("altp2m", "string or integer", "pvh hvm", "known", "disabled", "Alternate p2m."),
        ("altp2m_count", "integer", "pvh hvm", "known", "", "Number of alternate p2m views."),
        ("altp2mhvm", "boolean", "hvm", "deprecated", "0", "Old spelling of altp2m.", "altp2m"),
        ("apic", "boolean", "hvm", "known", "1", "Emulated local APIC."),
        ("nx", "boolean", "hvm", "known", "1", "The no-execute bit."),
        ("pae", "boolean", "hvm", "known", "1", "Physical address extension."),
    )),
    ("pvh", (
        ("pvshim", "boolean", "pvh", "known", "0", "Run a PV guest inside a PVH one."),
        ("pvshim_path", "string", "pvh", "known", "", "The shim's image."),
        ("pvshim_cmdline", "string", "pvh", "known", "", "The shim's command line."),
        ("pvshim_extra", "string", "pvh", "known", "", "Added to the shim's command line."),
    )),
    ("hvm", (
        ("acpi", "boolean", "pvh hvm", "known", "1", "ACPI tables."),
        ("acpi_s3", "boolean", "hvm", "known", "1", "ACPI suspend to RAM."),
        ("acpi_s4", "boolean", "hvm", "known", "1", "ACPI suspend to disk."),
        ("acpi_laptop_slate", "boolean", "hvm", "known", "0", "ACPI laptop or slate switch."),
        ("acpi_firmware", "string", "hvm", "known", "", "Extra ACPI tables."),
        ("smbios", "list", "hvm", "known", "[]", "SMBIOS strings."),
        ("smbios_firmware", "string", "hvm", "known", "", "Extra SMBIOS structures."),
        ("ms_vm_genid", "string", "hvm", "known", "none", 'VM generation id: "generate" or "none".'),
        ("bios", "string", "hvm", "known", "", 'Guest firmware: "seabios", "ovmf", "rombios".'),
        ("bios_path_override", "string", "hvm", "known", "", "Path of the guest firmware."),
        ("firmware_override", "string", "hvm", "known", "", "Path of hvmloader."),
        ("boot", "string", "hvm", "known", "", "Boot order: c disk, d cdrom, n network."),
        ("hdtype", "string", "hvm", "known", "ide", "Emulated disk controller."),
        ("hpet", "boolean", "hvm", "known", "1", "Emulated HPET."),
        ("hvm_pirq", "boolean", "hvm", "known", "",
         "Emulated devices' interrupts may go over event channels."),
        ("vpt_align", "boolean", "hvm", "known", "1", "Virtual timers expire together."),
        ("mmio_hole", "integer", "hvm", "known", "", "Size of the hole below 4 GiB, in MiB."),
        ("viridian", "list or string", "hvm", "known", "0", "Hyper-V enlightenments."),
        ("xen_platform_pci", "boolean", "hvm", "known", "1", "The Xen platform PCI device."),
        ("xen_platform_pci_bar_uc", "boolean", "hvm", "known", "", "The platform device's BAR is uncached."),
        ("vendor_device", "string", "hvm", "known", "none", "A further PCI id of the platform device."),
        ("gfx_passthru", "string or integer", "hvm", "known", "0",
         "The passed-through GPU is the primary display."),
        ("vga", "string", "hvm", "known", "", "Emulated graphics card."),
        ("stdvga", "boolean", "hvm", "deprecated", "0", 'Old spelling of vga="stdvga".', "vga"),
        ("videoram", "integer", "hvm", "known", "", "Memory of the emulated graphics card, in MiB."),
        ("nographic", "boolean", "hvm", "known", "0", "No display."),
        ("serial", "list or string", "hvm", "known", "", "Emulated serial port."),
        ("soundhw", "string", "hvm", "known", "", "Emulated sound card."),
        ("usb", "boolean", "hvm", "known", "0", "Emulated USB bus."),
        ("usbversion", "integer", "hvm", "known", "", "Emulated USB controller's version."),
        ("usbdevice", "list or string", "hvm", "known", "", "Emulated USB devices."),
        ("vkb_device", "boolean", "hvm", "known", "1", "PV keyboard and pointer."),
        ("spice", "boolean", "hvm", "known", "0", "SPICE display."),
        ("spicehost", "string", "hvm", "known", "", "SPICE: address."),
        ("spiceport", "integer", "hvm", "known", "", "SPICE: port."),
        ("spicetls_port", "integer", "hvm", "known", "", "SPICE: TLS port."),
        ("spicedisable_ticketing", "boolean", "hvm", "known", "", "SPICE: no password."),
        ("spicepasswd", "string", "hvm", "known", "", "SPICE: password."),
        ("spiceagent_mouse", "boolean", "hvm", "known", "", "SPICE: agent mouse."),
        ("spicevdagent", "boolean", "hvm", "known", "", "SPICE: guest agent."),
        ("spice_clipboard_sharing", "boolean", "hvm", "known", "", "SPICE: shared clipboard."),
        ("spiceusbredirection", "integer", "hvm", "known", "", "SPICE: redirected USB devices."),
        ("spice_image_compression", "string", "hvm", "known", "", "SPICE: image compression."),
        ("spice_streaming_video", "string", "hvm", "known", "", "SPICE: streaming video."),
    )),
    ("display", (
        ("vnc", "boolean", "pv hvm", "known", "0", "VNC display (pv: of a PV framebuffer)."),
        ("vnclisten", "string", "pv hvm", "ignored", "", "VNC: address."),
        ("vncdisplay", "integer", "pv hvm", "ignored", "", "VNC: display number."),
        ("vncunused", "boolean", "pv hvm", "ignored", "", "VNC: take a free display number."),
        ("vncpasswd", "string", "pv hvm", "ignored", "", "VNC: password."),
        ("vncviewer", "integer", "", "ignored", "0", "Ignored by xl too: its option -V opens a viewer."),
        ("sdl", "boolean", "pv hvm", "known", "0", "SDL display."),
        ("opengl", "boolean", "pv hvm", "ignored", "", "SDL: OpenGL."),
        ("display", "string", "pv hvm", "ignored", "", "SDL: X display."),
        ("xauthority", "string", "pv hvm", "ignored", "", "SDL: X authority file."),
        ("keymap", "string", "pv hvm", "ignored", "", "Keyboard layout of the display."),
    )),
    ("device model", (
        ("device_model", "string", "", "ignored", "", "Ignored by xl too; see device_model_override."),
        ("device_model_override", "string", "", "known", "", "Path of the device model."),
        ("device_model_version", "string", "", "known", "qemu-xen", "Which device model."),
        ("device_model_stubdomain_override", "boolean", "hvm", "known", "0",
         "The device model runs in a domain of its own."),
        ("device_model_stubdomain_seclabel", "string", "hvm", "known", "",
         "XSM label of the device model's domain."),
        ("device_model_user", "string", "", "known", "", "User that the device model runs as."),
        ("device_model_args", "list", "", "known", "[]", "Further arguments of the device model."),
        ("device_model_args_pv", "list", "pv", "known", "[]", "The same, for pv."),
        ("device_model_args_hvm", "list", "hvm", "known", "[]", "The same, for hvm."),
        ("dm_restrict", "boolean", "", "known", "0", "The device model gives up its privileges."),
        ("stubdomain_kernel", "string", "hvm", "known", "", "Kernel of the device model's domain."),
        ("stubdomain_cmdline", "string", "hvm", "known", "", "Command line of the device model's domain."),
        ("stubdomain_ramdisk", "string", "hvm", "known", "", "Ramdisk of the device model's domain."),
        ("stubdomain_memory", "integer", "hvm", "known", "", "Memory of the device model's domain, in MiB."),
    )),
    ("arm", (
        ("gic_version", "string", "arm", "known", "", "Interrupt controller."),
        ("vuart", "string", "arm", "known", "", "Emulated UART."),
        ("tee", "string", "arm", "known", "", "Trusted execution environment."),
        ("sve", "string", "arm", "known", "", "Scalable vector extension."),
        ("nr_spis", "integer", "arm", "known", "", "Shared peripheral interrupts."),
        ("arm_sci", "string", "arm", "known", "", "System control interface."),
        ("trap_unmapped_accesses", "boolean", "arm", "known", "", "Accesses to unmapped addresses trap."),
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
