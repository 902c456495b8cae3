"""QEMU as a child that cannot outlive its parent, with two wires to it: the console and the agent's port."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from xentool.errors import LabError
from xentool.lab.frames import PORT_NAME
from xentool.lab.tools import tool_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.lab.cache import Image

QEMU: Final = "qemu-system-x86_64"

# Without SMAP, because dom0 crashes in Xen's create_bounce_frame with it under TCG; without RDTSCP, because
# TCG's SVM cannot emulate it for PVH and HVM guests. Without XSAVE (and so without AVX), because with it the
# vector registers of dom0's processes change now and then once a guest has run beside them (QEMU 7.2).
# Without ERMS and FSRM, because who sees them copies and clears memory by an instruction that TCG carries out
# byte by byte.
_CPU: Final = "max,-smap,-rdtscp,-xsave,-erms,-fsrm"

# Besides the console: a crash ends the machine, and what dom0 would do at boot for its own security or for
# clocks that it does not use is left out, because it is a fifth of the boot under TCG.
_DOM0_COMMAND_LINE: Final = (
    "console=hvc0 panic=-1 net.ifnames=0 audit=0 apparmor=0 lsm=capability cryptomgr.notests"
    " initcall_blacklist=init_acpi_pm_clocksource"
)
# TCG knows what it has translated by its virtual address, too: where each process has its libraries at other
# addresses, it translates all of their code for each. A shell script takes twice as long then.
_SAME_ADDRESSES: Final = " norandmaps"

_PR_SET_PDEATHSIG: Final = 1


class Share(NamedTuple):
    """A folder of this machine (`host`), seen in dom0 as `path`."""

    host: str
    path: str
    writable: bool = False


class Machine(NamedTuple):
    """The size of the machine that Xen boots on, and what dom0 starts as its store daemon."""

    memory_mib: int = 4096
    dom0_memory_mib: int = 1536
    cpus: int = 2
    xenstored: str = "xenstored"
    """The program in Xen's folder: "xenstored" is the one in C, "oxenstored" the one in OCaml."""
    one_thread: bool = False
    """QEMU does all `cpus` in one thread. For labs side by side that have more of them together than this
    machine has: else Xen waits for CPUs that do not run, and all take thrice as long."""
    random_addresses: bool = False
    """Dom0's processes lie at random addresses, as a real host's do. For measurements: it costs a script that
    starts many programs half of its speed."""


DEFAULT_MACHINE: Final = Machine()


def command_line(
    image: Image, machine: Machine, shares: Sequence[Share], *, console_fd: int, port_fd: int, layer_fd: int
) -> list[str]:
    """QEMU's arguments. The descriptors are the machine's ends of the two wires, and the run's tar."""
    dom0_mib = machine.dom0_memory_mib
    # No "noreboot": a Xen or a dom0 that crashes reboots, and -no-reboot makes that QEMU's end.
    xen = f"dom0_mem={dom0_mib}M,max:{dom0_mib}M com1=115200,8n1 console=com1 loglvl=info"
    # What the kernel does not know it puts into the environment of dom0's init.
    words = _DOM0_COMMAND_LINE + ("" if machine.random_addresses else _SAME_ADDRESSES)
    kernel = f"{_escaped(image.path('vmlinuz'))} {words} XENSTORED={machine.xenstored}"
    modules = f"{kernel},{_escaped(image.path('initrd'))}"
    arguments = [
        QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc", "-accel", f"tcg,thread={'single' if machine.one_thread else 'multi'}", "-cpu", _CPU,
        "-smp", str(machine.cpus), "-m", str(machine.memory_mib),
        "-kernel", image.path("xen"), "-append", xen, "-initrd", modules,
        "-drive", f"file={_escaped(image.path('root.img'))},format=raw,if=virtio,snapshot=on",
        "-drive", f"file=/dev/fd/{layer_fd},format=raw,if=virtio,readonly=on",
        "-chardev", f"socket,id=console,fd={console_fd}", "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,fd={port_fd}",
        "-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=agent,name={PORT_NAME}",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip
    for number, share in enumerate(shares):
        mode = "" if share.writable else ",readonly=on"
        arguments += [
            "-fsdev",
            f"local,id=share{number},path={_escaped(share.host)},security_model=none{mode}",
            "-device",
            f"virtio-9p-pci,fsdev=share{number},mount_tag={share_tag(number)}",
        ]
    return arguments


def share_tag(number: int) -> str:
    """The 9p tag of the share of that number."""
    return f"share{number}"


def _escaped(path: str) -> str:
    """A path in one of QEMU's comma-separated options."""
    return path.replace(",", ",,")


class Qemu:
    """A running QEMU; leave the `with` block and it is gone.

    `console` is what Xen and dom0's kernel say, `port` the agent's, `pidfd` becomes readable when QEMU ends.
    """

    def __init__(self, image: Image, machine: Machine, shares: Sequence[Share], layer: bytes) -> None:
        self.console, console_end = socket.socketpair()
        self.port, port_end = socket.socketpair()
        layer_fd = os.memfd_create("xentool-lab-layer")
        # A file rather than a pipe, because nobody reads it while QEMU runs.
        self._errors = open(os.memfd_create("xentool-lab-errors"), "r+b")  # noqa: SIM115
        try:
            with open(layer_fd, "wb", closefd=False) as file:
                file.write(layer)
            arguments = command_line(
                image,
                machine,
                shares,
                console_fd=console_end.fileno(),
                port_fd=port_end.fileno(),
                layer_fd=layer_fd,
            )
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(console_end.fileno(), port_end.fileno(), layer_fd),
                env=tool_environment(),
                # A group of its own: ^C is for xentool, which ends QEMU when it has said why.
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 the child calls nothing that could hold a lock
            )
        except OSError as exc:
            self._close()
            raise LabError(
                "start", QEMU, exc.strerror or str(exc), hint="on Debian: apt-get install qemu-system-x86"
            ) from exc
        finally:
            console_end.close()
            port_end.close()
            os.close(layer_fd)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill QEMU, if it runs, and wait until it is gone. Its drives are snapshots: nothing is lost."""
        if self.pidfd >= 0:
            self._process.kill()
            self._process.wait()
            os.close(self.pidfd)
            self.pidfd = -1
            self._close()

    def last_words(self) -> str:
        """What a QEMU whose `pidfd` is readable wrote to its standard error."""
        self._process.wait()
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()

    def _close(self) -> None:
        self.console.close()
        self.port.close()
        self._errors.close()


def _die_with_parent() -> Callable[[], None]:
    """What a child runs before it becomes QEMU, so that the kernel kills it when this process is gone."""
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went before we could ask
            os.kill(os.getpid(), signal.SIGKILL)

    return ask
