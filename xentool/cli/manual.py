"""The manual: pages whose prose is in ``man/`` and whose lists of options come from the table.

``xentool help`` shows them; the wheel carries them for man(1), and
``python3 -m xentool.cli.manual FOLDER`` writes those anywhere.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from xentool import __version__
from xentool.cli.declare import Command, Group, matching
from xentool.cli.markup import to_roff, to_text
from xentool.cli.table import COMMANDS, GLOBALS
from xentool.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xentool.cli.declare import Argument, Option

PAGES = (
    ("xentool", 1), ("xentool-store", 1), ("xentool.cfg", 5), ("xentool-network", 5), ("xentool-disk", 5)
)  # fmt: skip


def manual_page(name: str = "xentool") -> str:
    """A page of the manual as text."""
    return to_text(_source(name, dict(PAGES)[name]))


def command_page(words: Sequence[str]) -> str:
    """What there is to know of one command, or of one group.

    Raises:
        UsageError: there is no such command.
    """
    found = _find(words)
    if isinstance(found, Group):
        listed = "".join(f"\n\n`{command.name}`\n:   {command.help}." for command in found.commands.values())
        name = f"# Name\nxentool {found.name} - {_decapitalised(found.help)}"
        return to_text(f"{name}\n\n# Description\n{found.text}\n\n# Commands{listed}")
    parts = [
        f"# Name\nxentool {found.name} - {_decapitalised(found.help)}",
        f"# Synopsis\n{synopsis(found)}",
    ]
    if found.text:
        parts.append(f"# Description\n{found.text}")
    if described := _arguments(found.arguments) + _options(found.options):
        parts.append("# Options" + described)
    parts.append("# Everywhere" + _options(_free_globals(found)))
    return to_text("\n\n".join(parts))


def _free_globals(command: Command) -> list[Option]:
    """The global options whose every spelling means the same on this command."""
    own = {spelling for option in command.options for spelling in option.spellings}
    return [
        option
        for option in GLOBALS
        if not own.intersection(option.spellings) and (option.name != "dry_run" or command.dry_run)
    ]


def _find(words: Sequence[str]) -> Command | Group:
    names: dict[str, Command | Group] = COMMANDS
    found: Command | Group | None = None
    for word in words:
        matches = matching(names, word)
        if len(matches) != 1:
            found = None
            break
        found = names[matches[0]]
        names = dict(found.commands) if isinstance(found, Group) else {}
    if found is None:
        from difflib import get_close_matches

        word = " ".join(words)
        nearest = get_close_matches(word, COMMANDS, n=3)
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`xentool help` lists the commands"
        error = UsageError("", "", f"there is no one command '{word}'", hint=hint)
        error.exit_code = 1
        raise error
    return found


def synopsis(command: Command) -> str:
    """One line: ``xentool create [OPTIONS] [CONFIG] [KEY=VALUE]...``."""
    words = ["xentool", command.name, "[OPTIONS]" if command.options else ""]
    words += [argument.shown for argument in command.arguments]
    return " ".join(word for word in words if word)


def _decapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _options(options: Iterable[Option]) -> str:
    parts = []
    for option in options:
        if option.hidden:
            continue
        value = f" *{option.metavar}*" if option.takes_value else ""
        term = ", ".join(
            f"`{spelling}`{value if spelling.startswith('--') else ''}" for spelling in option.spellings
        )
        if option.takes_value and not any(spelling.startswith("--") for spelling in option.spellings):
            term += value
        choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
        parts.append(f"\n\n{term}\n:   {_sentence(option.help)}{choices}")
    return "".join(parts)


def _arguments(arguments: Iterable[Argument]) -> str:
    return "".join(f"\n\n*{argument.metavar}*\n:   {_sentence(argument.help)}" for argument in arguments)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _all_commands() -> str:
    """Every command with its options, for the big page."""
    leaves: list[Command] = []
    for declared in COMMANDS.values():
        leaves += declared.commands.values() if isinstance(declared, Group) else [declared]
    return _described(leaves)


def _described(commands: Iterable[Command]) -> str:
    parts = []
    for command in commands:
        parts.append(f"## {synopsis(command).removeprefix('xentool ')}\n{command.help}.")
        if command.text:
            parts.append(command.text)
        if described := _options(command.options):
            parts.append(described.strip("\n"))
    return "\n\n".join(parts)


def _all_globals() -> str:
    return _options(GLOBALS).strip("\n")


def _all_keys() -> str:
    """Every key of a config, group by group."""
    from itertools import groupby

    from xentool.domain.config.keys import all_keys

    parts = []
    for group, keys in groupby(all_keys(), key=lambda key: key.group):
        parts.append(f"## {group[:1].upper()}{group[1:]}")
        for key in keys:
            facts = [key.kind, *([f"{' and '.join(key.types)} only"] if key.types else []), key.status]
            if key.default:
                facts.append(f"default {key.default}")
            instead = f" Use {key.instead}." if key.instead else ""
            parts.append(f"`{key.name}` ({', '.join(facts)})\n:   {_sentence(key.doc)}{instead}")
    return "\n\n".join(parts)


def _store_commands() -> str:
    """The `store` commands with their options."""
    group = COMMANDS["store"]
    return _described(group.commands.values() if isinstance(group, Group) else [])


def _all_rules() -> str:
    """What an audit of the store looks for."""
    from xentool.toolstack.audit.rules import RULES

    return "\n\n".join(f"`{rule.name}` ({rule.severity})\n:   {_sentence(rule.about)}" for rule in RULES)


def _toolstacks() -> str:
    """What native does and what libxl, where each operation goes to the one that does it completely."""
    from xentool.toolstack.choice import TABLE

    parts = []
    for rule in TABLE:
        words = [f"{who}: {what}" for who, what in (("native", rule.native), ("libxl", rule.libxl)) if what]
        parts.append(f"*{rule.commands}*\n:   {_sentence('; '.join(words))}")
    return "\n\n".join(parts)


def _source(name: str, section: int) -> str:
    """The page's prose with the generated lists in their places."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # The wheel has the prose inside the package, a checkout beside it.
    for folder in (os.path.join(here, "man"), os.path.join(os.path.dirname(here), "man")):
        path = os.path.join(folder, f"{name}.{section}.md")
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        generated = {
            "commands": _all_commands,
            "store": _store_commands,
            "rules": _all_rules,
            "toolstacks": _toolstacks,
            "globals": _all_globals,
            "keys": _all_keys,
        }
        for mark, make in generated.items():
            if f"{{{{{mark}}}}}" in text:
                text = text.replace(f"{{{{{mark}}}}}", make())
        return text
    raise HostError(
        "show the manual page",
        name,
        f"{name}.{section}.md is missing",
        hint="install xentool again: it is incomplete",
    )


def write_man_pages(folder: str) -> list[str]:
    """Write the pages for man(1) into `folder`; their paths."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, section in PAGES:
        path = os.path.join(folder, f"{name}.{section}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(to_roff(_source(name, section), name, section, __version__))
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_man_pages(*sys.argv[1:2] or ["."]):
        sys.stdout.write(written + "\n")
