"""The frames between the lab and its dom0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.lab.frames import FrameReader, encode

FRAMES = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=300)), max_size=8)


@given(FRAMES, st.integers(1, 40))
def test_frames_survive_any_cutting(frames: list[tuple[bytes, bytes]], piece: int) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in frames)
    reader = FrameReader()
    found = [
        frame
        for start in range(0, len(stream), piece)
        for frame in reader.feed(stream[start : start + piece])
    ]
    assert found == frames


def test_a_reader_can_be_handed_on_in_the_middle() -> None:
    reader = FrameReader()
    for kind, _ in reader.feed(encode(b"R", b"1") + encode(b"I", b"2") + encode(b"R", b"3")):
        assert kind == b"R"
        assert list(reader.feed(b"")) == [(b"I", b"2"), (b"R", b"3")]


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="4294967295"):
        list(FrameReader().feed(b"o\xff\xff\xff\xff"))
