"""What creates have begun, so that a kill -9 leaves nothing behind.

A create opens an entry, keeps it locked while it lives, and writes into it
what it is about to make, before it makes it. When it ends, well or not, the
entry goes. An entry whose lock is free belongs to a process that died: the
next command undoes what it says.

An entry is a text file of ``key value`` lines, in a folder that only root
reads. Nothing in it is guessed from the store, which a guest can write.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_SUFFIX = ".create"
UNNAMED_SECONDS = 60


class Entry:
    """One create's entry: locked as long as this object, or the process, lives."""

    def __init__(self, path: str, descriptor: int, facts: dict[str, str]) -> None:
        self.path = path
        self._descriptor = descriptor
        self.facts = facts

    def note(self, key: str, value: object) -> None:
        """Record a fact before acting on it."""
        text = str(value)
        if "\n" in text or " " in key:
            msg = f"not a journal line: {key!r} {text!r}"
            raise AssertionError(msg)
        os.write(self._descriptor, f"{key} {text}\n".encode())
        self.facts[key] = text

    def close(self, *, finished: bool = True) -> None:
        """Give the entry up; a finished one is removed, another is left for the next command."""
        if self._descriptor < 0:
            return
        if finished:
            os.unlink(self.path)
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Journal:
    """The entries of one host, in `<run>/journal`."""

    def __init__(self, run_directory: str) -> None:
        self._directory = f"{run_directory}/journal"

    def begin(self, uuid: str) -> Entry:
        """Open an entry for a create of the domain `uuid`.

        It is locked before it gets its name, so nobody ever sees it unlocked while we live.
        """
        unnamed = f"{self._directory}/.{uuid}.{os.getpid()}"
        path = f"{self._directory}/{uuid}.{os.getpid()}{_SUFFIX}"
        descriptor = -1
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            entry = Entry(path, descriptor, {})
            entry.note("uuid", uuid)
            os.rename(unnamed, path)
        except BaseException as exc:
            # A signal's too: what was only begun tells nobody anything.
            if not isinstance(exc, FileExistsError):
                _remove(unnamed)
            if descriptor >= 0:
                os.close(descriptor)
            if not isinstance(exc, OSError):
                raise
            raise HostError(
                "begin the journal in",
                self._directory,
                exc.strerror or str(exc),
                hint="are you root, and is there room?",
            ) from exc
        return entry

    def is_empty(self) -> bool:
        """Whether there is nothing at all: one look, for commands in a hurry."""
        try:
            return not any(name.endswith(_SUFFIX) for name in os.listdir(self._directory))
        except FileNotFoundError:
            return True
        except OSError:
            return True  # not ours to read: nothing that this user could undo

    def abandoned(self) -> Iterator[Entry]:
        """The entries of creates that died, each locked by us now."""
        try:
            names = os.listdir(self._directory)
        except OSError:
            return
        for name in names:
            path = f"{self._directory}/{name}"
            if not name.endswith(_SUFFIX):
                # Being begun this very moment, or left by a process that was killed just there.
                _sweep(path)
                continue
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with open(path, "rb") as file:
                    same = os.fstat(file.fileno()).st_ino == os.fstat(descriptor).st_ino
                    text = file.read().decode("utf-8", "replace")
            except OSError as exc:
                os.close(descriptor)
                if exc.errno not in (errno.EWOULDBLOCK, errno.ENOENT):
                    raise
                continue
            if not same:
                os.close(descriptor)
                continue
            # A last line without its newline was being written when the process died: it tells nothing.
            lines = text.split("\n")[:-1]
            facts = dict(line.split(" ", 1) for line in lines if " " in line)
            yield Entry(path, descriptor, facts)


def quoted(path: str) -> str:
    """A path as a fact can be: one line of ASCII, whatever bytes it has."""
    return path.encode("unicode_escape").decode("ascii")


def unquoted(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # not there, or in a folder that cannot be written


def _sweep(path: str) -> None:
    """Remove an entry that never got its name, once nobody can still be about to give it one."""
    try:
        if time.time() - os.stat(path).st_mtime > UNNAMED_SECONDS:
            os.unlink(path)
    except FileNotFoundError:
        pass
