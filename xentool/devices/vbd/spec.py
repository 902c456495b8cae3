"""A disk, as a config asks for it, and xl's syntax for it.

    target,format,vdev,access           positions; any of them may be empty or said by name instead
    format=qcow2, vdev=xvda, access=ro, cdrom, target=/images/a,b.qcow2
    file:/images/web.img,xvda,w         the old way, with a prefix

``target=`` takes all the rest, commas included, so it comes last. Two words that xl's parser
no longer has are added: access ``w!`` (and ``rw!``), which Xen's block script still knows, gives a
disk to several writing guests at once.

Where xl takes the last of two contradicting words, here that is an error.

Source: xl-disk-configuration(5); tools/libs/util/libxlu_disk_l.l, libxlu_disk.c (xlu_disk_parse).
"""

from __future__ import annotations

from xentool.devices.vbd.vdev import device_number
from xentool.errors import ConfigError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

RAW, EMPTY = "raw", "empty"
FORMATS = (RAW, "qcow", "qcow2", "vhd", "qed", EMPTY)
PHY, QDISK = "phy", "qdisk"
BACKEND_TYPES = (PHY, QDISK, "tap", "standalone")
SPECIFICATIONS = ("xen", "virtio")
ACCESS = {"": "w", "r": "r", "ro": "r", "w": "w", "rw": "w", "w!": "w!", "rw!": "w!"}
_WORDS = {
    "format": FORMATS,
    "access": ("ro", "r", "rw", "w", "rw!", "w!"),
    "backendtype": BACKEND_TYPES,
    "specification": SPECIFICATIONS,
    "devtype": ("cdrom", "disk"),
    "grant_usage": ("1", "0"),
}
"""The values of the named parameters that have a closed set of them."""
_TEXTS = ("target", "vdev", "backend", "script")
_FLAGS = {
    "cdrom": ("devtype", "cdrom"),
    "direct-io-safe": ("direct-io-safe", "1"),
    "discard": ("discard", "1"),
    "no-discard": ("discard", "0"),
    "trusted": ("trusted", "1"),
    "untrusted": ("trusted", "0"),
    "no-colo": ("colo", "0"),
    "colo": ("colo", "1"),
}
_COLO = ("colo", "colo-host", "colo-port", "colo-export", "active-disk", "hidden-disk")
_PREFIXES = {
    "raw": ("format", "raw"), "qcow": ("format", "qcow"), "qcow2": ("format", "qcow2"),
    "vhd": ("format", "vhd"), "iscsi": ("script", "block-iscsi"), "nbd": ("script", "block-nbd"),
    "enbd": ("script", "block-enbd"), "drbd": ("script", "block-drbd"),
    "tapdisk": None, "tap": None, "tap2": None, "aio": None, "ioemu": None, "file": None, "phy": None,
}  # fmt: skip
"""Deprecated prefixes, and what they say; most say nothing."""


class Disk(Frozen):
    """One disk. `target` is a path, or what `script` makes of it; "" in an empty drive.

    `access` is ``"r"``, ``"w"`` or ``"w!"`` (several may write). `backend` names the domain that
    serves it ("" is Domain-0), `backendtype` how ("" is for us to choose). None in `discard`,
    `trusted` and `grant_usage` is xl's default: discard if it is writable, trusted. `given` has what was
    said although it changes nothing, and libxl's record keeps: an empty ``target``, ``no-colo``.
    """

    __slots__ = (
        "access", "backend", "backendtype", "cdrom", "direct_io_safe", "discard", "format", "given",
        "grant_usage", "script", "specification", "target", "trusted", "vdev",
    )  # fmt: skip
    target: str
    format: str
    vdev: str
    access: str
    cdrom: bool
    backend: str
    backendtype: str
    script: str
    specification: str
    direct_io_safe: bool
    discard: bool | None
    trusted: bool | None
    grant_usage: bool | None
    given: frozenset[str]

    def __init__(
        self,
        target: str,
        vdev: str,
        *,
        format: str = RAW,  # noqa: A002 - xl's own name for it
        access: str = "w",
        cdrom: bool = False,
        backend: str = "",
        backendtype: str = "",
        script: str = "",
        specification: str = "",
        direct_io_safe: bool = False,
        discard: bool | None = None,
        trusted: bool | None = None,
        grant_usage: bool | None = None,
        given: frozenset[str] = frozenset(),
    ) -> None:
        set_slots(self, locals())

    @property
    def devid(self) -> int:
        """The number of the virtual device; two disks of a domain never have the same."""
        number = device_number(self.vdev)
        assert number is not None, self.vdev
        return number

    @property
    def writable(self) -> bool:
        return self.access != "r"


def parse_disk(text: str, *more: str) -> Disk:
    """The disk that `text` describes; `more` are further parts of it, as `block-attach` takes them.

    Raises:
        ConfigError: it is no disk; says which word is wrong, and what was likely meant.
    """
    parser = _Parser(", ".join((text, *more)))
    for part in (text, *more):
        parser.read(part)
    return parser.finish()


def parse_disk_mapping(mapping: Mapping[str, object]) -> Disk:
    """The disk that a YAML mapping describes: xl's named parameters, and its flags with true or false.

    Raises:
        ConfigError: it is no disk.
    """
    parser = _Parser(", ".join(f"{name}: {value}" for name, value in mapping.items()))
    for name, value in mapping.items():
        if name in ("cdrom", "direct-io-safe", "discard", "trusted", "grant_usage"):
            parser.flag(name, value)
        elif isinstance(value, bool) or not isinstance(value, (str, int)):
            parser.fail(f'"{name}" must be text')
        else:
            parser.named(name, str(value))
    return parser.finish()


class _Parser:
    """What was said so far: parameters by name, each said once."""

    __slots__ = ("_placed_all", "_prefixed", "_said", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._said: dict[str, str] = {}
        self._prefixed = False
        self._placed_all = False

    def fail(self, reason: str, hint: str = "") -> NoReturn:
        raise ConfigError("read disk", f"'{self._text}'", reason, hint=hint)

    def read(self, text: str) -> None:
        if not text.isprintable() and any(char < " " and char not in "\t\n" for char in text):
            self.fail("it holds a control character")
        rest = text.lstrip(" \t\n")
        while rest:
            if rest.startswith("target="):
                self._say("target", rest[7:].removesuffix(","))
                return
            after = self._after_prefix(rest)
            rest = (self._after_parameter(rest) if after is None else after).lstrip(" \t\n")

    def _after_prefix(self, rest: str) -> str | None:
        """What follows a deprecated prefix, or None if there is none."""
        word, colon, after = rest.partition(":")
        if not colon or not word.isascii() or not word.isalnum():
            return None
        if word in _PREFIXES:
            said = _PREFIXES[word]
            self._prefixed = True
            if said is not None:
                self._say(*said)
            return after
        if word[0].islower() and word.islower() and not after[:1].isalnum():
            self.fail(f'there is no prefix "{word}:"', _nearest(word, _PREFIXES, "{}:"))
        return None

    def _after_parameter(self, rest: str) -> str:
        parameter, _, after = rest.partition(",")
        name, equals, value = parameter.partition("=")
        if equals:
            if name == parameter or "/" in name:
                self.fail(
                    f'"{parameter}" holds "=", which only target= may', "write it as target=… at the very end"
                )
            self.named(name, value)
        elif parameter in _FLAGS:
            self._say(*_FLAGS[parameter])
        else:
            self._positional(parameter)
        return after

    def named(self, name: str, value: str) -> None:
        if name in _WORDS:
            self._word(name, value)
        elif name in _TEXTS or name in _COLO:
            self._say(name, value)
        else:
            known = (*_WORDS, *_TEXTS, *_FLAGS)
            self.fail(f'there is no parameter "{name}"', _nearest(name, known, "{}"))

    def flag(self, name: str, value: object) -> None:
        if value not in (0, 1):
            self.fail(f'"{name}" must be true or false')
        if name == "cdrom":
            self._say("devtype", "cdrom" if value else "disk")
        else:
            self._say(name, "1" if value else "0")

    def _positional(self, value: str) -> None:
        said = self._said
        if "target" not in said:
            self._say("target", value)
        elif "format" not in said and not self._prefixed:
            if not said["target"] and ":" in value:
                self._vdev(value)
                said["format"] = EMPTY
            else:
                self._word("format", value)
        elif "vdev" not in said:
            self._vdev(value)
        elif not self._placed_all:
            self._placed_all = True
            self._word("access", value)
        else:
            self.fail(f'"{value}" is one word too many', "the order is: target,format,vdev,access")

    def _vdev(self, value: str) -> None:
        vdev, colon, kind = value.rpartition(":")
        if colon:
            self._say("vdev", vdev)
            self._word("devtype", kind)
        else:
            self._say("vdev", value)

    def _word(self, name: str, value: str) -> None:
        words = _WORDS[name]
        if name == "format":
            value = value or RAW
        if value not in words and value:
            hint = _nearest(value, words, "{}")
            if name == "format" and device_number(value) is not None:
                hint = f"the order is target,format,vdev,access: write …,raw,{value},…"
            self.fail(f'"{value}" is no {name} (there are: {", ".join(words)})', hint)
        self._say(name, ACCESS[value] if name == "access" else value)

    def _say(self, name: str, value: str) -> None:
        before = self._said.get(name)
        if before and (before != value or name in _TEXTS):
            self.fail(f'{name} is given twice, as "{before}" and as "{value}"', "keep one of them")
        self._said[name] = value

    def finish(self) -> Disk:
        said = self._said.get
        if said("colo") == "1" or any(said(name) for name in _COLO[1:]):
            self.fail("COLO (replication) is not supported", "use xl, with an HVM guest")
        vdev, target, form = said("vdev", ""), said("target", ""), said("format", RAW)
        cdrom = said("devtype") == "cdrom"
        if not vdev:
            self.fail("it has no vdev, the name of the disk in the guest", "add, for example: vdev=xvda")
        if device_number(vdev) is None:
            self.fail(
                f'"{vdev}" is no virtual disk',
                "for example: xvda, xvdb1, hda (to hdd), sda (to sdp), d26p0",
            )
        if target:
            if form == EMPTY:
                self.fail(f'its format is empty, but there is a target, "{target}"', "leave one of them out")
        elif cdrom:
            form = EMPTY
        else:
            self.fail(
                "it has no target, and is no CD-ROM drive",
                "add target=PATH at the end, or cdrom for an empty drive",
            )
        return Disk(
            target,
            vdev,
            format=form,
            # xl too gives CD-ROMs read-only, whatever access says.
            access="r" if cdrom else said("access", "w"),
            cdrom=cdrom,
            backend=said("backend", ""),
            backendtype=said("backendtype", ""),
            script=said("script", ""),
            specification=said("specification", ""),
            direct_io_safe=said("direct-io-safe") == "1",
            discard=_optional(said("discard")),
            trusted=_optional(said("trusted")),
            grant_usage=_optional(said("grant_usage")),
            given=frozenset(
                name for name, value in (("target", ""), ("colo", "0")) if self._said.get(name) == value
            ),
        )


def _optional(text: str | None) -> bool | None:
    return text == "1" if text else None


def _nearest(word: str, words: Mapping[str, object] | tuple[str, ...], form: str) -> str:
    import difflib

    near = difflib.get_close_matches(word.strip().lower(), list(words), 1)
    return f'did you mean "{form.format(near[0])}"?' if near else ""
