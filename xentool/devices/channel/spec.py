"""A channel as a config asks for it, and xl's syntax for it.

    channel = [ "connection=socket,path=/run/guests/web.agent,name=org.qemu.guest_agent.0" ]

xl warns of a parameter that it does not know, and goes on without it; here that is an error.

Source: xl.cfg(5), "channel"; tools/xl/xl_parse.c; docs/misc/channel.txt.
"""

from __future__ import annotations

from xentool.errors import ConfigError
from xentool.values import Frozen, set_slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

KEYS = ("connection", "path", "name", "backend")
PTY, SOCKET = "pty", "socket"
CONNECTIONS = (PTY, SOCKET)
MAX_PATH_BYTES = 107
"""Of a Unix socket (sun_path of unix(7), less its NUL)."""
MAX_NAME_BYTES = 256
_EXAMPLE = "for example: connection=pty,name=org.example.agent"


class Channel(Frozen):
    """One entry of ``channel``. `path` is the socket's, "" for a pty; `backend` a domain, "" for Domain-0."""

    __slots__ = KEYS
    connection: str
    path: str
    name: str
    backend: str

    def __init__(self, *, connection: str, name: str, path: str = "", backend: str = "") -> None:
        set_slots(self, locals())

    def __str__(self) -> str:
        """The entry in xl's syntax; what `parse_channel` makes this value of again."""
        return ",".join(f"{key}={getattr(self, key)}" for key in KEYS if getattr(self, key))


def parse_channel(text: str) -> Channel:
    """The channel that `text` asks for: ``key=value`` parts with commas between them.

    Raises:
        ConfigError: an unknown key, or one that is missing or makes no sense.
    """
    pairs = []
    for word in text.split(","):
        key, equals, value = word.partition("=")
        if not equals:
            _fail(text, f'"{_shown(word)}" is not of the form key=value', _EXAMPLE)
        pairs.append((key.strip(), value.strip()))
    return _channel(pairs, text)


def channel_of_mapping(mapping: Mapping[str, object]) -> Channel:
    """The channel that a YAML mapping of the same keys asks for.

    Raises:
        ConfigError: as `parse_channel`.
    """
    text = ",".join(f"{key}={value}" for key, value in mapping.items())
    for key, value in mapping.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            _fail(text, f"{_shown(key)} must be text")
    return _channel([(key, str(value)) for key, value in mapping.items()], text)


def _channel(pairs: Iterable[tuple[str, str]], text: str) -> Channel:
    values: dict[str, str] = {}
    for key, value in pairs:
        if key not in KEYS:
            _fail(text, f'"{_shown(key)}" is no key of a channel', f"known are: {', '.join(KEYS)}")
        if key in values:
            _fail(text, f"{key} is given twice", "keep one of them")
        if not value:
            _fail(text, f"{key} has no value", f"write {key}=…, or leave {key} out")
        if not value.isprintable() or "," in value:
            _fail(text, f"{key} holds a character that it must not")
        values[key] = value
    connection = values.get("connection")
    if connection not in CONNECTIONS:
        what = "connection is missing" if connection is None else f"{_shown(connection)} is no connection"
        _fail(text, what, 'there are "pty" and "socket"')
    if "name" not in values:
        _fail(text, "name is missing: by it the guest knows what the channel is for", _EXAMPLE)
    if len(values["name"].encode()) > MAX_NAME_BYTES:
        _fail(text, f"name is longer than {MAX_NAME_BYTES} bytes")
    _check_path(text, connection, values.get("path"))
    return Channel(**values)


def _check_path(text: str, connection: str, path: str | None) -> None:
    if connection == PTY:
        if path is not None:
            _fail(text, "a pty has no path: Domain-0's kernel chooses it", "`xentool channel-list` shows it")
        return
    if path is None:
        _fail(text, "a socket needs a path", "for example: path=/run/guests/web.agent")
    if not path.startswith("/"):
        _fail(text, f"the path {_shown(path)} does not begin with /")
    if len(path.encode()) > MAX_PATH_BYTES:
        _fail(text, f"the path is longer than {MAX_PATH_BYTES} bytes, the most that a socket's can have")


def _fail(text: str, reason: str, hint: str = "") -> NoReturn:
    raise ConfigError("read channel", f'"{_shown(text)}"', reason, hint=hint)


def _shown(text: object) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in str(text))
    return shown if len(shown) <= 120 else shown[:119] + "…"
