"""QEMU's command line."""

from __future__ import annotations

import itertools

from xentool.lab.cache import Image
from xentool.lab.qemu import DEFAULT_MACHINE, Machine, Share, command_line


def options(arguments: list[str], name: str) -> list[str]:
    """All values of an option."""
    return [value for option, value in itertools.pairwise(arguments) if option == name]


def line(
    shares: list[Share] | None = None, folder: str = "/image", machine: Machine = DEFAULT_MACHINE
) -> list[str]:
    return command_line(Image(folder), machine, shares or [], console_fd=5, port_fd=6, layer_fd=7)


def test_xen_boots_with_dom0s_kernel_as_a_module() -> None:
    arguments = line(machine=Machine(memory_mib=2048, dom0_memory_mib=512, cpus=1))
    assert options(arguments, "-kernel") == ["/image/xen"]
    (modules,) = options(arguments, "-initrd")
    kernel, initrd = modules.split(",")
    assert kernel.startswith("/image/vmlinuz console=hvc0 ")
    assert initrd == "/image/initrd"
    assert "dom0_mem=512M,max:512M" in options(arguments, "-append")[0]
    assert (options(arguments, "-m"), options(arguments, "-smp")) == (["2048"], ["1"])


def test_dom0_is_told_which_store_daemon_to_start() -> None:
    (modules,) = options(line(machine=Machine(xenstored="oxenstored")), "-initrd")
    assert modules.split(",")[0].endswith(" XENSTORED=oxenstored")
    (modules,) = options(line(), "-initrd")
    assert modules.split(",")[0].endswith(" XENSTORED=xenstored")


def test_the_cpu_has_no_feature_that_breaks_xen_under_tcg() -> None:
    (cpu,) = options(line(), "-cpu")
    assert set(cpu.split(",")) >= {"max", "-smap", "-rdtscp", "-xsave"}


def test_code_is_translated_once_but_where_speed_is_measured() -> None:
    (modules,) = options(line(), "-initrd")
    assert "norandmaps" in modules.split(",")[0].split()
    (modules,) = options(line(machine=Machine(random_addresses=True)), "-initrd")
    assert "norandmaps" not in modules


def test_labs_side_by_side_take_a_thread_each() -> None:
    assert options(line(), "-accel") == ["tcg,thread=multi"]
    assert options(line(machine=Machine(one_thread=True)), "-accel") == ["tcg,thread=single"]


def test_the_image_is_not_written_and_a_crash_ends_the_machine() -> None:
    arguments = line()
    root, layer = options(arguments, "-drive")
    assert "snapshot=on" in root
    assert layer == "file=/dev/fd/7,format=raw,if=virtio,readonly=on"
    assert "-no-reboot" in arguments
    assert "panic=-1" in options(arguments, "-initrd")[0]


def test_shares_are_read_only_unless_said() -> None:
    arguments = line([Share("/out", "/lab/out", writable=True), Share("/src,1", "/mnt/src")])
    assert options(arguments, "-fsdev") == [
        "local,id=share0,path=/out,security_model=none",
        "local,id=share1,path=/src,,1,security_model=none,readonly=on",
    ]
    assert "virtio-9p-pci,fsdev=share1,mount_tag=share1" in options(arguments, "-device")


def test_commas_in_the_cache_path_are_no_options() -> None:
    arguments = line(folder="/a,b")
    assert options(arguments, "-drive")[0].startswith("file=/a,,b/root.img,")
    assert options(arguments, "-initrd")[0].startswith("/a,,b/vmlinuz ")
    assert options(arguments, "-kernel") == ["/a,b/xen"]
