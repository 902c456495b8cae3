"""The file of a saved domain: what is written is read again, and what is no whole one is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.errors import ConfigError, HostError, NotFoundError
from xentool.toolstack.libxl.savefile import (
    HEADER,
    STREAM,
    NewFile,
    SaveFile,
    header_of,
    open_saved,
    read_header,
)

CONFIG = b'{"c_info": {"name": "web"}}'
WHOLE = header_of(CONFIG) + STREAM + b"\0\0\0\2\0\0\0\0"


def read(path: Path) -> tuple[SaveFile, bytes]:
    descriptor = open_saved(str(path))
    try:
        return read_header(descriptor, str(path)), os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saved"


def test_a_header_is_as_xl_writes_it() -> None:
    """By the layout of xl.h, field by field."""
    head = header_of(CONFIG)
    assert head[:32] == b"Xen saved domain, xl format\n \0 \r"
    assert struct.unpack_from("<4I", head, 32) == (0x01020304, 3, 0, 4 + len(CONFIG) + 1)
    assert struct.unpack_from("<I", head, 48) == (len(CONFIG) + 1,)
    assert head[52:] == CONFIG + b"\0"
    assert len(head) == 52 + len(CONFIG) + 1


def test_what_was_written_is_read(path: Path) -> None:
    path.write_bytes(WHOLE)
    saved, rest = read(path)
    assert (saved.config, saved.is_json, saved.stream_version) == (CONFIG, True, 2)
    assert rest.startswith(STREAM)


@given(st.binary().map(lambda text: text.rstrip(b"\0")))
def test_any_config_comes_back(tmp_path_factory: pytest.TempPathFactory, config: bytes) -> None:
    path = tmp_path_factory.mktemp("saved") / "file"
    path.write_bytes(header_of(config) + STREAM)
    assert read(path)[0].config == config


@pytest.mark.parametrize("size", [*range(1, len(header_of(CONFIG)) + len(STREAM))])
def test_a_file_that_ends_too_early_is_told_so(path: Path, size: int) -> None:
    path.write_bytes(WHOLE[:size])
    with pytest.raises(ConfigError, match="ends too early"):
        read(path)


@given(st.binary(max_size=200))
def test_what_is_no_saved_domain_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("foreign") / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        read(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"#!/bin/sh\n" * 20, "no saved domain"),
        (WHOLE[:32] + b"\1\2\3\4" + WHOLE[36:], "another byte order"),
        (WHOLE[:36] + struct.pack("=I", 7) + WHOLE[40:], r"later format \(flags 0x4\)"),
        (WHOLE[:44] + b"\xff\xff\xff\x7f" + WHOLE[48:], "its header is damaged"),
        (WHOLE[:48] + b"\xff\xff\0\0" + WHOLE[52:], "ends too early"),
        (WHOLE[:44] + struct.pack("=I", 2) + b"ab" + STREAM, "ends too early"),
        (header_of(CONFIG) + b"something else", "what follows its header"),
    ],
)
def test_why_a_file_is_refused(path: Path, content: bytes, why: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why) as refused:
        read(path)
    assert refused.value.hint


def test_optional_flags_are_passed_over(path: Path) -> None:
    path.write_bytes(WHOLE[:40] + struct.pack("=I", 0xF0) + WHOLE[44:])
    assert read(path)[0].config == CONFIG


def test_a_config_of_an_old_xl_and_an_old_stream(path: Path) -> None:
    text = b"name='old'\n"
    data = struct.pack("=I", len(text)) + text
    path.write_bytes(HEADER.pack(WHOLE[:32], 0x01020304, 0, 0, len(data)) + data + b"LinuxGuestRecord")
    saved, _ = read(path)
    assert (saved.config, saved.is_json, saved.stream_version) == (text, False, 1)


def test_a_file_without_a_config(path: Path) -> None:
    path.write_bytes(HEADER.pack(WHOLE[:32], 0x01020304, 2, 0, 0) + STREAM)
    assert read(path)[0].config == b""


def test_no_file_at_all(path: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_saved(str(path))
    with pytest.raises(HostError):
        open_saved(f"{tmp_path}/" + "x" * 300)
    with pytest.raises(HostError, match="Is a directory"):
        open_saved(str(tmp_path))


def test_a_disk_that_cannot_be_read_is_no_bug_of_ours() -> None:
    descriptor = open_saved("/proc/self/mem")  # nothing is mapped at 0: EIO
    try:
        with pytest.raises(HostError, match="Input/output error"):
            read_header(descriptor, "/proc/self/mem")
    finally:
        os.close(descriptor)


def test_a_new_file_has_its_name_once_it_is_whole(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"older")
    with NewFile(str(path)) as file:
        file.write(b"ab")
        file.write(b"cd")
        assert path.read_bytes() == b"older"
        file.keep()
    assert path.read_bytes() == b"abcd"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_that_was_given_up_leaves_nothing(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"older")
    with NewFile(str(path)) as file:
        file.write(b"ab")
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_behind_a_link_replaces_what_it_points_to(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with NewFile(str(link)) as file:
        file.write(b"x")
        file.keep()
    assert link.is_symlink()
    assert path.read_bytes() == b"x"


def test_what_cannot_be_written_is_said_before_the_guest_is_touched(tmp_path: Path) -> None:
    for path in (f"{tmp_path}/no/such", ""):
        with pytest.raises(HostError, match="No such file or directory"), NewFile(path):
            pass
    with pytest.raises(HostError, match="Is a directory"), NewFile(str(tmp_path)):
        pass


def test_no_room_is_said_with_the_way_out() -> None:
    with pytest.raises(HostError, match="No space left") as full, NewFile("/dev/full") as file:
        file.write(b"x")
    assert "where there is room" in full.value.hint
    assert Path("/dev/full").exists()
