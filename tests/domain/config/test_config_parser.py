"""xl.cfg's syntax: what is read, what is refused and how, and that libxlutil agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.domain.config import libxlu
from xentool.domain.config.lexer import Text, decode, parse_number, tokens
from xentool.domain.config.parser import parse, parse_override
from xentool.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(act: Callable[[], object]) -> str:
    """Why `act` refused, or "line " if it did not. Anything but a ConfigError goes through."""
    try:
        act()
    except ConfigError as error:
        return error.reason
    return "line "


def values(text: str) -> dict[str, object]:
    return {key: setting.value for key, setting in parse(text, "a.cfg").items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("\n;;\n# only\n", {}),
        ("a=1", {"a": "1"}),
        ("a = 'x' ; b=\"y\"", {"a": "x", "b": "y"}),
        ("a=1\na=2\n", {"a": "2"}),
        ("a='x'\na+='y'\n", {"a": "xy"}),
        ("a+='y'", {"a": "y"}),
        ("a=[1]\na+=['x',]\n", {"a": ["1", "x"]}),
        ("a=1\na+=2", {"a": "12"}),
        ("a=[\n1,\n# c\n2\n]\n", {"a": ["1", "2"]}),
        ("a=[[1,2],3]", {"a": [["1", "2"], "3"]}),
        ("a=[]", {"a": []}),
        ("a.b_c9=0x1f", {"a.b_c9": "0x1f"}),
        ("a=12abc", {"a": "12abc"}),
        (r"""a='\'\"\\\t\n'""", {"a": "'\"\\\t\n"}),
        ('a="it\'s é"', {"a": "it's é"}),
        # kinder than xl
        ("a=1 # c", {"a": "1"}),
        ("a=-3600", {"a": "-3600"}),
        (r"a='\x41\x7a'", {"a": "Az"}),
    ],
)
def test_what_is_read(text: str, expected: dict[str, object]) -> None:
    assert values(text) == expected


def test_crlf_and_a_byte_order_mark_are_nothing() -> None:
    assert values(decode(b"\xef\xbb\xbfa=1\r\nb=[\r\n2]\r\n", "a.cfg")) == {"a": "1", "b": ["2"]}


@pytest.mark.parametrize(
    ("text", "place", "reason", "hint"),
    [
        ("a=foo", "line 1, column 3", 'expected a value: a number, text in quotes, or a list', '"foo"'),
        ("a=1\nb 2", "line 2, column 3", 'expected "=" after b, found "2"', ""),
        ("a=1 b=2", "line 1, column 5", 'the end of the line after the value, found "b"', "line of its own"),
        ("\n\na=[1,,2]", "line 3, column 6", 'found ","', ""),
        ("a=[1 2]", "line 1, column 6", '"," or "]"', ""),
        ("a=[1,\n2\n", "line 1, column 3", 'has no "]"', ""),
        ("a=[1;2]", "line 1, column 5", 'found ";"', ""),
        ("a='x\nb=1", "line 1, column 3", "does not end in this line", ""),
        ("a='x' 'y'", "line 1, column 7", "the string \"y\"", "quote missing"),
        ("a='''x'''", "line 1, column 3", "triple quotes", ""),
        (r"a='\101'", "line 1, column 4", "octal escape, which xl drops", "itself"),
        (r"a='\x00'", "line 1, column 4", "01 to 7f", ""),
        (r"a='\xg1'", "line 1, column 4", "01 to 7f", ""),
        (r"a='\q'", "line 1, column 4", r"\q means nothing", ""),
        ("a='x\\\ny'", "line 1, column 5", "end of the line", ""),
        ("Name='x'", "line 1, column 1", "lower case", "write name"),
        ("a=True", "line 1, column 3", "True is Python", "write 1"),
        ("a=512M", "line 1, column 3", "512M is not a number", "quotes"),
        ("a='x'+'y'", "line 1, column 6", "is not xl.cfg", "not Python"),
        ("a=1.5", "line 1, column 3", "1.5 is not a number", ""),
        ("a=\n1", "line 1, column 3", "the end of the line", ""),
        ("a=", "line 1, column 3", "the end of the file", ""),
        ("a=1\\\n", "line 1, column 4", "not continued", ""),
        ("\ta=\x01", "line 1, column 4", "U+0001", ""),
        ("a=[1]\na+=2", "line 2, column 2", "a is a list (line 1): += cannot add one value to it", ""),
        ("a=1\na+=[2]", "line 2, column 2", "a is one value (line 1): += cannot add a list", ""),
        ("a=" + "[" * 5000, "line 1, column 11", "at most 8 deep", ""),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, place: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "web.cfg")
    error = caught.value
    assert error.subject == "web.cfg"
    assert error.reason.startswith(place + ": ")
    assert reason in error.reason
    assert hint in error.hint
    line, caret = error.detail.split("\n")
    assert line in text.split("\n")
    assert caret.endswith("^")
    assert len(caret) == int(place.rpartition(" ")[2])


def test_the_caret_stands_below_the_place_even_after_tabs() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("x=1\n\ta=\tfoo\n", "a.cfg")
    assert caught.value.detail == "\ta=\tfoo\n\t  \t^"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"a=1\n\xff", "line 2 is not UTF-8 (byte 0xff)"), (b"\n\na=\0", "line 3 has a NUL byte")],
)
def test_what_is_not_text(raw: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(raw, "a.cfg")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("12", 12), ("010", 8), ("0x1F", 31), ("0Xf", 15), (" 5", 5), ("-3", -3), ("+3", 3),
        ("", None), ("08", None), ("0x", None), ("5 ", None), ("1_0", None), ("x", None),
        ("-", None), ("٣", None),
    ],
)  # fmt: skip
def test_numbers_are_strtols(text: str, number: int | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=1", "1"), ("a='x'", "x"), ("a=[1,2]", ["1", "2"]), ("a = 5", "5"), ("a+='y'", "by"),
        ("a=web2", "web2"), ("a=/boot/x", "/boot/x"),
        ("a=root=/dev/a ro", "root=/dev/a ro"),
        ("a=5f3a-1", "5f3a-1"), ("a+=y z", "by z"), ("a=Name", "Name"),
    ],
)  # fmt: skip
def test_overrides(override: str, expected: object) -> None:
    settings = parse("a='b'", "a.cfg")
    parse_override(override, settings)
    assert settings["a"].value == expected
    assert settings["a"].where == "command line"


def test_an_override_may_hold_several_settings_as_in_xl() -> None:
    settings = parse("", "a.cfg")
    parse_override("a=1;b='x'", settings)
    assert {key: setting.value for key, setting in settings.items()} == {"a": "1", "b": "x"}


@pytest.mark.parametrize(
    "override", ["a", "", "=1", "A=1", "1a=1", "a-b=1", "+=1", "a='x", "a=[1", "a='x'y", "a="]
)
def test_what_is_no_override(override: str) -> None:
    with pytest.raises(ConfigError):
        parse_override(override, parse("a='b'", "a.cfg"))


WORDS = ["a", "b", "=", "+=", "1", "0x1f", "08", "'x'", '"y z"', "[", "]", ",", "\n", ";", " ", "\t", "#c\n",
         r"'\n'", r"'it\'s'", "a=", "b+=", "'é'"]  # fmt: skip
soup = st.lists(st.sampled_from(WORDS), max_size=14).map("".join)


@given(st.text() | soup | st.text("ab=+[]'\",;\n\\x0189 #-"))
@example("a=\x0c")
def test_any_text_is_settings_or_a_config_error(text: str) -> None:
    assert refusal(lambda: parse(text, "a.cfg")).startswith("line ")


@given(st.text())
def test_any_override_is_a_setting_or_a_config_error(text: str) -> None:
    assert refusal(lambda: parse_override(f"a={text}", {})).startswith("line ")


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_a_config_error(raw: bytes) -> None:
    assert refusal(lambda: tokens(Text(decode(raw, "a.cfg"), "a.cfg"))).startswith("line ")


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
config = st.dictionaries(
    st.from_regex(r"[a-z][._0-9a-z]{0,8}", fullmatch=True), plain | st.lists(plain, max_size=4), max_size=5
)


def quoted(value: str | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(quoted, value)) + "]"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(config)
def test_what_is_written_reads_back(settings: dict[str, str | list[str]]) -> None:
    text = "".join(f"{key} = {quoted(value)}\n" for key, value in settings.items())
    assert values(text) == settings


@pytest.mark.skipif(not libxlu.AVAILABLE, reason="libxlutil (libxen-dev, or a Xen host) is not installed")
class TestAgainstLibxlutil:
    """What xl's own parser takes, we take, with the same values; what it refuses, we refuse."""

    @given(soup)
    def test_both_read_the_same(self, text: str) -> None:
        theirs = libxlu.parse(text.encode(), ["a", "b", "aa", "ab", "ba", "bb"])
        try:
            ours = {key: value for key, value in values(text).items() if len(key) < 3}
        except ConfigError:
            assert theirs is None
            return
        assert theirs is not None
        assert {key: value for key, value in theirs.items() if key in ours} == ours
        assert theirs.keys() == {key for key in ours if key in ("a", "b", "aa", "ab", "ba", "bb")} | (
            theirs.keys() - ours.keys()
        )

    @given(config)
    def test_xl_reads_what_we_write(self, settings: dict[str, str | list[str]]) -> None:
        text = "".join(f"{key} = {quoted(value)}\n" for key, value in settings.items())
        if "\0" not in text:
            assert libxlu.parse(text.encode(), list(settings)) == settings

    @pytest.mark.parametrize("text", ["a=-1", "a=1\r\n", "a=1 #c", r"a='\x41'", "\ufeffa=1"])
    def test_what_only_we_read(self, text: str) -> None:
        assert libxlu.parse(text.encode(), ["a"]) is None
        assert values(decode(text.encode(), "a.cfg"))["a"]

    def test_what_xl_mangles(self) -> None:
        assert libxlu.parse(rb"a='x\101y'", ["a"]) == {"a": "xy"}
        assert libxlu.parse(b"a=1\x0c", ["a"]) == {"a": "1"}
