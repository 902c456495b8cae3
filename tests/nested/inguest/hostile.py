"""Do to the store whatever a guest may: ``hostile.py rewrite|delete|storm SECONDS``; says how much it did.

``rewrite`` writes what nobody expects to each node of its own home that it may write, and adds some;
``delete`` removes each of them, after which most can't be made again; ``storm`` does some of both, over and
over, for so many seconds, also to what comes meanwhile.
"""

from __future__ import annotations

import random
import sys
import time

from xentool.errors import XentoolError
from xentool.store.client import StoreClient

HOME = "device", "control", "data", "drivers", "feature", "attr", "error", "console", "store", "memory"
VALUES = (
    "", "0", "1", "6", "-1", "4294967296", "xvda", "../../0", "/local/domain/0", "/libxl",
    "/local/domain/0/backend/vif/0/0", "/local/domain/0/backend/vbd/0/51712", "connected", "\x1b[2J",
    "x" * 1500,
)  # fmt: skip
KEYS = "backend", "backend-id", "state", "handle", "mac", "virtual-device", "ring-ref", "event-channel"
OWN_END = "control/sysrq"
"""A letter there is the guest's own end."""


class Hostile:
    def __init__(self) -> None:
        self.store = StoreClient("/dev/xen/xenbus")
        self.random = random.Random(4)
        self.done = 0
        self.home = f"/local/domain/{self.store.read_text('domid')}"

    def attempt(self, action: str, *arguments: object) -> None:
        try:
            getattr(self.store, action)(*arguments)
        except XentoolError:
            return  # not its own, or gone already
        self.done += 1

    def nodes(self) -> list[str]:
        """Every node below its home, the deepest first."""
        found, todo = [], [f"{self.home}/{name}" for name in HOME]
        while todo:
            path = todo.pop()
            try:
                todo += [f"{path}/{child}" for child in self.store.directory(path)]
            except XentoolError:
                continue
            found.append(path)
        return found[::-1]

    def rewrite(self) -> None:
        for path in self.nodes():
            if not path.endswith(OWN_END):
                self.attempt("write", path, self.random.choice(VALUES))
                self.attempt("set_perms", path, [self.permissions(path)[0], "b0"])
        for device in ("vif/0", "vif/0/0", "vif/7", "vbd/51712", "vbd/x", "vkbd/0"):
            for key in KEYS:
                self.attempt("write", f"{self.home}/device/{device}/{key}", self.random.choice(VALUES))

    def permissions(self, path: str) -> list[object]:
        try:
            return list(self.store.get_perms(path))
        except XentoolError:
            return ["n0"]

    def delete(self) -> None:
        for path in self.nodes():
            self.attempt("rm", path)

    def storm(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for path in self.nodes():
                if path.endswith(OWN_END):
                    continue
                if self.random.random() < 0.1:
                    self.attempt("rm", path)
                else:
                    self.attempt("write", path, self.random.choice(VALUES))


def main() -> None:
    guest = Hostile()
    if sys.argv[1] == "storm":
        guest.storm(float(sys.argv[2]))
    else:
        getattr(guest, sys.argv[1])()
    print("done", guest.done)


main()
