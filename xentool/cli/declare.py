"""What a command is, as data: the words that `table` is written in.

One declaration feeds the fast parser, the click commands (help, errors,
completion), the man page and the tests that compare them. Nothing here knows
a command by name.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    OptionKind = Literal["flag", "count", "text", "file", "integer", "seconds", "choice"]
    ArgumentKind = Literal["text", "domain", "file", "node"]
    Value = str | int | float | bool | tuple[str, ...] | None

FOREVER = 1e9
"""The longest time that can be asked for, in seconds: what poll() can still count."""


class Option:
    """An option: ``-p``, ``--paused``, ``--timeout SECONDS``.

    `spellings` are what is typed, the first long one being the one that help shows first.
    A flag's value is a bool, a count's an int (how often it was given); the others are
    None until given.
    """

    __slots__ = ("choices", "help", "hidden", "kind", "metavar", "name", "spellings")

    def __init__(
        self,
        name: str,
        spellings: tuple[str, ...],
        help: str,  # noqa: A002 - what everybody calls it
        kind: OptionKind = "flag",
        *,
        metavar: str = "",
        choices: tuple[str, ...] = (),
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.spellings = spellings
        self.help = help
        self.kind = kind
        self.metavar = metavar
        self.choices = choices
        self.hidden = hidden

    @property
    def takes_value(self) -> bool:
        return self.kind not in ("flag", "count")

    @property
    def default(self) -> Value:
        if self.kind == "flag":
            return False
        return 0 if self.kind == "count" else None


class Argument:
    """A word of the command line that is not an option.

    `many` takes all that are left, as a tuple; without `dots` its metavar says how many those may be.
    """

    __slots__ = ("choices", "dots", "help", "kind", "many", "metavar", "name", "required")

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        kind: ArgumentKind = "text",
        *,
        required: bool = True,
        many: bool = False,
        dots: bool = True,
        metavar: str = "",
        choices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.required = required
        self.many = many
        self.dots = dots
        self.metavar = metavar or name.upper()
        self.choices = choices

    @property
    def shown(self) -> str:
        """As a synopsis shows it: ``DOMAIN``, ``[DOMAIN]``, ``[DOMAIN]...``."""
        word = self.metavar
        if not self.required and not word.startswith("["):
            word = f"[{word}]"
        return f"{word}..." if self.many and self.dots else word


class Command:
    """A command.

    `handler` is ``"module:function"``, imported when the command runs; it is called with
    the context and the command's options and arguments by name, and returns the exit code.
    `stoppable` commands clean up after ^C and SIGTERM. A `passthrough` command leaves
    everything from its first word on to somebody else's option parser.
    """

    __slots__ = (
        "arguments",
        "dry_run",
        "handler",
        "help",
        "name",
        "options",
        "passthrough",
        "stoppable",
        "text",
    )

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        handler: str,
        *,
        text: str = "",
        arguments: tuple[Argument, ...] = (),
        options: tuple[Option, ...] = (),
        dry_run: bool = False,
        stoppable: bool = False,
        passthrough: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.handler = handler
        self.text = text
        self.arguments = arguments
        self.options = options
        self.dry_run = dry_run
        self.stoppable = stoppable
        self.passthrough = passthrough


class Group:
    """Commands that share a first word: ``lab build``, ``lab run``.

    A group of many is named ``"module:NAME"``, a tuple there, and read when one of them is asked for.
    """

    __slots__ = ("_commands", "_where", "help", "name", "text")

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        commands: tuple[Command, ...] | str,
        *,
        text: str = "",
    ) -> None:
        self.name = name
        self.help = help
        self.text = text
        self._where = commands
        self._commands: dict[str, Command] = {}

    @property
    def commands(self) -> dict[str, Command]:
        """The commands by their last words."""
        if not self._commands:
            listed = self._where
            if isinstance(listed, str):
                import sys

                module, _, name = listed.partition(":")
                __import__(module)
                listed = getattr(sys.modules[module], name)
            self._commands = {command.name.split()[-1]: command for command in listed}
        return self._commands


class Parsed:
    """A command line that was understood: the command, and a value for every option and argument of it
    and every global option."""

    __slots__ = ("command", "values")

    def __init__(self, command: Command, values: dict[str, Value]) -> None:
        self.command = command
        self.values = values


def convert(option: Option | Argument, text: str) -> str | int | float:
    """What was typed, as the option's value.

    Raises:
        ValueError: it cannot be; the text says what was expected.
    """
    if option.choices and text not in option.choices:
        raise ValueError(f"'{text}' is not one of: {', '.join(option.choices)}")
    if option.kind == "integer":
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"'{text}' is not a whole number")
        return int(text)
    if option.kind == "seconds":
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= FOREVER:
            raise ValueError(f"'{text}' is not a number of seconds")
        return seconds
    return text


def matching(names: dict[str, Command | Group] | dict[str, Command], word: str) -> list[str]:
    """The names that `word` stands for: itself, or all that begin with it. One is an answer."""
    if word in names:
        return [word]
    return [name for name in names if name.startswith(word)] if word else []
