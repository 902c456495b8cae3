"""The log that an administrator can switch on: what is asked, as it is asked.

CONTROL ``log on|off``, ``logfile FILE`` and ``memreport`` use it. It is off until
somebody asks for it, and costs nothing while it is.

Source: tools/xenstore/xenstored_core.c (trace_io, reopen_log) and
xenstored_control.c (4.17).
"""

from __future__ import annotations

import os

from xentool.store.codec import operation_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from xentool.store.codec import Message
    from xentool.store.connection import Connection
    from xentool.store.server import Server


class TraceLog:
    """A file that gets a line per request. `switches`: which kinds of lines are wanted."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._descriptor = -1
        self.path = ""
        self.switches = {"io": True}

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    def open(self) -> None:
        """Write on at the end of `path` from now on; without a path, to the server's own log.

        Raises:
            OSError: the file cannot be opened.
        """
        self.close()
        if self.path:
            self._descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        self._server.observe(self._request)

    def close(self) -> None:
        self._server.observe(None)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def line(self, text: str) -> None:
        if self._descriptor < 0:
            self._server.log(text)
            return
        try:
            os.write(self._descriptor, text.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as exc:
            # A full disk must not stop the store.
            self.close()
            self._server.log(f"log {self.path}: {exc.strerror}; the log is off now")

    def _request(self, connection: Connection, message: Message) -> None:
        from time import strftime

        if self.switches["io"]:
            kind, _, tx_id, payload = message
            shown = payload.replace(b"\0", b" ").decode("latin-1").encode("unicode_escape").decode("ascii")
            within = f" in transaction {tx_id}" if tx_id else ""
            self.line(
                f"io: IN {connection.serial} (d{connection.domid}) {strftime('%Y%m%d %H:%M:%S')}"
                f" {operation_name(kind)}{within} ({shown})"
            )
