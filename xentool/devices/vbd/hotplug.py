"""What ties a disk's backend to Domain-0: a block device, a loop device on a file, or a script's own work.

What Xen's block script does is done here without a process, and leaves what the script leaves, so
that xl takes away what we plugged, and we what xl did. Any other script is run.

Source: tools/hotplug/Linux/block, block-common.sh; drivers/block/xen-blkback/xenbus.c of Linux.
"""

from __future__ import annotations

import os

from xentool.devices.paths import script_path
from xentool.devices.vbd.spec import EMPTY, PHY
from xentool.errors import HostError, NotFoundError, XentoolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from xentool.devices.device import Address, DeviceHost
    from xentool.devices.vbd.spec import Disk
    from xentool.dom0.port import BlockTarget, Loop
    from xentool.units import DomId

BLOCK_SCRIPT = script_path("block")
SECTOR_BYTES = 512


class DiskHotplug:
    """Implements `xentool.devices.device.Hotplug` for a disk that Domain-0 serves.

    `backend_type` is "phy" or "qdisk", `target` the path that the backend is given.
    """

    __slots__ = ("_disk", "_held_for", "_loop", "_phy", "_target", "_title")

    def __init__(self, disk: Disk, backend_type: str, target: str) -> None:
        self._disk = disk
        self._phy = backend_type == PHY
        self._target = target
        self._title = f"disk {disk.vdev}"
        self._loop: Loop | None = None
        self._held_for: DomId | None = None

    def check(self, host: DeviceHost) -> None:
        script = self._disk.script
        if script and not host.dom0.programs.exists(script_path(script)):
            raise NotFoundError(
                "attach",
                self._title,
                f"there is no script {script_path(script)}, or it may not be run",
                hint="`ls -l` it; leave script out for a plain file or block device",
            )
        if self._is_looked_at:
            self._look(host)

    def prepare(self, host: DeviceHost, address: Address) -> Mapping[str, str]:
        if self._disk.script:
            return {}
        if self._disk.format == EMPTY:
            return self._empty_drive(host) if self._phy else {}
        if not self._is_looked_at:
            return {}
        from xentool.devices.vbd.sharing import hold_lock, refuse_shared

        hold_lock(host, address.domid)
        self._held_for = address.domid
        # Once more: what was there at the check may be another's file by now.
        found = self._look(host)
        refuse_shared(host, address, self._title, self._target, found.identity, self._disk.access)
        if not self._phy:
            return {}
        if found.kind == "device":
            return _claim(found.identity[1:], os.path.realpath(self._target))
        loop = self._bound(host, read_only=not self._disk.writable)
        if loop.identity != found.identity:
            raise HostError("attach", self._title, f"{self._target} was replaced meanwhile", hint="try again")
        return {"node": loop.path, **_claim(loop.device, loop.path)}

    def placed(self, host: DeviceHost, address: Address) -> None:  # noqa: ARG002
        if self._loop is not None:
            self._loop.keep()
        self.release()

    def connect(self, host: DeviceHost, address: Address) -> Mapping[str, str]:
        if self._disk.script:
            from xentool.devices.script import run_hotplug

            run_hotplug(host, address, self._title, script_path(self._disk.script), ["add"])
        return {}

    def release(self) -> None:
        loop, self._loop = self._loop, None
        domid, self._held_for = self._held_for, None
        try:
            if loop is not None:
                loop.close()
        finally:
            if domid is not None:
                from xentool.devices.vbd.sharing import drop_lock

                drop_lock(domid)

    @property
    def _is_looked_at(self) -> bool:
        """Whether the target is a path of Domain-0, and not a script's or one of QEMU's protocols."""
        return not self._disk.script and self._disk.format != EMPTY and self._target.startswith("/")

    def _look(self, host: DeviceHost) -> BlockTarget:
        """What is there, if it can be this disk.

        Raises:
            NotFoundError, HostError: it cannot; says why.
        """
        path, form = self._target, self._disk.format
        blocks = host.dom0.blocks
        try:
            found = blocks.describe(path)
            if found.size_bytes < SECTOR_BYTES:
                size = f"{found.size_bytes} bytes" if found.size_bytes else "empty"
                raise HostError("look at", path, f"it is {size}: no disk", hint="`truncate -s 10G` makes one")
            if self._disk.writable and found.read_only:
                raise HostError(
                    "look at",
                    path,
                    "it is read-only, and so cannot be written to",
                    hint="give it access=ro, or make it writable (`chmod u+w`, `blockdev --setrw`)",
                )
            from xentool.devices.vbd.formats import mismatch

            other = mismatch(form, found.size_bytes, lambda count, at: blocks.read(path, count, at))
        except XentoolError as error:
            kind = NotFoundError if isinstance(error, NotFoundError) else HostError
            hint = error.hint or "is the path right, and is its file system mounted?"
            if path == f"/dev/{self._disk.target}":
                hint = "what does not begin with / is looked for in /dev: write the whole path"
            raise kind("attach", self._title, f"{path}: {error.reason}", hint=hint) from error
        if other:
            hint = f"write format={other}" if other in ("raw", "qcow", "qcow2", "qed", "vhd") else ""
            if form == "raw":
                hint += "; " if hint else f"`qemu-img convert -O raw {path} NEW` makes it raw; "
                hint += "if it is to be taken as it is, script=block does so"
            raise HostError("attach", self._title, f"{path} is said to be {form}, but is {other}", hint=hint)
        return found

    def _bound(self, host: DeviceHost, *, read_only: bool) -> Loop:
        """A loop device on the target; kept in mind, so that `release` lets it go."""
        try:
            self._loop = host.dom0.blocks.attach_loop(self._target, read_only=read_only, direct_io=True)
        except XentoolError as error:
            raise HostError(
                "attach", self._title, f"{self._target}: {error.reason}", hint=error.hint
            ) from error
        return self._loop

    def _empty_drive(self, host: DeviceHost) -> Mapping[str, str]:
        try:
            os.makedirs(os.path.dirname(self._target), mode=0o700, exist_ok=True)
            os.close(os.open(self._target, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o400))
        except OSError as exc:
            raise HostError("attach", self._title, f"{self._target}: {exc.strerror}") from exc
        loop = self._bound(host, read_only=True)
        return {"node": loop.path, **_claim(loop.device, loop.path)}


def disconnect(host: DeviceHost, address: Address, nodes: Mapping[str, str]) -> None:
    """Undo what tied the disk to Domain-0, whoever did it; `nodes` are its record's and its backend's.

    Raises:
        XentoolError: a loop device could not be freed, a script failed.
    """
    script = nodes.get("script", BLOCK_SCRIPT)
    if address.backend_kind != "vbd":
        return
    if script != BLOCK_SCRIPT:
        from xentool.devices.script import run_hotplug

        title = f"disk {nodes.get('dev', address.devid)}"
        run_hotplug(host, address, title, script, ["remove"])
        return
    loop = nodes.get("node", "")
    if not loop:
        return
    from xentool.devices.vbd.sharing import drop_lock, hold_lock, uses

    # If this was begun before, the number may be another disk's by now, even one that reads the same image.
    hold_lock(host, address.domid)
    try:
        others = [use for use in uses(host) if use.node == loop]
        if all((use.domid, use.devid) == (address.domid, address.devid) for use in others):
            host.dom0.blocks.detach_loop(loop, nodes.get("params", ""))
    finally:
        drop_lock(address.domid)


def _claim(device: tuple[int, int], path: str) -> dict[str, str]:
    """The nodes by which blkback knows the device, and everybody that it is taken."""
    return {
        "physical-device": f"{device[0]:x}:{device[1]:x}",
        "physical-device-path": path,
        "hotplug-status": "connected",
    }
