"""Xen's own lock on who uses which disk, as its block script takes it."""

from __future__ import annotations

import fcntl
import os

from xentool.errors import HostError


class ScriptLock:
    """The lock under which Xen's block script looks who uses a disk, and claims it.

    The file goes when the lock does, so a lock counts only if the path still names the file.
    Source: tools/hotplug/Linux/locking.sh.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/block"
        try:
            os.makedirs(directory, exist_ok=True)
            while True:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                    if self._is_named(descriptor):
                        break
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)
        except OSError as exc:
            raise HostError(
                "take the lock", self.path, exc.strerror or str(exc), hint="are you root?"
            ) from exc
        self._descriptor = descriptor

    def _is_named(self, descriptor: int) -> bool:
        held = os.fstat(descriptor)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def release(self) -> None:
        if self._descriptor >= 0:
            try:
                os.unlink(self.path)
            except FileNotFoundError:  # somebody tidied up
                pass
            finally:
                os.close(self._descriptor)
                self._descriptor = -1
