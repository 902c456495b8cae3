"""The plan of a create: everything that is known before a hypervisor is asked.

A plan is arithmetic on the config, the kernel and the ramdisk. It can be
printed (``create --dry-run``), tested, and compared with what xl logs.
"""

from __future__ import annotations

from xentool.domain.layout import plan_layout
from xentool.errors import ConfigError
from xentool.units import PAGE_SHIFT, PAGE_SIZE, DomId, Mfn, Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.devices.device import Device
    from xentool.domain.config.model import DomainConfig
    from xentool.domain.kernel.image import KernelImage
    from xentool.domain.layout import Layout
    from xentool.store.nodes import Node


class Plan:
    """`config` as it will be built: with `kernel` (the image's facts), `layout`, `uuid` and `devices`."""

    __slots__ = ("config", "devices", "kernel", "layout", "uuid")

    def __init__(
        self,
        config: DomainConfig,
        kernel: KernelImage,
        layout: Layout,
        uuid: str,
        devices: Sequence[Device] = (),
    ) -> None:
        self.config = config
        self.devices = devices
        self.kernel = kernel
        self.layout = layout
        self.uuid = uuid

    @property
    def start_info_vaddr(self) -> int:
        return self.layout.vaddr(self.layout.start_info)

    @property
    def stack_top(self) -> int:
        return self.layout.vaddr(self.layout.boot_stack) + PAGE_SIZE

    def nodes(self, domid: DomId | None = None) -> list[Node]:
        """All store nodes of the create; `domid` and ids that only the hypervisor knows stand as 0."""
        from xentool.devices.nodes import device_nodes
        from xentool.domain import nodes

        console_domid = DomId(0)
        domid = console_domid if domid is None else domid
        unknown_port, unknown_mfn = Port(0), Mfn(0)
        return [
            *nodes.identity_nodes(domid, self.config, self.uuid),
            *nodes.image_nodes(domid, self.config, self.uuid, unknown_port, unknown_mfn, "0"),
            *nodes.console_nodes(domid, console_domid, unknown_port, unknown_mfn),
            *(node for device in self.devices for node in device_nodes(device, device.address(domid))),
        ]


def make_plan(
    config: DomainConfig,
    kernel: KernelImage,
    ramdisk_size: int | None,
    uuid: str,
    devices: Sequence[Device] = (),
) -> Plan:
    """Lay out `config`'s domain.

    Raises:
        KernelError: kernel and ramdisk do not fit the memory that the config gives.
        ConfigError: the config asks for what a PV guest cannot have.
    """
    nr_pages = config.memory_kib >> (PAGE_SHIFT - 10)
    if nr_pages <= 0:
        raise ConfigError("plan domain", config.name, "it has no memory", hint="set memory = … (in MiB)")
    layout = plan_layout(
        virt_base=kernel.virt_base,
        kernel_start=kernel.vstart,
        kernel_end=kernel.vend,
        nr_pages=nr_pages,
        ramdisk_size=ramdisk_size,
        init_p2m=kernel.init_p2m,
        mod_start_pfn=kernel.mod_start_pfn,
    )
    return Plan(config, kernel, layout, uuid, devices)
