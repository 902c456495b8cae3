"""The server against the simplest thing that could be right: a dictionary, copied for each transaction."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from xentool.errors import StoreError
from xentool.store.client import StoreClient
from xentool.store.consistency import check_tree
from xentool.store.local import LocalTransport
from xentool.store.operations import Operations, Transaction
from xentool.store.server import Server

Model = dict[str, bytes]

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/t/" + "/".join(parts))
values = st.binary(max_size=4)


def model_write(model: Model, path: str, value: bytes) -> None:
    parts = path.split("/")
    for depth in range(2, len(parts)):
        model.setdefault("/".join(parts[:depth]), b"")
    model[path] = value


def model_rm(model: Model, path: str) -> None:
    for other in [other for other in model if other == path or other.startswith(path + "/")]:
        del model[other]


class Open:
    """A transaction under way, with what it should see, and what others changed since."""

    def __init__(self, tx: Transaction, model: Model, version: int) -> None:
        self.tx = tx
        self.version = version
        self.model = dict(model)
        self.log: list[tuple[str, str, bytes]] = []


class StoreModel(RuleBasedStateMachine):
    transactions = Bundle("transactions")

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.client = StoreClient(transport=LocalTransport(self.server.connect()))
        self.client.mkdir("/t")
        self.model: Model = {"/t": b""}
        self.version = 0
        self.watch = self.client.watch("/t")
        self.told()

    def told(self) -> set[str]:
        return {event.path for event in self.watch.events(0)}

    def apply(self, store: Operations, model: Model, kind: str, path: str, value: bytes) -> None:
        if kind == "write":
            model_write(model, path, value)
            store.write(path, value)
        elif kind == "mkdir":
            if path not in model:
                model_write(model, path, b"")
            store.mkdir(path)
        else:
            model_rm(model, path)
            store.rm(path)

    @rule(kind=st.sampled_from(["write", "mkdir", "rm"]), path=paths, value=values)
    def change(self, kind: str, path: str, value: bytes) -> None:
        before = dict(self.model)
        self.version += 1
        self.apply(self.client, self.model, kind, path, value)
        told = self.told()
        changed = {
            path for path in before.keys() | self.model.keys() if before.get(path) != self.model.get(path)
        }
        if kind == "write" or (kind == "mkdir" and path not in before) or (kind == "rm" and path in before):
            assert told == {path}
        else:
            assert told == changed == set()

    @rule(target=transactions)
    def start(self) -> Open:
        return Open(self.client.transaction(), self.model, self.version)

    @rule(
        target=transactions,
        open_=consumes(transactions),
        kind=st.sampled_from(["write", "mkdir", "rm"]),
        path=paths,
        value=values,
    )
    def change_inside(self, open_: Open, kind: str, path: str, value: bytes) -> object:
        if self.version != open_.version:
            # What it sees now is a mixture, and it can only fail: the contract
            # suite has the cases, here it ends.
            open_.tx.abort()
            return multiple()
        self.apply(open_.tx, open_.model, kind, path, value)
        open_.log.append((kind, path, value))
        assert self.told() == set()
        assert open_.tx.tree("/t") == open_.model
        return open_

    @rule(open_=consumes(transactions))
    def commit(self, open_: Open) -> None:
        alone = self.version == open_.version
        before = dict(self.model)
        try:
            open_.tx.commit()
        except StoreError as error:
            refused = error.errno_name
        else:
            refused = ""
        if refused:
            assert refused == "EAGAIN"
            assert open_.log
            assert not alone
            assert self.told() == set()
        else:
            if open_.log and not alone:
                # Others changed what it never looked at; then its changes are added to theirs.
                for kind, path, value in open_.log:
                    if kind == "rm":
                        model_rm(self.model, path)
                    elif kind == "write" or path not in self.model:
                        model_write(self.model, path, value if kind == "write" else b"")
            elif open_.log:
                self.model = open_.model
            self.version += 1
            # Who watches is told of each node that was there and is another, or gone. (Parents
            # that a write made are not told of, nor what was made and removed in between.)
            told = self.told()
            for path in [path for path in before if before[path] != self.model.get(path)]:
                assert any(path == one or path.startswith(one + "/") for one in told)

    @rule(open_=consumes(transactions))
    def abort(self, open_: Open) -> None:
        open_.tx.abort()
        assert self.told() == set()

    @invariant()
    def the_tree_is_the_models(self) -> None:
        assert self.client.tree("/t") == self.model
        assert check_tree(self.server) == []


TestStoreModel = StoreModel.TestCase
TestStoreModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
