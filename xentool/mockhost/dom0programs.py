"""The mock Domain-0's programs: they really run, as whoever runs the command."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xentool.dom0.port import Daemon, Daemons, Programs


class MockPrograms:
    """`xentool.dom0.port.Programs`: programs really run, and can tell by ``XENTOOL_MOCK=1`` where."""

    def run_script(
        self, words: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
    ) -> tuple[int, str]:
        return _linux_programs().run_script(words, {**environment, "XENTOOL_MOCK": "1"}, timeout_seconds)

    def exists(self, path: str) -> bool:
        return _linux_programs().exists(path)

    def find(self, name: str) -> str | None:  # noqa: ARG002 - the machine's tools would change the machine
        return None


def _linux_programs() -> Programs:
    from xentool.dom0.linux import LinuxDom0

    programs: Programs = LinuxDom0().programs
    return programs


class MockDaemons:
    """`xentool.dom0.port.Daemons`: programs really run; its QEMU is `xentool.mockhost.qemu`."""

    def __init__(self, directory: str) -> None:
        self.log_directory = os.path.join(directory, "log")
        self.socket_directory = directory
        self._qemu = os.path.join(directory, "mock-qemu")

    def qemu(self) -> str | None:
        return self._qemu if os.access(self._qemu, os.X_OK) else None

    def spawn(self, words: Sequence[str], environment: Mapping[str, str], log_path: str) -> int:
        os.makedirs(self.log_directory, mode=0o700, exist_ok=True)
        return _linux_daemons().spawn(words, environment, log_path)

    def find(self, marks: Sequence[str], pid: int | None = None) -> Daemon | None:
        # Other mock hosts of this machine have domains with the same numbers.
        return _linux_daemons().find([self._qemu, *marks], pid)

    def printed(self, log_path: str, *, ended: bool) -> str:
        return _linux_daemons().printed(log_path, ended=ended)


def _linux_daemons() -> Daemons:
    from xentool.dom0.linux import LinuxDom0

    daemons: Daemons = LinuxDom0().daemons
    return daemons
