"""The hypervisor port: what xentool needs of a hypervisor, and nothing else.

The port is the hypercall. Typed calls (`xentool.hypervisor.calls`) encode `abi`
structures into hypercall-safe memory and hand number and arguments on through
`Hypervisor.hypercall`. Real Xen and the mock decode the same bytes, so the
encoding is tested on every machine. Beside the hypercall there are the three
things that Linux does for a toolstack: mapping another domain's frames, event
channels, and grants.

Everything here that fails raises ``OSError`` with Xen's errno; the typed calls
turn it into `errors.XenError`, which says what that means. Everything that is
opened here is a context manager, and `close` may be called twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from array import array
    from types import TracebackType
    from typing import Self

    from xentool.units import DomId, Port


class Closing(Protocol):
    """Something that is given back with `close`, or by leaving a ``with``."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Buffer(Closing, Protocol):
    """Hypercall-safe memory, zeroed: the hypervisor can read and write it."""

    @property
    def address(self) -> int:
        """What goes into a guest handle (XEN_GUEST_HANDLE) that points here."""

    @property
    def view(self) -> memoryview:
        """The bytes, writable, format ``B``. Invalid after `close`."""


class Mapping(Closing, Protocol):
    """Frames of a domain, or of one of its resources, in our address space, contiguous."""

    @property
    def view(self) -> memoryview:
        """The bytes, format ``B``, in the order of the frames asked for. Invalid after `close`."""


class EventChannels(Closing, Protocol):
    """One handle on this domain's event channels (Linux: /dev/xen/evtchn).

    The ports bound through a handle go with it.
    """

    def fileno(self) -> int:
        """A descriptor that polls readable when a bound port is pending."""

    def bind_interdomain(self, remote: DomId, remote_port: Port) -> Port:
        """Connect to a port that `remote` left unbound for us; our own port."""

    def bind_virq(self, virq: int) -> Port: ...

    def alloc_unbound(self, remote: DomId) -> Port: ...

    def notify(self, port: Port) -> None: ...

    def pending(self) -> Port:
        """The next port that fired, masked until `unmask`. Blocks if there is none."""

    def unmask(self, port: Port) -> None: ...

    def unbind(self, port: Port) -> None: ...


class Hypervisor(Closing, Protocol):
    """A hypervisor, as seen from a privileged domain."""

    @property
    def kind(self) -> str:
        """``"xen"`` or ``"mock"``."""

    def hypercall(self, number: int, *arguments: int) -> int:
        """Carry out a hypercall with up to five arguments; its result, never negative.

        Raises:
            OSError: the hypercall returned -errno.
        """

    def buffer(self, size_bytes: int) -> Buffer:
        """Zeroed hypercall-safe memory of at least `size_bytes`, page-aligned."""

    def map_frames(self, domid: DomId, frames: array[int], *, writable: bool = True) -> Mapping:
        """Map `frames` (``array('Q')``: mfns for a PV domain, pfns for a translated one).

        All or nothing: one frame that cannot be mapped fails the call.
        """

    def map_resource(self, domid: DomId, kind: int, index: int, frame: int, count: int) -> Mapping:
        """Map `count` frames of a resource (XENMEM_resource_*: `kind`, `index`) from `frame` on.

        Raises:
            OSError: EOPNOTSUPP where the kernel or Xen knows no acquire_resource.
        """

    def map_grants(self, domid: DomId, references: array[int], *, writable: bool = True) -> Mapping:
        """Map the frames behind grant `references` (``array('I')``) of `domid`."""

    def event_channels(self) -> EventChannels: ...
