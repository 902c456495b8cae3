"""Where a host keeps what toolstacks share, and what is xentool's own.

The shared places are libxl's, so that xl finds what xentool made and the other
way round: userdata, the domid history, xl's lock.
"""

from __future__ import annotations


class Paths:
    """The folders and files of one host; a mock host has its own set under its folder."""

    __slots__ = (
        "console_logs", "domid_history", "kernel_cache", "lock", "run", "userdata", "xen_release", "xl_conf",
    )  # fmt: skip

    def __init__(
        self,
        *,
        run: str,
        userdata: str,
        domid_history: str,
        lock: str,
        kernel_cache: str,
        xl_conf: str,
        console_logs: str,
        xen_release: str,
    ) -> None:
        self.run = run
        """xentool's own run folder: the journal of creates."""
        self.userdata = userdata
        """libxl's folder of per-domain files."""
        self.domid_history = domid_history
        """libxl's list of domids freed lately."""
        self.lock = lock
        """xl's lock around creation."""
        self.kernel_cache = kernel_cache
        """Decompressed kernels."""
        self.xl_conf = xl_conf
        """xl's own settings: what the devices of this host are by default."""
        self.console_logs = console_logs
        """The console daemon's logs, if it keeps them."""
        self.xen_release = xen_release
        """Where Linux says which Xen it runs on: a folder with files ``major`` and ``minor``."""

    @classmethod
    def of_host(cls) -> Paths:
        """The paths of a real Xen host (libxl built with Debian's prefixes)."""
        return cls(
            run="/run/xentool",
            userdata="/var/lib/xen",
            domid_history="/run/xen/domid-history",
            lock="/var/lock/xl",
            kernel_cache="/var/cache/xentool/kernels",
            xl_conf="/etc/xen/xl.conf",
            console_logs="/var/log/xen/console",
            xen_release="/sys/hypervisor/version",
        )

    @classmethod
    def under(cls, directory: str) -> Paths:
        """The same set inside one folder: a mock host's."""
        return cls(
            run=f"{directory}/run",
            userdata=f"{directory}/userdata",
            domid_history=f"{directory}/domid-history",
            lock=f"{directory}/lock",
            kernel_cache=f"{directory}/kernels",
            xl_conf=f"{directory}/xl.conf",
            console_logs=f"{directory}/console",
            xen_release=f"{directory}/version",
        )
