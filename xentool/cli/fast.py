"""The parser for every command line that is right.

It knows no error messages and no help: where it does not understand, it answers
None, and click, generated from the same table, reads the line again and says
what is wrong. That split is worth some code: importing click takes longer than
``xl list`` takes in all.
"""

from __future__ import annotations

from xentool.cli.declare import Command, Group, Parsed, convert, matching
from xentool.cli.table import COMMANDS, GLOBALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from xentool.cli.declare import Option, Value


def parse(argv: Sequence[str]) -> Parsed | None:
    """The command of `argv` (without the program's name), or None where click has to look."""
    rest = list(reversed(argv))  # the next word is at the end
    given: list[tuple[Option, Value]] = []
    known = _by_spelling(GLOBALS)
    commands: dict[str, Command | Group] | dict[str, Command] = COMMANDS
    while True:
        names = matching(commands, _command_word(rest, known, given))
        if len(names) != 1:
            return None
        found = commands[names[0]]
        if isinstance(found, Command):
            break
        commands = found.commands
    known.update(_by_spelling(found.options))
    words = _words(rest, known, given, interspersed=not found.passthrough)
    if words is None:
        return None
    values: dict[str, Value] = {option.name: option.default for option in (*GLOBALS, *found.options)}
    for option, value in given:
        before = values[option.name]
        values[option.name] = before + 1 if option.kind == "count" and isinstance(before, int) else value
    return Parsed(found, values) if _arguments(found, words, values) else None


def _by_spelling(options: tuple[Option, ...]) -> dict[str, Option]:
    return {spelling: option for option in options for spelling in option.spellings}


def _command_word(rest: list[str], known: dict[str, Option], given: list[tuple[Option, Value]]) -> str:
    """Take a command's name off `rest`, and the options before it; "" where there is none."""
    while rest:
        word = rest.pop()
        if word == "--":
            return rest.pop() if rest else ""
        if len(word) < 2 or word[0] != "-":
            return word
        if not _option(word, rest, known, given):
            return ""
    return ""


def _words(
    rest: list[str], known: dict[str, Option], given: list[tuple[Option, Value]], *, interspersed: bool
) -> list[str] | None:
    """Take everything off `rest`: options into `given`; the other words, or None where an option is wrong."""
    words: list[str] = []
    while rest:
        word = rest.pop()
        ends_options = word == "--"
        if len(word) < 2 or word[0] != "-":
            words.append(word)
            ends_options = not interspersed
        elif not ends_options and not _option(word, rest, known, given):
            return None
        if ends_options:
            words += reversed(rest)
            rest.clear()
    return words


def _option(word: str, rest: list[str], known: dict[str, Option], given: list[tuple[Option, Value]]) -> bool:
    """Take one option, `word`, and its value off `rest`, into `given`. False where it is wrong."""
    return (_long if word[1] == "-" else _short)(word, rest, known, given)


def _long(word: str, rest: list[str], known: dict[str, Option], given: list[tuple[Option, Value]]) -> bool:
    spelling, equals, text = word.partition("=")
    option = known.get(spelling)
    if option is None:
        return False
    if not option.takes_value:
        given.append((option, True))
        return not equals
    if not equals:
        if not rest:
            return False
        text = rest.pop()
    return _give(option, text, given)


def _short(word: str, rest: list[str], known: dict[str, Option], given: list[tuple[Option, Value]]) -> bool:
    """A cluster: ``-pc``, ``-fFILE``, ``-pf FILE``."""
    for position, letter in enumerate(word[1:], 2):
        option = known.get("-" + letter)
        if option is None:
            return False
        if option.takes_value:
            text = word[position:]
            if not text:
                if not rest:
                    return False
                text = rest.pop()
            return _give(option, text, given)
        given.append((option, True))
    return True


def _give(option: Option, text: str, given: list[tuple[Option, Value]]) -> bool:
    try:
        given.append((option, convert(option, text)))
    except ValueError:
        return False
    return True


def _arguments(command: Command, words: list[str], values: dict[str, Value]) -> bool:
    for argument in command.arguments:
        if argument.many:
            if argument.required and not words:
                return False
            taken, words = words, []
        elif words:
            taken, words = words[:1], words[1:]
        elif argument.required:
            return False
        else:
            values[argument.name] = None
            continue
        try:
            for word in taken:
                convert(argument, word)
        except ValueError:
            return False
        values[argument.name] = tuple(taken) if argument.many else taken[0]
    return not words
