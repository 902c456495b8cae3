"""The fast parser and click read every command line alike, and only click complains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xentool.cli import clickapp, fast
from xentool.cli.declare import Command, Group, Parsed
from xentool.cli.table import COMMANDS, GLOBALS
from xentool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def _leaves() -> Iterator[Command]:
    for declared in COMMANDS.values():
        yield from declared.commands.values() if isinstance(declared, Group) else [declared]


LEAVES = list(_leaves())
OPTIONS = [*GLOBALS, *(option for command in LEAVES for option in command.options)]
SPELLINGS = sorted({spelling for option in OPTIONS for spelling in option.spellings})
WORDS = ["web", "3", "a=b", "-", "", "--", "web.cfg", "mock", "xen", "pv", "4.17", "1.5", "-1", "nan", "bash"]
WORDS += ["--paused=1", "--json=x"]
NAMES = sorted(
    {word for c in LEAVES for word in c.name.split()} | {"li", "d", "sta", "domi", "conso", "nonsense"}
)


@st.composite
def clusters(draw: st.DrawFn) -> str:
    letters = sorted({s[1] for s in SPELLINGS if len(s) == 2})
    return "-" + "".join(draw(st.lists(st.sampled_from([*letters, "x", "="]), min_size=1, max_size=4)))


@st.composite
def with_values(draw: st.DrawFn) -> str:
    spelling = draw(st.sampled_from([spelling for spelling in SPELLINGS if spelling.startswith("--")]))
    return f"{spelling}={draw(st.sampled_from(WORDS))}"


TOKENS = st.one_of(
    st.sampled_from(SPELLINGS), st.sampled_from(WORDS), st.sampled_from(NAMES), clusters(), with_values()
)
LINES = st.builds(
    lambda before, name, after: [*before, *name, *after],
    st.lists(st.one_of(st.sampled_from(SPELLINGS), st.sampled_from(WORDS)), max_size=2),
    st.sampled_from([command.name.split() for command in LEAVES]),
    st.lists(TOKENS, max_size=5),
)


def by_click(argv: list[str]) -> Parsed | None:
    try:
        result = clickapp.parse(argv)
    except UsageError:
        return None
    assert isinstance(result, Parsed)
    return result


def repeats_an_option(argv: list[str]) -> bool:
    """Whether an option that takes a value is there twice, however spelled."""
    for option in OPTIONS:
        letters = [spelling[1] for spelling in option.spellings if len(spelling) == 2]
        uses = [
            word
            for word in argv
            if word.partition("=")[0] in option.spellings
            or (word[:1] == "-" != word[1:2] and any(letter in word for letter in letters))
        ]
        if option.takes_value and len(uses) > 1:
            return True
    return False


@settings(max_examples=400, deadline=None)
@given(argv=LINES)
@example(argv=["--backend", "mock", "create", "-pcf", "x.cfg", "memory=4", "--", "-n"])
@example(argv=["create", "-pfx.cfg"])
@example(argv=["-v", "list", "-v"])
@example(argv=["-v", "lab", "-v", "build", "-v"])
@example(argv=["lab", "-v", "run", "--xen=4.20", "xl", "--help", "-v"])
@example(argv=["--", "list"])
@example(argv=["-N", "create", "--dryrun", "a"])
@example(argv=["shutdown", "--timeout", "-1", "web"])
def test_both_understand_the_same_lines_alike(argv: list[str]) -> None:
    quick = fast.parse(argv)
    slow = by_click(argv)
    if quick is None:
        # click looks at the last value of a repeated option only; the fast parser leaves such lines to it.
        assert slow is None or repeats_an_option(argv)
    else:
        assert slow is not None
        assert quick.command is slow.command
        assert quick.values == slow.values
        assert {name: type(value) for name, value in quick.values.items()} == {
            name: type(value) for name, value in slow.values.items()
        }


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: str(command.name))
def test_every_option_of_every_command_is_understood(command: Command) -> None:
    needed = [
        argument.choices[0] if argument.choices else "web"
        for argument in command.arguments
        if argument.required
    ]
    for option in (*GLOBALS, *command.options):
        for spelling in option.spellings:
            argv = [*command.name.split(), spelling]
            if option.takes_value:
                argv.append(option.choices[0] if option.choices else "1")
            quick = fast.parse([*argv, *needed])
            slow = by_click([*argv, *needed])
            assert quick is not None
            assert slow is not None
            assert quick.values == slow.values


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["creat2"], "there is no command 'creat2'"),
        (["do"], "'do' could be domid or domname"),
        (["lab", "bild"], "there is no command 'bild'"),
        (["list", "--lnog"], "no such option"),
        (["destroy"], "missing argument 'DOMAIN'"),
        (["destroy", "a", "b"], "unexpected extra argument"),
        (["--backend", "qemu", "list"], "'qemu' is not one of: auto, xen, mock"),
        (["shutdown", "--timeout", "soon", "a"], "'soon' is not a number of seconds"),
    ],
)
def test_errors_come_from_click_in_our_words(argv: list[str], reason: str) -> None:
    assert fast.parse(argv) is None
    with pytest.raises(UsageError) as caught:
        clickapp.parse(argv)
    assert reason in caught.value.reason
    assert caught.value.hint


def test_the_lab_offers_the_releases_that_it_can_build() -> None:
    from xentool.lab.recipe import RELEASES

    releases = {option.choices for command in LEAVES for option in command.options if option.name == "xen"}
    assert releases == {tuple(RELEASES)}


def test_unknown_commands_exit_as_with_xl_and_wrong_options_otherwise() -> None:
    codes = {}
    for argv in (["nonsense"], ["list", "--nonsense"]):
        with pytest.raises(UsageError) as caught:
            clickapp.parse(argv)
        codes[argv[0]] = caught.value.exit_code
    assert codes == {"nonsense": 1, "list": 2}


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: str(command.name))
def test_every_handler_exists_and_takes_what_the_table_declares(command: Command) -> None:
    import inspect
    from importlib import import_module

    module, _, function = command.handler.partition(":")
    signature = inspect.signature(getattr(import_module(module), function))
    global_names = {option.name for option in GLOBALS}
    declared = {option.name for option in command.options} | {argument.name for argument in command.arguments}
    declared -= global_names
    assert next(iter(signature.parameters)) == "context"
    assert set(signature.parameters) - {"context"} == declared
