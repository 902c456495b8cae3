"""The audit: clean on what toolstacks make, and each rule finds what it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.abi.xen import DOMID_ANY
from xentool.domain.config.model import DomainConfig
from xentool.domain.nodes import console_nodes, identity_nodes, image_nodes
from xentool.store.client import StoreClient
from xentool.store.local import LocalTransport
from xentool.store.server import Server
from xentool.store.snapshot import StoreNode, settled_tree
from xentool.toolstack.audit.facts import Facts, LiveDomain
from xentool.toolstack.audit.findings import ERROR, NOTICE, WARNING, Finding
from xentool.toolstack.audit.rules import RULES, check
from xentool.units import DomId, Mfn, Port

ZERO = "00000000-0000-0000-0000-000000000000"
UUID = {domid: f"5a3c1f60-8a1c-4e6b-9d2f-{domid:012}" for domid in range(20)}
LIVE = [LiveDomain(0, ZERO), LiveDomain(3, UUID[3]), LiveDomain(4, UUID[4])]

FRONT = "/local/domain/3/device/vif/0"
BACK = "/local/domain/0/backend/vif/3/0"
RECORD = "/libxl/3/device/vif/0"


def add_domain(store: StoreClient, domid: int, name: str) -> None:
    """What a toolstack writes for a PV guest, as on real Xen."""
    config = DomainConfig(name=name, kernel="/kernel", memory_kib=8192)
    target = DomId(domid)
    nodes = [
        *identity_nodes(target, config, UUID[domid]),
        *image_nodes(target, config, UUID[domid], Port(1), Mfn(2), "1.00"),
        *console_nodes(target, DomId(0), Port(2), Mfn(3)),
    ]
    with store.batch() as batch:
        for node in nodes:
            batch.write(node.path, node.value, node.permissions)
        batch.write(f"/local/domain/{domid}/console/tty", "/dev/pts/3")


def add_device(store: StoreClient, domid: int, kind: str, devid: int, host: int = 0) -> None:
    """A device whose two ends are connected, with libxl's permissions."""
    front = f"/local/domain/{domid}/device/{kind}/{devid}"
    back = f"/local/domain/{host}/backend/{kind}/{domid}/{devid}"
    record = f"/libxl/{domid}/device/{kind}/{devid}"
    guests, hosts = [f"n{domid}", f"r{host}"], [f"n{host}", f"r{domid}"]
    with store.batch() as batch:
        batch.write(front, "", guests)
        batch.write(f"{front}/backend", back)
        batch.write(f"{front}/backend-id", str(host), guests)
        batch.write(f"{front}/state", "4", guests)
        batch.write(f"{front}/mtu", "1500", hosts)
        batch.write(back, "", hosts)
        for name, value in (
            ("frontend", front),
            ("frontend-id", str(domid)),
            ("online", "1"),
            ("state", "4"),
        ):
            batch.write(f"{back}/{name}", value, hosts)
        batch.write(f"{back}/hotplug-status", "connected", hosts)
        batch.write(f"{record}/frontend", front)
        batch.write(f"{record}/backend", back)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def store(server: Server) -> StoreClient:
    """Domain-0, and the guests 3 (with a network card) and 4."""
    client = StoreClient(transport=LocalTransport(server.connect()))
    client.write("/local/domain/0/domid", "0")
    client.write("/local/domain/0/name", "Domain-0")
    add_domain(client, 3, "web")
    add_domain(client, 4, "mail")
    add_device(client, 3, "vif", 0)
    return client


def audited(
    store: StoreClient, live: Sequence[LiveDomain] = LIVE, changing: Sequence[int] = ()
) -> list[Finding]:
    return check(Facts(settled_tree(store, "/").nodes, live, changing))


def test_what_toolstacks_make_is_clean(store: StoreClient) -> None:
    assert audited(store) == []


def test_a_guest_at_work_is_clean(server: Server, store: StoreClient) -> None:
    guest = StoreClient(transport=LocalTransport(server.connect(3)))
    for path in ("data/x/y", "attr/vif/0/name", "error/device/vif/0", "feature/balloon", "drivers/0"):
        guest.write(path, "1")
    guest.write("control/feature-poweroff", "1")
    guest.write("control/shutdown", "")
    guest.write("device/vif/0/feature-rx-copy", "1")
    guest.write("device/suspend/event-channel", "7")
    guest.set_perms("data", ["n3", "b-1", "b40000"])  # which are no domains, and hurt nobody
    assert audited(store) == []


def test_a_driver_domain_is_clean(store: StoreClient) -> None:
    add_device(store, 4, "vbd", 51712, host=3)
    _write(store, "/local/domain/3/libxl", "", ["n3"])
    _write(store, "/local/domain/3/libxl/4/qdisk-backend-pid", "1", ["n3"])
    assert audited(store) == []


def test_a_stub_domain_may_write_what_its_guest_may(store: StoreClient) -> None:
    _write(store, "/local/domain/3/data/x", "1", ["n4"])
    assert [finding.rule for finding in audited(store)] == ["guest-writable"]
    store.write("/local/domain/4/target", "3")
    assert audited(store) == []


def test_the_domain_of_the_store_is_no_guest(store: StoreClient) -> None:
    _write(store, "/x", "1", ["n9"])
    assert [finding.rule for finding in audited(store)] == ["stale-permission"]
    store.write("/tool/xenstored/domid", "9")
    assert audited(store) == []


def writes(path: str, value: str, *permissions: str) -> Callable[[StoreClient], None]:
    return lambda store: (
        store.write(path, value) if not permissions else _write(store, path, value, permissions)
    )


def _write(store: StoreClient, path: str, value: str, permissions: Sequence[str]) -> None:
    store.write(path, value)
    store.set_perms(path, permissions)


def rights(path: str, *permissions: str) -> Callable[[StoreClient], None]:
    return lambda store: store.set_perms(path, permissions)


def removes(path: str) -> Callable[[StoreClient], None]:
    return lambda store: store.rm(path)


def both(*steps: Callable[[StoreClient], None]) -> Callable[[StoreClient], None]:
    def do(store: StoreClient) -> None:
        for step in steps:
            step(store)

    return do


def states(front: str, back: str) -> Callable[[StoreClient], None]:
    return both(writes(f"{FRONT}/state", front), writes(f"{BACK}/state", back))


DOM0 = "/local/domain/0"
HOME = "/local/domain/3"
# rule, severity, where it is found, and what was done: each alone, in a clean store
SEEDS: list[tuple[str, str, str, Callable[[StoreClient], None]]] = [
    *(
        ("guest-writable", ERROR, f"{HOME}/console/{name}", rights(f"{HOME}/console/{name}", "n0", "b3"))
        for name in ("tty", "output", "limit", "type", "port", "ring-ref", "backend")
    ),
    ("guest-writable", ERROR, f"{HOME}/console", rights(f"{HOME}/console", "n3", "r0")),
    ("guest-writable", ERROR, BACK, rights(BACK, "n0", "b3")),
    ("guest-writable", ERROR, f"{BACK}/state", rights(f"{BACK}/state", "n0", "w3")),
    ("guest-writable", ERROR, "/libxl/3", rights("/libxl/3", "n0", "b3")),
    ("guest-writable", ERROR, f"{RECORD}/backend", rights(f"{RECORD}/backend", "n3")),
    ("guest-writable", ERROR, f"/vm/{UUID[3]}", rights(f"/vm/{UUID[3]}", "n0", "b3")),
    ("guest-writable", ERROR, f"{HOME}/device", rights(f"{HOME}/device", "n3")),
    ("guest-writable", ERROR, f"{HOME}/device/vif", rights(f"{HOME}/device/vif", "n3")),
    ("guest-writable", ERROR, HOME, rights(HOME, "n3")),
    ("guest-writable", ERROR, f"{HOME}/name", rights(f"{HOME}/name", "n0", "b3")),
    ("guest-writable", ERROR, f"{HOME}/memory/target", rights(f"{HOME}/memory/target", "w0")),
    ("guest-writable", ERROR, f"{HOME}/control/x", writes(f"{HOME}/control/x", "", "n3")),
    ("guest-writable", ERROR, "/local/domain/4/data", rights("/local/domain/4/data", "n4", "b3")),
    ("guest-writable", ERROR, "/tool", rights("/tool", "b0")),
    ("guest-writable", ERROR, "/", rights("/", "n0", "w4")),
    ("guest-writable", ERROR, f"{HOME}/data", rights(f"{HOME}/data", "n3", f"w{DOMID_ANY}")),
    ("guest-writable", ERROR, "/local/domain/3/backend", writes("/local/domain/3/backend", "", "n3")),
    ("owner", ERROR, FRONT, rights(FRONT, "n0", "r3")),
    ("owner", ERROR, BACK, rights(BACK, "n4", "r3")),
    ("owner", ERROR, f"{HOME}/console", rights(f"{HOME}/console", "n3", "r0")),
    ("stale-permission", WARNING, f"{HOME}/data", rights(f"{HOME}/data", "n3", "r9")),
    ("stale-permission", ERROR, f"{HOME}/name", rights(f"{HOME}/name", "n0", "r3", "b9")),
    ("stale-permission", WARNING, f"{HOME}/attr", rights(f"{HOME}/attr", "n9", "b3")),
    ("link", ERROR, f"{FRONT}/backend", writes(f"{FRONT}/backend", "/local/domain/0/backend/vif/4/0")),
    ("link", ERROR, f"{FRONT}/backend-id", writes(f"{FRONT}/backend-id", "4")),
    ("link", ERROR, f"{BACK}/frontend", writes(f"{BACK}/frontend", "/local/domain/4/device/vif/0")),
    ("link", ERROR, f"{BACK}/frontend-id", writes(f"{BACK}/frontend-id", "4")),
    ("link", ERROR, RECORD, writes(f"{RECORD}/backend", "/local/domain/0/backend/vif/4/0")),
    *(
        ("link", ERROR, RECORD, writes(f"{RECORD}/{end}", value))
        for end in ("frontend", "backend")
        for value in ("/local/domain/0/backend/\x1b[2J/3/0", "/x;reboot", "x", f"{FRONT}/", f"{FRONT};reboot")
    ),
    ("link", ERROR, f"{HOME}/console/backend", writes(f"{HOME}/console/backend", "/tool")),
    ("console", ERROR, f"{HOME}/console/tty", writes(f"{HOME}/console/tty", "/etc/shadow")),
    ("console", ERROR, f"{HOME}/console/tty", writes(f"{HOME}/console/tty", "/dev/pts/../sda")),
    ("half-plugged", WARNING, FRONT, removes(FRONT)),
    ("half-plugged", WARNING, BACK, removes(BACK)),
    ("half-plugged", WARNING, FRONT, removes(RECORD)),
    ("half-plugged", WARNING, BACK, removes(RECORD)),
    ("half-plugged", WARNING, f"{HOME}/console", removes("/libxl/3/device/console")),
    ("half-plugged", WARNING, f"{HOME}/device/vbd/1", writes(f"{HOME}/device/vbd/1", "", "n3", "r0")),
    ("states", WARNING, f"{FRONT}/state", states("4", "2")),
    ("states", WARNING, f"{FRONT}/state", states("3", "4")),
    ("states", WARNING, f"{FRONT}/state", states("6", "6")),
    ("states", WARNING, f"{FRONT}/state", states("4", "6")),
    ("states", WARNING, f"{FRONT}/state", states("5", "4")),
    ("states", WARNING, f"{BACK}/state", states("4", "x")),
    ("states", WARNING, f"{FRONT}/state", states("", "4")),
    ("states", NOTICE, f"{FRONT}/state", states("1", "2")),
    ("states", NOTICE, f"{FRONT}/state", states("6", "2")),
    ("hotplug", ERROR, f"{BACK}/hotplug-error", writes(f"{BACK}/hotplug-error", "no bridge \x1b[2J")),
    ("hotplug", ERROR, f"{BACK}/hotplug-status", writes(f"{BACK}/hotplug-status", "error")),
    ("gone-domain", WARNING, "/local/domain/9", writes("/local/domain/9/x", "")),
    ("gone-domain", WARNING, "/libxl/9", writes("/libxl/9", "")),
    ("gone-domain", WARNING, f"/vm/{UUID[9]}", writes(f"/vm/{UUID[9]}/name", "x")),
    ("gone-domain", WARNING, f"{DOM0}/backend/vbd/9/1", writes(f"{DOM0}/backend/vbd/9/1/state", "6")),
    ("gone-domain", WARNING, f"{DOM0}/device-model/9", writes(f"{DOM0}/device-model/9/state", "x")),
    ("no-nodes", WARNING, HOME, removes(HOME)),
    ("no-nodes", WARNING, f"{HOME}/name", removes(f"{HOME}/name")),
    ("no-nodes", WARNING, "/libxl/3", removes("/libxl/3")),
    ("no-nodes", WARNING, f"/vm/{UUID[3]}", removes(f"/vm/{UUID[3]}")),
    ("identity", ERROR, f"{HOME}/domid", writes(f"{HOME}/domid", "4")),
    ("identity", ERROR, f"{HOME}/vm", writes(f"{HOME}/vm", f"/vm/{UUID[4]}")),
    ("identity", ERROR, f"/vm/{UUID[3]}/uuid", writes(f"/vm/{UUID[3]}/uuid", UUID[4])),
    ("name", ERROR, f"{HOME}/name", writes(f"{HOME}/name", "mail")),
    ("name", WARNING, "/local/domain/1/name", writes("/local/domain/1/name", "web")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "severity", "path", "seed"), SEEDS, ids=[f"{rule}-{path}" for rule, _, path, _ in SEEDS]
)
def test_each_fault_is_found_where_it_is(
    store: StoreClient, rule: str, severity: str, path: str, seed: Callable[[StoreClient], None]
) -> None:
    seed(store)
    found = audited(store)
    assert (rule, severity, path) in [(finding.rule, finding.severity, finding.path) for finding in found]
    for finding in found:
        assert finding.what
        assert finding.remedy
        assert finding.what.isprintable()
        assert finding.remedy.isprintable()
        assert "reboot" not in finding.remedy, "what a guest may have written is nothing to type"


def test_every_rule_has_a_fault_to_find() -> None:
    assert {rule for rule, *_ in SEEDS} == {rule.name for rule in RULES}


def test_a_writable_tree_is_one_finding(store: StoreClient) -> None:
    with store.batch() as batch:
        for path in store.tree(BACK):
            batch.set_perms(path, ["n0", "b3"])
    assert [(finding.rule, finding.path) for finding in audited(store)] == [("guest-writable", BACK)]


def test_doing_what_it_says_mends_permissions(store: StoreClient) -> None:
    for path in (
        f"{HOME}/console/tty",
        BACK,
        "/libxl/3",
        f"/vm/{UUID[3]}",
        f"{HOME}/device",
        f"{HOME}/name",
        FRONT,
    ):
        good = store.get_perms(path)
        store.set_perms(path, ["n4", "b3", "w9"])
        for _ in range(3):
            for finding in audited(store):
                words = finding.remedy.split()
                assert words[:3] == ["xentool", "store", "chmod"]
                store.set_perms(path, [word for word in words[3:] if word not in ("-r", path)])
        assert audited(store) == []
        assert {str(entry) for entry in good} >= {str(entry) for entry in store.get_perms(path)[:1]}


def test_domains_that_come_and_go_are_left_in_peace(store: StoreClient) -> None:
    """A domain that is being made or taken away while the store is read has but a part of its nodes."""
    store.rm("/libxl/3")
    store.rm(f"/vm/{UUID[3]}")
    assert audited(store)
    assert audited(store, changing=[3]) == []
    assert audited(store, [LIVE[0], LIVE[2]], changing=[3]) == []
    dying = [LIVE[0], LiveDomain(3, UUID[3], dying=True), LIVE[2]]
    assert [finding.rule for finding in audited(store, dying)] == []


def test_what_a_gone_domain_left_is_one_finding_a_tree(store: StoreClient) -> None:
    found = audited(store, [LIVE[0], LIVE[2]])
    assert {finding.rule for finding in found} == {"gone-domain"}
    assert [finding.path for finding in found] == [
        "/libxl/3",
        "/local/domain/0/backend/console/3/0",
        BACK,
        HOME,
        f"/vm/{UUID[3]}",
    ]


def test_what_is_in_a_gone_domains_tree_is_no_finding_of_its_own(store: StoreClient) -> None:
    store.write("/local/domain/9/backend/vbd/8/1/state", "6")
    store.write("/local/domain/9/device-model/8/state", "running")
    assert [finding.path for finding in audited(store)] == ["/local/domain/9"]


def test_findings_come_gravest_first(store: StoreClient) -> None:
    store.write("/libxl/9", "")
    states("1", "2")(store)
    store.set_perms(f"{HOME}/name", ["n3"])
    assert [finding.severity for finding in audited(store)] == [ERROR, WARNING, NOTICE]


def test_rules_can_be_left_out(store: StoreClient) -> None:
    store.write("/libxl/9", "")
    facts = Facts(settled_tree(store, "/").nodes, LIVE)
    assert check(facts, ignore=["gone-domain"]) == []


STRANGE = [
    b"/local/domain/0/backend/\x1b[2J/3/0",
    b"/local/domain/3/device/vif/0;reboot",
    b"/x\x1b[2J",
    b"$(reboot)",
]
WORDS = st.sampled_from(
    ["local", "domain", "libxl", "vm", "tool", "device", "backend", "console", "vif", "0", "3", "9", "007",
     "state", "frontend", "xenstored", "domid", "target", "name", "tty", "-", UUID[3], "99999999999"]
)  # fmt: skip
TREES = st.lists(
    st.tuples(
        st.lists(WORDS, min_size=1, max_size=7),
        st.binary(max_size=8)
        | st.sampled_from(
            [b"3", b"4", BACK.encode(), FRONT.encode(), "\u00b2".encode(), b"/local/domain/x/y", *STRANGE]
        ),
        st.sampled_from([("n0",), ("n3",), ("b0", "r3"), ("n9", "w3"), ("r0", "b4", "n4"), None]),
    ),
    max_size=30,
)


@given(nodes=TREES)
def test_no_tree_is_too_strange_and_nothing_of_it_reaches_a_terminal(
    nodes: list[tuple[list[str], bytes, tuple[str, ...] | None]],
) -> None:
    tree = {"/": StoreNode(b"", ("n0",))}
    for words, value, permissions in nodes:
        for depth in range(1, len(words) + 1):
            above, name = "/" + "/".join(words[: depth - 1]), words[depth - 1]
            path = f"{above.rstrip('/')}/{name}"
            if path not in tree:
                tree[above].children += (name,)
            tree[path] = StoreNode(value, permissions, tree[path].children if path in tree else ())
    for finding in check(Facts(tree, LIVE)):
        assert finding.what.isprintable()
        assert finding.remedy.isprintable()
        assert "reboot" not in finding.remedy
        assert finding.path.isprintable()
