"""What a vif is by default on this host: xl's own settings.

Source: xl.conf(5), vif.default.*; tools/xl/xl.c (parse_global_config), xl_nic.c (set_default_nic_values).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.devices.vif.spec import Vif

_KEYS = {
    "vif.default.script": "script",
    "vif.default.bridge": "bridge",
    "vif.default.gatewaydev": "gatewaydev",
    "vif.default.backend": "backend",
    # The two that had names of their own first, and are still read.
    "vifscript": "script",
    "defaultbridge": "bridge",
}


def with_defaults(vif: Vif, xl_conf: str) -> Vif:
    """The vif, with what it leaves open as the file `xl_conf` says, if there is one.

    xl does so before it looks at the config: what the file says stands in libxl's record too.
    """
    try:
        with open(xl_conf, "rb") as file:
            raw = file.read(1 << 16)
    except OSError:
        return vif
    if b"vif" not in raw and b"defaultbridge" not in raw:
        return vif
    changes: dict[str, object] = {}
    for line in raw.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        name = _KEYS.get(key.strip())
        if not equals or name is None or getattr(vif, name) is not None:
            continue
        # A later key goes before an earlier one; of the two names, the newer one.
        if name in changes and "." not in key:
            continue
        value = _unquoted(value)
        if value:
            changes[name] = value
    return vif.replace(**changes) if changes else vif


def _unquoted(value: str) -> str:
    """A string of xl.conf; its grammar is xl.cfg's, of which no more than this is of use here."""
    value = value.strip()
    if value[:1] in ('"', "'"):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else ""
    return ""
