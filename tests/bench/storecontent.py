"""What a busy host has in its store: about 40 nodes for each domain, as libxl lays them out."""

from __future__ import annotations

FOLDER = "/xentool-bench"
"""Everything is below here, so that no kernel's watch on its backends hears of it."""


def domain_nodes(domid: int) -> dict[str, str]:
    """The leaves of a domain with a console, a disk and a vif: ``{path: value}``."""
    uuid = f"5c7b1a70-6d3e-4a2f-9b1d-{domid:012x}"
    home = f"{FOLDER}/local/domain/{domid}"
    front, back = f"{home}/device", f"{FOLDER}/local/domain/0/backend"
    vm = f"{FOLDER}/vm/{uuid}"
    nodes = {
        f"{home}/vm": f"/vm/{uuid}",
        f"{home}/name": f"guest-{domid}",
        f"{home}/domid": str(domid),
        f"{home}/cpu/0/availability": "online",
        f"{home}/memory/static-max": "131072",
        f"{home}/memory/target": "131073",
        f"{home}/memory/videoram": "0",
        f"{home}/control/shutdown": "",
        f"{home}/control/feature-poweroff": "1",
        f"{home}/control/feature-reboot": "1",
        f"{home}/store/port": "1",
        f"{home}/store/ring-ref": "262141",
        f"{home}/console/port": "2",
        f"{home}/console/ring-ref": "262140",
        f"{home}/console/type": "xenconsoled",
        f"{home}/console/output": "pty",
        f"{home}/console/tty": f"/dev/pts/{domid}",
        f"{vm}/name": f"guest-{domid}",
        f"{vm}/uuid": uuid,
        f"{vm}/start_time": "1700000000.00",
        f"{FOLDER}/libxl/{domid}/type": "pv",
        f"{FOLDER}/libxl/{domid}/dm-version": "qemu_xen",
    }
    for kind, device in (("vbd", "51712"), ("vif", "0")):
        one, other = f"{front}/{kind}/{device}", f"{back}/{kind}/{domid}/{device}"
        nodes |= {
            f"{one}/backend": other,
            f"{one}/backend-id": "0",
            f"{one}/state": "4",
            f"{other}/frontend": one,
            f"{other}/frontend-id": str(domid),
            f"{other}/online": "1",
            f"{other}/state": "4",
            f"{FOLDER}/libxl/{domid}/device/{kind}/{device}/frontend": one,
            f"{FOLDER}/libxl/{domid}/device/{kind}/{device}/backend": other,
        }
    return nodes
