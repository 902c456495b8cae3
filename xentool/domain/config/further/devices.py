"""The devices that libxl alone makes: vtpm, p9, pvcalls, vfb, usbctrl, usbdev, vdispl, vkb.

    vtpm = [ "backend=tpm,uuid=5f3a1c9e-7b2d-4e86-9a10-c4d2e8f01b37" ]
    p9 = [ "tag=share,path=/srv/share,security_model=none" ]
    usbdev = [ "hostbus=1,hostaddr=4" ]

xl passes over a part that it cannot read in some of them (vfb, vtpm, pvcalls); here that is an error.

Source: tools/xl/xl_parse.c (parse_config_data, parse_usbctrl_config, parse_usbdev_config,
parse_vdispl_config, parse_vkb_config); libxl_types.idl; public/io/kbdif.h (the words of vkb).
"""

from __future__ import annotations

from xentool.domain.config.further.entries import (
    defbool,
    entry,
    fail,
    flag,
    number,
    one_of,
    pairs_of_mapping,
    pairs_of_text,
    read_fields,
    text,
    uuid,
)
from xentool.domain.config.limits import INT_MAX, MAX_VNC_DISPLAY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.domain.config.further.entries import Fields
    from xentool.domain.config.reader import Reader
    from xentool.values import FrozenMap


_BACKEND = ("backend_domname", text)
_P9_WORDS = {
    "tag": ("tag", text),
    "path": ("path", text),
    "security_model": ("security_model", text),
    "backend": _BACKEND,
    "type": ("type", one_of("qemu", "xen_9pfsd")),
    "max-files": ("max_files", number(0, INT_MAX)),
    "max-open-files": ("max_open_files", number(0, INT_MAX)),
    "max-space": ("max_space", number(0, INT_MAX)),
    "auto-delete": ("auto_delete", flag),
}


def _connectors(value: str) -> tuple[FrozenMap, ...]:
    """``ID:WIDTHxHEIGHT`` parts with semicolons between them."""
    found = []
    for part in filter(None, value.split(";")):
        name, _, resolution = part.partition(":")
        width, _, height = resolution.partition("x")
        if not name or not (width.isdecimal() and height.isdecimal()):
            raise ValueError(f'"{part}" is not ID:WIDTHxHEIGHT, as id0:1920x1080')
        found.append(entry({"unique_id": name, "width": int(width), "height": int(height)}))
    if not found:
        raise ValueError("a display needs a connector at least, as id0:1920x1080")
    return tuple(found)


_FIELDS: dict[str, Fields] = {
    "vtpm": {"backend": _BACKEND, "uuid": ("uuid", uuid)},
    "p9": _P9_WORDS,
    "pvcalls": {"backend": _BACKEND},
    "vfb": {
        "vnc": ("vnc.enable", defbool),
        "vnclisten": ("vnc.listen", text),
        "vncpasswd": ("vnc.passwd", text),
        "vncdisplay": ("vnc.display", number(0, MAX_VNC_DISPLAY)),
        "vncunused": ("vnc.findunused", defbool),
        "sdl": ("sdl.enable", defbool),
        "opengl": ("sdl.opengl", defbool),
        "display": ("sdl.display", text),
        "xauthority": ("sdl.xauthority", text),
        "keymap": ("keymap", text),
    },
    "usbctrl": {
        "type": ("type", one_of("auto", "pv", "devicemodel", "qusb")),
        "version": ("version", number(1, 3)),
        "ports": ("ports", number(1, 31)),
    },
    "usbdev": {
        "type": ("type", one_of("hostdev")),
        "hostbus": ("hostdev.hostbus", number(1, 255)),
        "hostaddr": ("hostdev.hostaddr", number(1, 255)),
        "controller": ("ctrl", number(0, INT_MAX)),
        "port": ("port", number(1, 31)),
    },
    "vdispl": {
        "backend": _BACKEND,
        "be-alloc": ("be_alloc", flag),
        "connectors": ("connectors", _connectors),
    },
    "vkb": {
        "backend": _BACKEND,
        "backend-type": ("backend_type", one_of("qemu", "linux")),
        "unique-id": ("unique_id", text),
        "feature-disable-keyboard": ("feature_disable_keyboard", flag),
        "feature-disable-pointer": ("feature_disable_pointer", flag),
        "feature-abs-pointer": ("feature_abs_pointer", flag),
        "feature-raw-pointer": ("feature_raw_pointer", flag),
        "feature-multi-touch": ("feature_multi_touch", flag),
        "width": ("width", number()),
        "height": ("height", number()),
        "multi-touch-width": ("multi_touch_width", number()),
        "multi-touch-height": ("multi_touch_height", number()),
        "multi-touch-num-contacts": ("multi_touch_num_contacts", number()),
    },
}
"""For each kind, the words of an entry: the field of libxl's structure ("vnc.listen": of a structure in
it), and who reads the value."""

_REQUIRED = {"vtpm": ("backend",), "vkb": ("backend-type",), "vdispl": ("connectors",),
             "usbdev": ("hostbus", "hostaddr")}  # fmt: skip


def read_devices(reader: Reader, kind: str) -> tuple[FrozenMap, ...]:
    """The entries of the list `kind`.

    Raises:
        ConfigError: an entry is none of such a device.
    """
    return tuple(
        reader.entries(
            kind,
            lambda given: _device(kind, pairs_of_text(given), given),
            lambda given: _device(kind, pairs_of_mapping(given), str(given)),
        )
    )


def _device(kind: str, pairs: list[tuple[str, str]], shown: str) -> FrozenMap:
    fields = read_fields(pairs, _FIELDS[kind], shown)
    said = {word for word, _ in pairs}
    required: tuple[str, ...] = _REQUIRED.get(kind, ())
    if kind == "p9" and fields.get("type") != "xen_9pfsd":
        required = ("tag", "path", "security_model")
    for word in required:
        if word not in said:
            fail(shown, f"{word} is missing", f"add {word}=…")
    check = _CHECKS.get(kind)
    if check is not None:
        check(fields, shown)
    return entry(fields)


def _check_vkb(fields: dict[str, object], shown: str) -> None:
    touches = [name for name in fields if name.startswith("multi_touch_")]
    if "feature_multi_touch" in fields and not touches:
        fail(
            shown,
            "a device for several touches needs their size or number",
            "add multi-touch-width, multi-touch-height and multi-touch-num-contacts",
        )
    if touches:
        # xl says so by itself where one of these is given.
        fields["feature_multi_touch"] = True


def _check_usbctrl(fields: dict[str, object], _shown: str) -> None:
    if fields.get("type") == "auto":
        del fields["type"]  # as libxl starts with it


def _check_vfb(fields: dict[str, object], shown: str) -> None:
    check_vnc(fields.get("vnc.listen"), fields.get("vnc.display"), shown)


def check_vnc(listen: object, display: object, shown: str) -> None:
    """Refuse a display that is said twice.

    Raises:
        ConfigError: as ``ADDRESS:DISPLAY`` and as ``vncdisplay``.
    """
    if display and isinstance(listen, str) and ":" in listen:
        fail(
            shown,
            "vnclisten says the display after its colon, vncdisplay says it too",
            "leave vncdisplay out",
        )


_CHECKS: dict[str, Callable[[dict[str, object], str], None]] = {
    "vkb": _check_vkb,
    "vfb": _check_vfb,
    "usbctrl": _check_usbctrl,
}
