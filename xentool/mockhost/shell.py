"""The shell on a simulated guest's console: enough commands to see that a guest is alive."""

from __future__ import annotations

from xentool.abi import sched
from xentool.devices.xenbus import CONNECTED
from xentool.errors import StoreError, TimedOutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.mockhost.guest import Guest

_PROMPT = "mock# "
_LINE_LIMIT = 1024


class Shell:
    """Reads lines from the console, with the echo that a terminal's driver gives."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._line = ""
        self._commands: dict[str, tuple[str, Callable[[list[str]], None]]] = {
            "help": ("this list", self._help),
            "uname": ("what runs here", self._uname),
            "free": ("memory, in KiB", self._free),
            "cat": ("/proc/cmdline: the command line", self._cat),
            "xenstore-read": ("PATH: a node's value", self._read),
            "xenstore-ls": ("[PATH]: a node's children", self._list),
            "ip": ("link: the network interfaces", self._ip),
            "lsblk": ("the disks", self._lsblk),
            "poweroff": ("shut down", lambda _: guest.shut_down(sched.SHUTDOWN_poweroff)),
            "reboot": ("shut down, to be started again", lambda _: guest.shut_down(sched.SHUTDOWN_reboot)),
            "crash": ("crash", lambda _: guest.shut_down(sched.SHUTDOWN_crash)),
        }

    def start(self) -> None:
        self._guest.print(f"Mock guest ready; `help` lists commands.\n{_PROMPT}")

    def typed(self, data: bytes) -> None:
        """Characters from the console."""
        for character in data.decode("utf-8", "replace"):
            if character in "\r\n":
                line, self._line = self._line, ""
                self._guest.print("\n")
                self._run(line)
                if self._guest.alive:
                    self._guest.print(_PROMPT)
            elif character in "\x7f\b":
                if self._line:
                    self._line = self._line[:-1]
                    self._guest.print("\b \b")
            elif character == "\x03":
                self._line = ""
                self._guest.print(f"^C\n{_PROMPT}")
            elif character.isprintable() and len(self._line) < _LINE_LIMIT:
                self._line += character
                self._guest.print(character)

    def _run(self, line: str) -> None:
        name, *arguments = line.split() or [""]
        if not name:
            return
        command = self._commands.get(name)
        if command is None:
            self._guest.print(f"{name}: not found\n")
            return
        try:
            command[1](arguments)
        except (StoreError, TimedOutError) as error:
            self._guest.print(f"{name}: {error}\n")

    def _help(self, _arguments: list[str]) -> None:
        lines = [f"  {name:<14} {what}\n" for name, (what, _) in self._commands.items()]
        self._guest.print("".join(lines))

    def _uname(self, _arguments: list[str]) -> None:
        self._guest.print("Linux mock 6.1.0-mock x86_64\n")

    def _free(self, _arguments: list[str]) -> None:
        self._guest.print(f"Mem: {self._guest.domain.total_pages * 4}\n")

    def _cat(self, arguments: list[str]) -> None:
        if arguments == ["/proc/cmdline"]:
            self._guest.print(f"{self._guest.command_line}\n")
        else:
            self._guest.print("cat: only /proc/cmdline is here\n")

    def _read(self, arguments: list[str]) -> None:
        if self._guest.store is None or len(arguments) != 1:
            self._guest.print("usage: xenstore-read PATH, with a store\n")
            return
        self._guest.print(f"{self._guest.store.read_text(arguments[0])}\n")

    def _ip(self, arguments: list[str]) -> None:
        if arguments not in (["link"], ["l"], ["a"], ["addr"]):
            self._guest.print("usage: ip link\n")
            return
        lines = ["1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN\n"]
        frontends = self._guest.frontends
        for index, interface in enumerate(frontends.interfaces if frontends else (), 2):
            is_up = interface.state == CONNECTED
            lines.append(
                f"{index}: {interface.name}: <BROADCAST,MULTICAST{',UP,LOWER_UP' if is_up else ''}> "
                f"mtu {interface.mtu} state {'UP' if is_up else 'DOWN'}\n"
                f"    link/ether {interface.mac} brd ff:ff:ff:ff:ff:ff\n"
            )
        self._guest.print("".join(lines))

    def _lsblk(self, _arguments: list[str]) -> None:
        lines = ["NAME        SIZE RO TYPE\n"]
        frontends = self._guest.frontends
        for disk in frontends.disks if frontends else ():
            if disk.state == CONNECTED:
                size, kind = f"{disk.sectors / 2048:g}M", "rom" if disk.is_cdrom else "disk"
                lines.append(f"{disk.name:<8} {size:>7} {int(disk.read_only):>2} {kind}\n")
        self._guest.print("".join(lines))

    def _list(self, arguments: list[str]) -> None:
        if self._guest.store is None:
            self._guest.print("no store\n")
            return
        path = arguments[0] if arguments else f"/local/domain/{self._guest.domain.domid}"
        self._guest.print("".join(f"{name}\n" for name in self._guest.store.directory(path)))
