"""lab build, run, shell: real Xen under QEMU."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from xentool.lab.qemu import DEFAULT_MACHINE
from xentool.lab.recipe import DEFAULT_XEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.cli.context import Context
    from xentool.lab.qemu import Machine

DEFAULT_TIMEOUT_SECONDS = 600.0


def build(context: Context, *, xen: str | None, refresh: bool) -> int:
    from xentool.lab.build import build as build_image

    image = build_image(xen or DEFAULT_XEN, refresh=refresh, progress=_progress(context))
    if context.json:
        context.write_json({"xen": xen or DEFAULT_XEN, "folder": image.folder})
    else:
        context.write(f"{image.folder}\n")
    return 0


def run(
    context: Context,
    *,
    words: tuple[str, ...],
    xen: str | None,
    timeout: float | None,
    out: str | None,
    memory: int | None,
    dom0_memory: int | None,
    cpus: int | None,
    xenstored: str | None,
    keep_log: str | None,
) -> int:
    from xentool.lab.run import run as run_in_lab

    streamed = not context.json
    result = run_in_lab(
        words,
        xen=xen or DEFAULT_XEN,
        timeout_seconds=DEFAULT_TIMEOUT_SECONDS if timeout is None else timeout,
        out=out or "",
        machine=_machine(memory, dom0_memory, cpus, xenstored),
        log=keep_log or "",
        progress=_progress(context),
        stdout=_write_stdout if streamed else None,
        stderr=_write_stderr if streamed else None,
    )
    if context.json:
        facts = result._asdict()
        for stream in ("stdout", "stderr"):
            facts[stream] = facts[stream].decode("utf-8", "replace")
        context.write_json(facts)
    elif context.verbose:
        context.note(f"exit code {result.exit_code} after {result.seconds:.2f} s")
    return result.exit_code


def shell(
    context: Context,
    *,
    xen: str | None,
    out: str | None,
    memory: int | None,
    dom0_memory: int | None,
    cpus: int | None,
    xenstored: str | None,
    keep_log: str | None,
) -> int:
    from xentool.lab.run import shell as shell_in_lab

    return shell_in_lab(
        xen or DEFAULT_XEN,
        out=out or "",
        machine=_machine(memory, dom0_memory, cpus, xenstored),
        log=keep_log or "",
        progress=_progress(context),
    )


def _machine(memory: int | None, dom0_memory: int | None, cpus: int | None, xenstored: str | None) -> Machine:
    usual = DEFAULT_MACHINE
    return usual._replace(
        memory_mib=memory or usual.memory_mib,
        dom0_memory_mib=dom0_memory or usual.dom0_memory_mib,
        cpus=cpus or usual.cpus,
        xenstored=xenstored or usual.xenstored,
    )


def _progress(context: Context) -> Callable[[str], None]:
    """The lab takes its time: on a terminal, or with -v, it says what it does."""
    if context.shows_progress or context.verbose:
        return context.note
    return lambda _step: None


def _write_stdout(data: bytes) -> None:
    # The command's output may be anything, and is wanted as it comes.
    sys.stdout.flush()
    _write_all(1, data)


def _write_stderr(data: bytes) -> None:
    _write_all(2, data)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
