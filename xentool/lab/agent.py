"""The lab's half inside dom0: runs commands that come over the virtio port, and sends back what they say.

Started by dom0's init as the host's only service of ours. It imports little, because it is part of the boot.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

from xentool.lab.frames import (
    ERRORS,
    EXIT,
    INPUT,
    OUTPUT,
    PORT_NAME,
    READY,
    REQUEST,
    SIZE,
    FrameReader,
    encode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_CHUNK = 1 << 16
_PORTS = "/sys/class/virtio-ports"


def open_port() -> int:
    """The virtio port's descriptor."""
    for name in os.listdir(_PORTS):
        with open(f"{_PORTS}/{name}/name", encoding="ascii") as file:
            if file.read().strip() == PORT_NAME:
                return os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
    raise FileNotFoundError(PORT_NAME)


def facts() -> dict[str, object]:
    """What the booted host is."""
    version = []
    for part in ("major", "minor", "extra"):
        with open(f"/sys/hypervisor/version/{part}", encoding="ascii") as file:
            version.append(file.read().strip())
    return {"xen": f"{version[0]}.{version[1]}{version[2]}", "kernel": os.uname().release}


class Command:
    """One command that runs, as `request` (the frame's JSON) says."""

    def __init__(self, port: int, request: dict[str, Any]) -> None:
        self._port = port
        self._input = bytearray()
        self._input_ended = False
        self._terminal = bool(request.get("terminal"))
        # By descriptor: the kind of frame in which what it says is sent.
        self._outputs: dict[int, bytes] = {}
        self._started = time.monotonic()
        self.pid = self._start_on_terminal(request) if self._terminal else self._start(request)
        self._pidfd = os.pidfd_open(self.pid)

    def _start(self, request: dict[str, Any]) -> int:
        input_end, self._stdin = os.pipe()
        output, output_end = os.pipe()
        errors, errors_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for number, fd in enumerate((input_end, output_end, errors_end)):
                os.dup2(fd, number)
            _execute(request)
        for fd in (input_end, output_end, errors_end):
            os.close(fd)
        for fd in (self._stdin, output, errors):
            os.set_blocking(fd, False)
        self._outputs = {output: OUTPUT, errors: ERRORS}
        return pid

    def _start_on_terminal(self, request: dict[str, Any]) -> int:
        import pty

        pid, self._stdin = pty.fork()
        if pid == 0:
            _execute(request)
        os.set_blocking(self._stdin, False)
        self._outputs = {self._stdin: OUTPUT}
        return pid

    def run(self, reader: FrameReader) -> None:
        """Pass bytes both ways until the command ends, and say how it ended."""
        # What came in one piece with the request.
        for kind, payload in reader.feed(b""):
            self._take(kind, payload)
        while True:
            poll = select.poll()
            poll.register(self._port, select.POLLIN)
            poll.register(self._pidfd, select.POLLIN)
            for fd in self._outputs:
                poll.register(
                    fd, select.POLLIN | (select.POLLOUT if fd == self._stdin and self._input else 0)
                )
            if self._input and self._stdin not in self._outputs:
                poll.register(self._stdin, select.POLLOUT)
            ready = dict(poll.poll())
            if self._port in ready:
                for kind, payload in reader.feed(os.read(self._port, _CHUNK)):
                    self._take(kind, payload)
            if ready.get(self._stdin, 0) & (select.POLLOUT | select.POLLERR):
                self._pass_input()
            for fd in [fd for fd in self._outputs if fd in ready]:
                self._pass_output(fd)
            if self._pidfd in ready:
                break
        self._finish()

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == SIZE and self._terminal:
            resize(self._stdin, *json.loads(payload))
        elif kind == INPUT and payload:
            self._input += payload
        elif kind == INPUT:
            self._input_ended = True
            self._end_input()

    def _pass_input(self) -> None:
        try:
            del self._input[: os.write(self._stdin, self._input)]
        except BlockingIOError:
            return
        except OSError:
            # The command does not read any more: what is left for it is lost, as in a pipe of a shell.
            self._input.clear()
        self._end_input()

    def _end_input(self) -> None:
        if self._input_ended and not self._input and not self._terminal and self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def _pass_output(self, fd: int) -> bool:
        """Send on what can be read; whether there was anything."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a terminal that nobody has open any more
        if data:
            send(self._port, self._outputs[fd], data)
            return True
        del self._outputs[fd]
        if fd != self._stdin:
            os.close(fd)
        return False

    def _finish(self) -> None:
        # Daemons that the command left may hold its pipes for ever: what is in them now is the command's.
        for fd in list(self._outputs):
            while self._pass_output(fd):
                pass
        for fd in {*self._outputs, self._pidfd, self._stdin} - {-1}:
            os.close(fd)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - self._started
        send_json(self._port, EXIT, {"code": code if code >= 0 else 128 - code, "seconds": seconds})


def _execute(request: dict[str, Any]) -> NoReturn:
    """Become the command, in the child. As in a shell, 127 if there is none such, 126 if it cannot be run."""
    command = request["command"]
    subject = command[0]
    try:
        if request.get("size"):
            resize(0, *request["size"])
        subject = request["folder"]
        os.chdir(subject)
        subject = command[0]
        os.execvpe(command[0], command, {**os.environ, **request["environment"]})  # noqa: S606
    except OSError as exc:
        os.write(2, f"lab: {subject}: {exc.strerror}\n".encode())
        os._exit(127 if isinstance(exc, FileNotFoundError) else 126)


def resize(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal its size."""
    import fcntl
    import struct
    import termios

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def send(port: int, kind: bytes, payload: bytes) -> None:
    """Send one frame, all of it."""
    data = memoryview(encode(kind, payload))
    while data:
        data = data[os.write(port, data) :]


def send_json(port: int, kind: bytes, value: object) -> None:
    """Send one frame with JSON in it."""
    send(port, kind, json.dumps(value).encode())


def mount(shares: list[list[str]]) -> str:
    """Mount the machine's folders, [tag, path, "ro" or "rw"]; what went wrong, or "" if nothing did."""
    import subprocess

    for tag, path, mode in shares:
        if os.path.ismount(path):
            continue
        os.makedirs(path, exist_ok=True)
        options = f"trans=virtio,version=9p2000.L,msize=524288,{mode}"
        done = subprocess.run(
            ["mount", "-t", "9p", "-o", options, tag, path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"cannot mount {path}: {done.stderr.strip()}"
    return ""


def main() -> int:
    """Serve commands, one after another, until the lab takes the host away."""
    port = open_port()
    reader = FrameReader()
    send_json(port, READY, facts())
    while True:
        data = os.read(port, _CHUNK)
        if not data:
            return 1  # the lab closed its end
        for kind, payload in reader.feed(data):
            # Input that comes after its command has ended is nobody's.
            if kind == REQUEST:
                request = json.loads(payload)
                failure = mount(request["shares"])
                if failure:
                    send_json(port, EXIT, {"failure": failure})
                else:
                    Command(port, request).run(reader)


if __name__ == "__main__":
    sys.exit(main())
