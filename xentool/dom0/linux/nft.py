"""Nftables commands by way of libnftables: what the program `nft` does, without starting one.

All commands of one text are one netlink batch, which the kernel carries out wholly or not at all,
and before the next one: neither a frame nor another process ever meets half of it.

Source: nftables/libnftables.h; libnftables(3).
"""

from __future__ import annotations

import ctypes

from xentool.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LIBRARY = "libnftables.so.1"
_OUTPUT_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON
_INSTALL = "install nftables' library: apt-get install libnftables1"


class NftError(HostError):
    """The kernel, or the library, refused the commands; `detail` has its words in full."""

    def about(self, action: str, subject: str) -> HostError:
        """The same error, about what the commands were for."""
        return HostError(action, subject, self.reason, hint=self.hint, detail=self.detail)


class Nft:
    """A context of the library: `run` commands in it."""

    def __init__(self) -> None:
        """Load the library.

        Raises:
            HostError: this Domain-0 has none.
        """
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError as exc:
            raise HostError("load", LIBRARY, str(exc), hint=_INSTALL) from exc
        pointer = ctypes.c_void_p
        library.nft_ctx_new.restype = pointer
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.restype = None
        library.nft_ctx_output_set_flags.restype = None
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
        for name in (
            "nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error",
            "nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer",
        ):  # fmt: skip
            getattr(library, name).argtypes = [pointer]
        library.nft_ctx_output_set_flags.argtypes = [pointer, ctypes.c_uint]
        library.nft_ctx_set_dry_run.restype = None
        library.nft_ctx_set_dry_run.argtypes = [pointer, ctypes.c_bool]
        library.nft_run_cmd_from_buffer.argtypes = [pointer, ctypes.c_char_p]
        self._library = library
        self._context = library.nft_ctx_new(0)
        if not self._context:
            raise HostError("open", LIBRARY, "it gives no context", hint="is Domain-0 out of memory?")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str, *, json: bool = False, dry_run: bool = False) -> str:
        """Carry out the commands, all or none; what they print. A `dry_run` only finds out whether it could.

        Raises:
            NftError: the kernel or the library refused.
        """
        library, context = self._library, self._context
        library.nft_ctx_output_set_flags(context, _OUTPUT_JSON if json else 0)
        library.nft_ctx_set_dry_run(context, dry_run)
        failed = library.nft_run_cmd_from_buffer(context, commands.encode("ascii"))
        # Both buffers are emptied by being read.
        printed: bytes = library.nft_ctx_get_output_buffer(context) or b""
        words = (library.nft_ctx_get_error_buffer(context) or b"").decode("utf-8", "replace").strip()
        if failed:
            first = words.split("\n", 1)[0].removeprefix("Error: ")
            raise NftError(
                "set rules with", "nftables", first or "the kernel refused", hint=_hint(words), detail=words
            )
        return printed.decode("utf-8", "replace")

    def close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hint(words: str) -> str:
    if "Operation not permitted" in words:
        return "are you root?"
    if "not supported" in words or "not available" in words:
        return "the kernel needs nf_tables with its bridge family: `modprobe nf_tables` says more"
    return "`nft list ruleset` shows what is there"
