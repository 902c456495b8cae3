"""Event channels.

Source: public/event_channel.h. The VIRQ_* numbers are in `xentool.abi.xen`, as in Xen's headers.
"""

from __future__ import annotations

from xentool.abi.layout import Struct

EVTCHNOP_bind_interdomain = 0
EVTCHNOP_bind_virq = 1
EVTCHNOP_bind_pirq = 2
EVTCHNOP_close = 3
EVTCHNOP_send = 4
EVTCHNOP_status = 5
EVTCHNOP_alloc_unbound = 6
EVTCHNOP_bind_ipi = 7
EVTCHNOP_bind_vcpu = 8
EVTCHNOP_unmask = 9
EVTCHNOP_reset = 10
EVTCHNOP_init_control = 11
EVTCHNOP_expand_array = 12
EVTCHNOP_set_priority = 13

EVTCHNSTAT_closed = 0
EVTCHNSTAT_unbound = 1
EVTCHNSTAT_interdomain = 2
EVTCHNSTAT_pirq = 3
EVTCHNSTAT_virq = 4
EVTCHNSTAT_ipi = 5

EVTCHN_2L_NR_CHANNELS = 4096

evtchn_alloc_unbound = Struct(
    "struct evtchn_alloc_unbound", 8, {"dom": (0, "H"), "remote_dom": (2, "H"), "port": (4, "I")}
)

evtchn_bind_interdomain = Struct(
    "struct evtchn_bind_interdomain",
    12,
    {"remote_dom": (0, "H"), "remote_port": (4, "I"), "local_port": (8, "I")},
)

evtchn_bind_virq = Struct(
    "struct evtchn_bind_virq", 12, {"virq": (0, "I"), "vcpu": (4, "I"), "port": (8, "I")}
)

evtchn_close = Struct("struct evtchn_close", 4, {"port": (0, "I")})
evtchn_send = Struct("struct evtchn_send", 4, {"port": (0, "I")})
evtchn_unmask = Struct("struct evtchn_unmask", 4, {"port": (0, "I")})
evtchn_reset = Struct("struct evtchn_reset", 2, {"dom": (0, "H")})

evtchn_status = Struct(
    "struct evtchn_status",
    24,
    {
        "dom": (0, "H"),
        "port": (4, "I"),
        "status": (8, "I"),
        "vcpu": (12, "I"),
        "unbound_dom": (16, "H", "u.unbound.dom"),
        "interdomain_dom": (16, "H", "u.interdomain.dom"),
        "interdomain_port": (20, "I", "u.interdomain.port"),
        "virq": (16, "I", "u.virq"),
    },
)
