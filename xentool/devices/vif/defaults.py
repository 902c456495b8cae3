"""What a vif is by default on this host: xl's own settings.

Source: xl.conf(5), vif.default.*; tools/xl/xl.c (parse_global_config), xl_nic.c (set_default_nic_values).
"""

from __future__ import annotations

_KEYS = {
    "vif.default.script": "script",
    "vif.default.bridge": "bridge",
    "vif.default.gatewaydev": "gatewaydev",
    "vif.default.backend": "backend",
    # The two that had names of their own first, and are still read.
    "vifscript": "script",
    "defaultbridge": "bridge",
}


def defaults_of(text: str) -> dict[str, str]:
    """What the text of an xl.conf says of vifs, by the keys of a `Vif`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        name = _KEYS.get(key.strip())
        # A later key goes before an earlier one; of the two names, the newer one.
        if not equals or name is None or (name in found and "." not in key):
            continue
        value = _unquoted(value)
        if value:
            found[name] = value
    return found


def _unquoted(value: str) -> str:
    """A string of xl.conf; its grammar is xl.cfg's, of which no more than this is of use here."""
    value = value.strip()
    if value[:1] in ('"', "'"):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else ""
    return ""
