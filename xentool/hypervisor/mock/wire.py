"""What a caller and the mock host say to each other about the hypervisor.

One packet is one request of ten signed 64-bit words (its number, what is asked, eight
arguments), and one packet the answer of three (the request's number, an errno or 0, the
result). The number tells a caller that was interrupted between the two which answers
are too late. Descriptors travel beside them; lists of frames go through the arena that
both have mapped.
"""

from __future__ import annotations

from struct import Struct

REQUEST = Struct("=10q")
ANSWER = Struct("=3q")

VERSION = 1

# What a caller can ask. The first one brings the arena's descriptor; its answer the memory's.
HELLO, HYPERCALL, MAP_FRAMES, MAP_RESOURCE, MAP_GRANTS, UNMAP = range(6)
EVENTS_OPEN, EVENTS, EVENTS_CLOSE, STOP = range(6, 10)

# Operations on an event handle, by the port's names; a request carries the index.
EVENT_OPERATIONS = ("bind_interdomain", "bind_virq", "alloc_unbound", "notify", "unmask", "unbind")
