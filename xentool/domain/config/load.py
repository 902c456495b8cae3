"""A config file, read: `load_config` is what commands call.

The suffix says the syntax: ``.yaml`` and ``.yml`` are YAML, all else is xl.cfg. ``-`` is standard
input (xl.cfg); ``/dev/null`` with overrides makes a config of the command line alone, as in xl.
"""

from __future__ import annotations

import errno
import os

from xentool.domain.config.build import build_config
from xentool.domain.config.lexer import decode
from xentool.domain.config.model import Source
from xentool.domain.config.parser import parse, parse_override
from xentool.domain.config.reader import Reader
from xentool.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.domain.config.model import DomainConfig
    from xentool.domain.config.reader import ConfigWarning

MAX_CONFIG_BYTES = 1 << 20
CONFIG_FOLDER = "/etc/xen"
SUFFIXES = ("", ".cfg", ".yaml", ".yml")


def load_config(path: str, overrides: Sequence[str] = ()) -> tuple[DomainConfig, list[ConfigWarning]]:
    """The domain that the file at `path` and the command line's ``key=value`` `overrides` describe.

    Raises:
        ConfigError: the file cannot be read or understood, or asks for what cannot be.
    """
    return parse_config(read_file(path), path, overrides)


def parse_config(
    raw: bytes, path: str, overrides: Sequence[str] = ()
) -> tuple[DomainConfig, list[ConfigWarning]]:
    """Like `load_config`, of bytes that are at hand; `path` gives the syntax, and the name in messages."""
    name = "standard input" if path == "-" else path
    text = decode(raw, name)
    syntax = "yaml" if path.endswith((".yaml", ".yml")) else "xl"
    if syntax == "yaml":
        from xentool.domain.config.yaml import parse_yaml

        settings = parse_yaml(text, name)
    else:
        settings = parse(text, name)
    for override in overrides:
        parse_override(override, settings)
    if overrides:
        raw = b"\n".join([raw, *(override.encode(errors="surrogateescape") for override in overrides), b""])
    reader = Reader(settings, name, syntax)
    config = build_config(reader, Source(path, raw, syntax))
    return config, reader.warnings


def read_file(path: str) -> bytes:
    """A config file's bytes: at most 1 MiB, from a file, a pipe or standard input ("-").

    Raises:
        ConfigError: there is none, it may not be read, it is a folder, or it is too large.
    """
    name = "standard input" if path == "-" else path
    try:
        descriptor = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, name, exc) from exc
    except ValueError as exc:  # a NUL in the path
        raise ConfigError("read config", repr(path), "that is not a path") from exc
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError("read config", name, "it is larger than 1 MiB", hint="is this the right file?")
    return raw


def _unreadable(path: str, name: str, exc: OSError) -> ConfigError:
    if exc.errno in (errno.ENOENT, errno.ENOTDIR):
        near = _nearby(path)
        hint = f"did you mean {near}?" if near else f"configs usually live in {CONFIG_FOLDER}"
        return ConfigError("read config", name, "there is no such file", hint=hint)
    if exc.errno == errno.EISDIR:
        return ConfigError("read config", name, "it is a folder", hint="name the config file in it")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return ConfigError("read config", name, "permission denied", hint="run xentool as root")
    return ConfigError("read config", name, exc.strerror or str(exc))


def _nearby(path: str) -> str:
    """A config that exists and has nearly that name, beside it or in /etc/xen; or ""."""
    import difflib

    folder, name = os.path.split(path)
    for place in dict.fromkeys((folder or ".", CONFIG_FOLDER)):
        try:
            with os.scandir(place) as entries:
                names = [entry.name for _, entry in zip(range(1000), entries, strict=False)]
        except OSError:
            continue
        exact = [name + suffix for suffix in SUFFIXES if name + suffix in names]
        near = exact or difflib.get_close_matches(
            name, [n for n in names if n.endswith(SUFFIXES[1:])], 1, 0.7
        )
        if near:
            return os.path.join("" if place == "." else place, near[0])
    return ""
