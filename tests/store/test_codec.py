from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.abi import xs_wire
from xentool.errors import StoreError
from xentool.store import codec
from xentool.store.paths import check_path, check_watch_path, child_of, is_node_name, leaf_of, parent_of
from xentool.store.permissions import Permission
from xentool.store.refusal import leading_number

u32 = st.integers(0, 2**32 - 1)
messages = st.lists(st.tuples(u32, u32, u32, st.binary(max_size=200)), max_size=8)


@given(messages, st.data())
def test_frames_survive_any_tearing(sent: list[codec.Message], data: st.DataObject) -> None:
    stream = b"".join(codec.encode(*message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = codec.Decoder()
    received: list[codec.Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[start:end])
    assert received == sent
    assert decoder.partial_bytes == 0
    assert not decoder.broken


@given(st.binary(max_size=5000))
def test_no_stream_of_bytes_breaks_the_decoder(noise: bytes) -> None:
    decoder = codec.Decoder()
    for message in decoder.feed(noise):
        assert len(message[3]) <= codec.PAYLOAD_MAX


def test_an_oversize_frame_ends_the_stream_after_what_came_before_it() -> None:
    decoder = codec.Decoder()
    good = codec.encode(xs_wire.XS_READ, 1, 0, b"/\0")
    bad = codec.HEADER.pack(xs_wire.XS_READ, 2, 0, codec.PAYLOAD_MAX + 1)
    assert decoder.feed(good + bad + good) == [(xs_wire.XS_READ, 1, 0, b"/\0")]
    assert "4,097 bytes" in decoder.broken
    assert decoder.feed(good) == []


def test_the_largest_payload_is_sent_and_one_byte_more_is_not() -> None:
    frame = codec.encode(xs_wire.XS_WRITE, 1, 0, b"x" * 4096)
    assert len(frame) == 16 + 4096
    with pytest.raises(StoreError, match=r"send WRITE /a: the request has 4,097 bytes") as caught:
        codec.encode(xs_wire.XS_WRITE, 1, 0, b"/a\0" + b"x" * 4094)
    assert caught.value.errno_name == "E2BIG"


def test_operations_have_names() -> None:
    assert codec.operation_name(2) == "READ"
    assert codec.operation_name(22) == "DIRECTORY_PART"
    assert codec.operation_name(20) == "type 20"


def test_errors_are_words() -> None:
    assert codec.error_name(b"ENOENT\0") == "ENOENT"
    assert codec.error_name(b"") == "EIO"
    assert codec.error_name(b"\xff\0") == "\\xff"


@given(st.lists(st.binary(min_size=1).filter(lambda part: b"\0" not in part)))
def test_strings_split_as_they_were_joined(parts: list[bytes]) -> None:
    assert codec.split_strings(codec.strings(*parts) if parts else b"") == parts
    assert codec.split_strings(codec.encode_children(parts)) == parts


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "the path is empty"),
        ("/a//b", "double slash"),
        ("/a/", "ends in a slash"),
        ("//", "double slash"),
        ("/a b", "' ' is not allowed"),
        ("/a\0b", r"'\\x00' is not allowed"),
        ("/ä", "beyond ASCII"),
        ("/" + "x" * 3072, "has 3,073 bytes, an absolute one may have 3,072"),
        ("x" * 2049, "has 2,049 bytes, a relative one may have 2,048"),
    ],
)
def test_a_wrong_path_says_what_is_wrong(path: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as caught:
        check_path("read", path)
    assert caught.value.errno_name == "EINVAL"


@pytest.mark.parametrize(
    "path", ["/", "/a", "a/b", "/local/domain/0/device/vif/0", "/a-b_c@d/0", "/" + "x" * 3071]
)
def test_a_right_path_goes_as_it_is(path: str) -> None:
    assert check_path("read", path) == path.encode()


def test_watches_know_special_paths() -> None:
    assert check_watch_path("watch", "@releaseDomain") == b"@releaseDomain"
    with pytest.raises(StoreError, match="NUL"):
        check_watch_path("watch", "@a\0")
    with pytest.raises(StoreError, match="double slash"):
        check_watch_path("watch", "/a//b")


@pytest.mark.parametrize(
    ("path", "valid"),
    [
        (b"/", True),
        (b"/" + b"x" * 2047, True),
        (b"/" + b"x" * 2048, False),
        (b"/local/domain/12345/" + b"x" * 2048, True),
        (b"/local/domain/12345/" + b"x" * 2049, False),
        (b"/local/domain/123456/" + b"x" * 2048, False),
        (b"/local/domain/x/" + b"x" * 2048, False),
        (b"/local/domain/", False),
        (b"", False),
        (b"a", False),
        (b"@releaseDomain", False),
    ],
)
def test_the_server_counts_a_path_from_below_its_domain(path: bytes, *, valid: bool) -> None:
    assert is_node_name(path) is valid


@given(st.lists(st.sampled_from([b"a", b"bc", b"-_@"]), min_size=1, max_size=5))
def test_paths_come_apart_and_together(parts: list[bytes]) -> None:
    path = b"/" + b"/".join(parts)
    assert child_of(parent_of(path), leaf_of(path)) == path
    assert leaf_of(path) == parts[-1]


@given(st.integers(0, 65535), st.integers(0, 3))
def test_permissions_are_their_text(domid: int, bits: int) -> None:
    permission = Permission(domid, bits)
    assert Permission.parse(str(permission)) == permission
    assert str(permission) == f"{'nrwb'[bits]}{domid}"
    assert (permission.read, permission.write) == (bool(bits & 1), bool(bits & 2))


def test_a_domid_that_a_guest_made_up_is_read_and_written_as_the_daemon_prints_it() -> None:
    assert str(Permission.parse("r-1")) == "r-1"


@pytest.mark.parametrize(
    "text", ["", "n", "x5", "5", "r-", "r--1", "r5 ", "rr5", "r٣", "r" + "1" * 11, "r" + "1" * 5000]
)
def test_what_is_no_permission_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="followed by a domid"):
        Permission.parse(text)


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        (b"12", 10, (12, b"")),
        (b" \t+12x", 10, (12, b"x")),
        (b"-5", 10, (-5, b"")),
        (b"", 10, (0, b"")),
        (b"abc", 10, (0, b"abc")),
        (b"0x1F", 0, (31, b"")),
        (b"0x", 0, (0, b"x")),
        (b"0xg", 0, (0, b"xg")),
        (b"017", 0, (15, b"")),
        (b"09", 0, (0, b"9")),
        (b"0x1f", 10, (0, b"x1f")),
    ],
)
def test_numbers_are_read_as_c_reads_them(text: bytes, base: int, expected: tuple[int, bytes]) -> None:
    assert leading_number(text, base) == expected
