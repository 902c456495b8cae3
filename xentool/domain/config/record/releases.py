"""What a config may ask of which libxl: keys that came with a release, and what went with one.

Source: tools/libs/light/libxl_types.idl, tools/xl/xl_parse.c of 4.17 to 4.22.
"""

from __future__ import annotations

from xentool.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from xentool.domain.config.model import DomainConfig

SINCE = {
    "bootloader_restrict": (4, 18),
    "bootloader_user": (4, 18),
    "smbios": (4, 18),
    "hvm_pirq": (4, 19),
    "llc_colors": (4, 20),
    "altp2m_count": (4, 21),
    "xen_platform_pci_bar_uc": (4, 21),
    "xenstore_feature_mask": (4, 21),
    "xenstore_quota": (4, 22),
}
"""The release of libxl that each of these keys came with; 4.17 has all others."""
P9_WORDS = {
    "type": "type", "max_files": "max-files", "max_open_files": "max-open-files", "max_space": "max-space",
    "auto_delete": "auto-delete",
}  # fmt: skip
"""The fields of a shared folder that came with 4.19, and their words."""


def check_release(config: DomainConfig, xen_version: tuple[int, int]) -> None:
    """Refuse what the libxl of a release does not know; an older one would silently skip it.

    Raises:
        ConfigError: names the first such key, and the release that it needs.
    """
    for what, name, since in _came(config):
        if xen_version < since:
            raise _refused(
                config, what, xen_version, f"it came with {since[0]}.{since[1]}", f"leave {name} out"
            )
    if xen_version >= (4, 21) and config.beyond.get("device_model_version") == "qemu-xen-traditional":
        raise _refused(
            config,
            'device_model_version="qemu-xen-traditional"',
            xen_version,
            "it went with 4.21",
            "leave device_model_version out",
        )


def _refused(
    config: DomainConfig, what: str, xen_version: tuple[int, int], why: str, hint: str
) -> ConfigError:
    major, minor = xen_version
    return ConfigError(
        "describe to libxl the domain of",
        config.source.path or config.name,
        f"{what}: libxl {major}.{minor} does not know that ({why})",
        hint=hint,
    )


def _came(config: DomainConfig) -> Iterator[tuple[str, str, tuple[int, int]]]:
    for key, since in SINCE.items():
        if key in config.beyond:
            yield key, key, since
    folders = config.beyond.get("p9")
    for folder in folders if isinstance(folders, tuple) else ():
        for field, word in P9_WORDS.items():
            if field in folder:
                yield f"p9: {word}", word, (4, 19)
    for vif in config.vifs:
        if vif.vlan:
            yield f"vif {vif.devid}: vlan", "vlan", (4, 19)
    for disk in config.disks:
        if disk.grant_usage is not None:
            yield f"disk {disk.vdev}: grant_usage", "grant_usage", (4, 19)
