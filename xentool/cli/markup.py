"""The small markup that manual pages are written in, as text for a terminal and as roff for man.

Markdown, and of it only: ``#`` and ``##`` headings, paragraphs, four-space code
blocks, ``- `` lists, definitions (a line, then ``:   `` and its text), and the
inline marks for code, bold and emphasis. A page reads well as it is, on any site that
shows Markdown.
"""

from __future__ import annotations

import re
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")


class Block(NamedTuple):
    """A piece of a page: `kind` is heading, subheading, paragraph, code, item or definition."""

    kind: str
    text: str
    term: str = ""


def parse(source: str) -> Iterator[Block]:
    """The blocks of a page."""
    for chunk in re.split(r"\n(?:[ \t]*\n)+", source.strip("\n")):
        lines = chunk.split("\n")
        if lines[0].startswith("## "):
            yield Block("subheading", lines[0][3:])
            lines = lines[1:]
        elif lines[0].startswith("# "):
            yield Block("heading", lines[0][2:])
            lines = lines[1:]
        if not lines:
            continue
        if all(line.startswith("    ") for line in lines):
            yield Block("code", "\n".join(line[4:] for line in lines))
        elif len(lines) > 1 and lines[1].startswith(":   "):
            yield Block("definition", _joined(line.removeprefix(":   ") for line in lines[1:]), lines[0])
        elif lines[0].startswith("- "):
            for item in re.split(r"\n- ", chunk[2:]):
                yield Block("item", _joined(item.split("\n")))
        else:
            yield Block("paragraph", _joined(lines))


def _joined(lines: Iterator[str] | list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def to_text(source: str, width: int = 80) -> str:
    """The page as plain text, at most `width` columns wide but for code."""
    parts: list[str] = []
    before = ""
    for block in parse(source):
        text = _INLINE.sub(_plain, block.text)
        if block.kind == "heading":
            part = text.upper()
        elif block.kind == "subheading":
            part = "  " + text
        elif block.kind == "code":
            part = "\n".join(f"           {line}".rstrip() for line in block.text.split("\n"))
        elif block.kind == "item":
            part = _filled(text, width, "       - ", "         ")
        elif block.kind == "definition":
            term = _INLINE.sub(_plain, block.term)
            part = f"       {term}\n" + _filled(text, width, " " * 14, " " * 14)
        else:
            part = _filled(text, width, " " * 7, " " * 7)
        tight = before in ("heading", "subheading") or (before == block.kind == "item")
        parts.append(("\n" if tight or not before else "\n\n") + part)
        before = block.kind
    return "".join(parts).lstrip("\n") + "\n"


def _filled(text: str, width: int, first: str, rest: str) -> str:
    return fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(match: re.Match[str]) -> str:
    return match[1] or match[2] or match[3]


def to_roff(source: str, title: str, section: int, version: str) -> str:
    """The page for man(1), in the man macros."""
    out = [f'.TH "{title.upper()}" "{section}" "" "xentool {version}" "xentool manual"', ".nh", ".ad l"]
    for block in parse(source):
        text = _roff_inline(block.text)
        if block.kind == "heading":
            out.append(f".SH {text.upper()}")
        elif block.kind == "subheading":
            out.append(f".SS {text}")
        elif block.kind == "code":
            body = "\n".join(_roff_line(_escape(line)) for line in block.text.split("\n"))
            out += [".PP", ".RS 4", ".nf", body, ".fi", ".RE"]
        elif block.kind == "item":
            out += [".IP \\[u2022] 2", _roff_line(text)]
        elif block.kind == "definition":
            out += [".TP", _roff_line(_roff_inline(block.term)), _roff_line(text)]
        else:
            out += [".PP", _roff_line(text)]
    return "\n".join(out) + "\n"


def _roff_inline(text: str) -> str:
    parts: list[str] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(_escape(text[at : match.start()]))
        font = "I" if match[3] else "B"
        parts.append(f"\\f{font}{_escape(_plain(match))}\\fR")
        at = match.end()
    return "".join([*parts, _escape(text[at:])])


def _escape(text: str) -> str:
    for char, escaped in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
    ):
        text = text.replace(char, escaped)
    return text.replace("…", "\\[u2026]")


def _roff_line(text: str) -> str:
    """A line that begins with a dot would be a request."""
    return "\\&" + text if text.startswith(".") else text
