"""The holes that others had, made anew in our code: each as small as it can be.

Each takes a monkeypatch, and is put in before there is a server.

Source: the patches named XSA-… in the history of tools/xenstore, tools/xenstored
and tools/ocaml/xenstored.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from xentool.abi import xs_wire
from xentool.store import access, codec, connection, paths, requests, server, watch_requests, watches
from xentool.store.connection import Connection
from xentool.store.domains import Domain, Domains, without_domain
from xentool.store.quota import Quota
from xentool.store.ratelimit import WriteRate
from xentool.store.refusal import Refused
from xentool.store.server import Server
from xentool.store.transactions import ABSENT, Touched, Transaction
from xentool.store.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from xentool.store.access import View
    from xentool.store.tree import Node


def no_limit(*attributes: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The quotas in `attributes` do not exist."""

    def seed(patch: pytest.MonkeyPatch) -> None:
        begin = Quota.__init__

        def without(self: Quota, *arguments: Any) -> None:
            begin(self, *arguments)
            for attribute in attributes:
                setattr(self, attribute, 0)

        patch.setattr(Quota, "__init__", without)

    return seed


def oversize_frames(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "PAYLOAD_MAX", 1 << 20)


def events_for_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watches, "_may_know", lambda *_arguments: True)


def special_events_for_everybody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(watches, "may_see_special", lambda *_arguments: True)


def anybody_asks_who_is_introduced(patch: pytest.MonkeyPatch) -> None:
    handler, _ = requests.HANDLERS[xs_wire.XS_IS_DOMAIN_INTRODUCED]
    patch.setitem(requests.HANDLERS, xs_wire.XS_IS_DOMAIN_INTRODUCED, (handler, 0))


def removal_minds_the_quota(patch: pytest.MonkeyPatch) -> None:
    rewrite = access.rewrite

    def checked(*arguments: Any, **named: Any) -> Node:
        return rewrite(*arguments, **{**named, "checked": True})

    patch.setattr(access, "rewrite", checked)


def every_removed_node_fires_above(patch: pytest.MonkeyPatch) -> None:
    fire = Watches.fire

    def above(*arguments: Any, exact: bool = False, **named: Any) -> None:
        fire(*arguments, exact=False, **named)

    patch.setattr(Watches, "fire", above)


def writes_cost_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WriteRate, "settle", lambda *_arguments: None)


def no_turns(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "TURN_REQUESTS", 1 << 20)


def grants_outlive_domains(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Domains, "granted", lambda self, domid, _generation: self.find(domid) is not None)


def rewriting_renews_grants(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Domains, "live", lambda _self, permissions, _generation: permissions)


def special_grants_outlive_domains(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "without_domain", lambda permissions, _domid: permissions)


def unknown_domains_are_believed(patch: pytest.MonkeyPatch) -> None:
    """chk_domain_generation() knew a domain from being asked for it."""

    def granted(self: Domains, domid: int, generation: int) -> bool:
        domain = self.find(domid)
        if domain is None:
            return self.find_or_believe(domid) is not None
        return domain.generation <= generation

    patch.setattr(Domains, "granted", granted)


def grants_to_nobody_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Domains, "admit", lambda _self, permissions, **_named: permissions)
    unknown_domains_are_believed(patch)


def lengths_are_those_of_the_given_path(patch: pytest.MonkeyPatch) -> None:
    """Relative paths were measured before /local/domain/N/ was put before them, absolute ones whole."""
    patch.setattr(paths, "domain_prefix_length", lambda _path: 0)
    check = access.check_name

    def given(client: Connection, path: bytes) -> None:
        home = client.base + b"/"
        check(client, b"/" + path[len(home) + 1 :] if client.domain and path.startswith(home) else path)

    patch.setattr(access, "check_name", given)


def lengths_do_not_matter(patch: pytest.MonkeyPatch) -> None:
    is_node_name = paths.is_node_name
    patch.setattr(access, "is_node_name", lambda path, _limit: is_node_name(path, 4096))


def a_bad_client_takes_its_domain_along(patch: pytest.MonkeyPatch) -> None:
    def kill(self: Connection, why: str) -> None:
        self.failed = why
        self.server.release(self.domid)

    patch.setattr(Connection, "ignore", kill)


def equal_events_queue_up(patch: pytest.MonkeyPatch) -> None:
    class Blind(dict[bytes, int]):
        def __contains__(self, _key: object) -> bool:
            return False

    begin = Connection.__init__

    def blind(self: Connection, *arguments: Any) -> None:
        begin(self, *arguments)
        self._waiting_events = Blind()

    patch.setattr(Connection, "__init__", blind)


def events_never_expire(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Connection, "expire_events", lambda *_arguments: 0.0)


def events_have_no_cause(patch: pytest.MonkeyPatch) -> None:
    send_event = Connection.send_event
    patch.setattr(
        Connection, "send_event", lambda self, path, token, _cause: send_event(self, path, token, None)
    )


def nodes_are_not_counted_as_memory(patch: pytest.MonkeyPatch) -> None:
    charge = Domains.charge

    def unchecked(self: Domains, domid: int, size_bytes: int, **_named: bool) -> bool:
        return charge(self, domid, size_bytes, checked=False)

    patch.setattr(Domains, "charge", unchecked)


def one_index_is_reset(patch: pytest.MonkeyPatch) -> None:
    """RESET_WATCHES emptied the connection's list, and left the trie of all watches alone."""

    def end_watches(self: Connection) -> None:
        self.watches.clear()
        if self.domain is not None:
            self.domain.watches = 0

    patch.setattr(Connection, "end_watches", end_watches)


def anybody_gives_nodes_away(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(requests, "_check_owner", lambda *_arguments: None)


def the_root_is_open(patch: pytest.MonkeyPatch) -> None:
    get_node = access.get_node

    def get(client: Connection, view: View, path: bytes, need: int) -> Node:
        root = view.read(path) if path == b"/" else None
        return root if root is not None else get_node(client, view, path, need)

    patch.setattr(access, "get_node", get)


def removal_is_recursive(patch: pytest.MonkeyPatch) -> None:
    def below(view: View, path: bytes) -> list[tuple[bytes, Node, Node | None]]:
        found: list[tuple[bytes, Node, Node | None]] = []

        def descend(name: bytes, parent: Node | None) -> None:
            node = view.read(name)
            assert node is not None
            for leaf in node.names():
                descend(name + b"/" + leaf, node)
            found.append((name, node, parent))

        descend(path, None)
        return found

    patch.setattr(access, "below", below)


def dom0_inherits(patch: pytest.MonkeyPatch) -> None:
    """A dead domain's nodes became dom0's, which has no quota."""

    def give(self: Server, domid: int) -> None:
        for path, node in list(self.tree.nodes.items()):
            if node.owner == domid:
                permissions = without_domain(node.permissions, domid)
                self.tree.put(None, path, node.value, permissions, node.children, checked=False)
                self.tree.count(domid, -1)
                self.tree.count(0, 1)

    patch.setattr(Server, "_remove_nodes_of", give)


def lengths_are_signed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(codec, "_unpack_from", Struct("=IIIi").unpack_from)


def what_is_not_there_cannot_be_deleted(patch: pytest.MonkeyPatch) -> None:
    carry_over = Transaction._carry_over

    def strict(self: Transaction, path: bytes, touched: Touched) -> None:
        if touched.node is None and touched.generation == ABSENT:
            raise Refused("EIO")
        carry_over(self, path, touched)

    patch.setattr(Transaction, "_carry_over", strict)


def the_home_of_nobody_is_no_error(patch: pytest.MonkeyPatch) -> None:
    """canonicalize() returned no path, and said that all is well."""
    for module in (access, watch_requests):
        check = module.check_name

        def lenient(client: Connection, path: bytes, check: Any = check) -> None:
            if path != b"/local/domain/":
                check(client, path)

        patch.setattr(module, "check_name", lenient)


def counts_outlive_domains(patch: pytest.MonkeyPatch) -> None:
    counts: dict[int, int] = {}
    release, add = Server.release, Domains.add

    def remember(self: Server, domid: int) -> None:
        domain = self.domains.find(domid)
        counts[domid] = domain.nodes if domain is not None else 0
        release(self, domid)

    def inherit(self: Domains, domid: int) -> Domain:
        known = self.find(domid)
        domain = add(self, domid)
        if known is None:
            domain.nodes = counts.get(domid, 0)
        return domain

    patch.setattr(Server, "release", remember)
    patch.setattr(Domains, "add", inherit)


def no_transaction_may_be_in_use(patch: pytest.MonkeyPatch) -> None:
    """conn_delete_all_transactions() asserted that the request was in none."""
    end_transactions = Connection.end_transactions

    def strict(self: Connection) -> None:
        assert self._message[2] not in self.transactions
        end_transactions(self)

    patch.setattr(Connection, "end_transactions", strict)
