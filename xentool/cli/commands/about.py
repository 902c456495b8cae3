"""version, help, completion: commands about xentool itself."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.cli.context import Context


def version(context: Context) -> int:
    from xentool import __version__

    if context.json:
        context.write_json({"version": __version__})
    else:
        context.write(f"xentool {__version__}\n")
    return 0


def help_(context: Context, *, words: tuple[str, ...]) -> int:
    from xentool.cli.manual import PAGES, command_page, manual_page

    is_page = not words or words[0] in dict(PAGES)
    text = manual_page(*words[:1]) if is_page else command_page(words)
    if context.styled:
        import pydoc

        pydoc.pager(text)
    else:
        context.write(text)
    return 0


def completion(context: Context, *, shell: str) -> int:
    import click.shell_completion

    from xentool.cli.clickapp import PROGRAM, application

    known = click.shell_completion.get_completion_class(shell)
    assert known is not None  # the table offers only shells that click has
    variable = "_XENTOOL_COMPLETE"
    source = known(application(), {}, PROGRAM, variable).source()
    context.write(source + os.linesep)
    return 0
