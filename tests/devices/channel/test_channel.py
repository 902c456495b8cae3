"""Channels: xl's syntax, nodes, libxl's record, and sockets that may be made."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.devices.channel.device import channel_device, channel_entry
from xentool.devices.channel.spec import Channel, channel_of_mapping, parse_channel
from xentool.errors import ConfigError, HostError, InUseError, NotFoundError, XentoolError
from xentool.units import DomId

if TYPE_CHECKING:
    from xentool.devices.device import DeviceHost

NO_HOST = cast("DeviceHost", None)
words = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="._-/"), min_size=1)
channels = st.one_of(
    st.builds(Channel, connection=st.just("pty"), name=words, backend=st.one_of(st.just(""), words)),
    st.builds(
        Channel,
        connection=st.just("socket"),
        name=words,
        path=words.map(lambda word: f"/{word}"[:107]),
        backend=st.one_of(st.just(""), words),
    ),
)


@given(channels)
def test_a_channel_s_text_says_all(channel: Channel) -> None:
    assert parse_channel(str(channel)) == channel


@pytest.mark.parametrize(
    "text",
    [
        "connection=socket,path=/run/a b,name=org.one",
        " name = org.one , path=/run/a b,connection= socket",
    ],
)
def test_blanks_around_words_mean_nothing(text: str) -> None:
    assert parse_channel(text) == Channel(connection="socket", path="/run/a b", name="org.one")


def test_yaml_says_the_same() -> None:
    assert channel_of_mapping({"connection": "pty", "name": "one"}) == parse_channel(
        "connection=pty,name=one"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not of the form key=value"),
        ("pty", "not of the form key=value"),
        ("connection=pty", "name is missing"),
        ("name=one", "connection is missing"),
        ("name=one,connection=file", "file is no connection"),
        ("name=one,connection=", "connection has no value"),
        ("name=one,name=two,connection=pty", "given twice"),
        ("name=one,connection=pty,colour=red", '"colour" is no key'),
        ("name=one,connection=pty,path=/x", "a pty has no path"),
        ("name=one,connection=socket", "needs a path"),
        ("name=one,connection=socket,path=x", "does not begin with /"),
        (f"name=one,connection=socket,path=/{'x' * 107}", "longer than 107 bytes"),
        (f"name={'x' * 257},connection=pty", "longer than 256 bytes"),
        ("name=one\nother,connection=pty", "character that it must not"),
    ],
)
def test_what_is_no_channel(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_channel(text)


def test_a_mapping_of_other_values_is_no_channel() -> None:
    with pytest.raises(ConfigError, match="name must be text"):
        channel_of_mapping({"connection": "pty", "name": True})
    with pytest.raises(ConfigError, match="character that it must not"):
        channel_of_mapping({"connection": "pty", "name": "a,b"})


def test_the_nodes_of_a_pty() -> None:
    device = channel_device(parse_channel("connection=pty,name=org.one"), 1)
    assert (device.kind, device.backend_kind, device.devid, device.by_qemu) == ("console", "console", 1, True)
    assert device.back == {"protocol": "vt100", "name": "org.one", "connection": "pty"}
    assert device.front == {"protocol": "vt100"}
    assert device.front_readonly == {
        "name": "org.one", "limit": "1048576", "type": "ioemu", "output": "pty", "tty": "",
    }  # fmt: skip


def test_the_nodes_of_a_socket() -> None:
    device = channel_device(parse_channel("connection=socket,name=org.two,path=/run/two"), 2)
    assert device.back["path"] == "/run/two"
    assert device.front_readonly["output"] == "chardev:libxl-channel2"
    assert "path" not in device.front_readonly


def test_another_domain_s_channel_is_its_own_business() -> None:
    device = channel_device(parse_channel("connection=pty,name=one,backend=drv"), 1, DomId(3))
    assert device.hotplug is None
    assert not device.by_qemu


def test_libxl_s_record() -> None:
    assert channel_entry(parse_channel("connection=socket,name=two,path=/run/two,backend=drv")) == {
        "backend_domname": "drv",
        "name": "two",
        "connection.socket": {"path": "/run/two"},
    }


def check(path: Path) -> None:
    hotplug = channel_device(parse_channel(f"connection=socket,name=one,path={path}"), 1).hotplug
    assert hotplug is not None
    hotplug.check(NO_HOST)


def test_a_socket_is_made_where_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    check(path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    check(path)  # nobody listens: QEMU may have it


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_a_file_of_another_kind_is_not_qemu_s_to_remove(tmp_path: Path, make: object) -> None:
    path = tmp_path / "precious"
    assert callable(make)
    make(path)
    with pytest.raises(HostError, match="no socket"):
        check(path)


def test_a_socket_that_somebody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(InUseError, match="somebody listens"):
            check(path)


def test_a_socket_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder"):
        check(tmp_path / "none" / "sock")


def test_a_pty_needs_nothing() -> None:
    hotplug = channel_device(parse_channel("connection=pty,name=one"), 1).hotplug
    assert hotplug is not None
    try:
        hotplug.check(NO_HOST)
    except XentoolError:  # pragma: no cover
        pytest.fail("a pty is always to be had")
