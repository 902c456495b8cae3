"""Virtual NUMA nodes: how the guest's memory and vcpus lie.

    vnuma = [ [ "pnode=0", "size=512", "vcpus=0-1", "vdistances=10,20" ],
              [ "pnode=1", "size=512", "vcpus=2-3", "vdistances=20,10" ] ]

Source: xl.cfg(5); tools/xl/xl_parse.c (parse_vnuma_config).
"""

from __future__ import annotations

from xentool.domain.config.lexer import parse_number
from xentool.domain.config.limits import MAX_MEBIBYTES, MAX_VCPUS
from xentool.values import FrozenMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from xentool.domain.config.reader import Reader

    Fail = Callable[[str], NoReturn]

_WORDS = ("pnode", "size", "vcpus", "vdistances")


def read_vnuma(reader: Reader) -> tuple[FrozenMap, ...]:
    """The nodes, each with the fields of a libxl_vnode_info: memkb, distances, pnode (if not 0), vcpus.

    Raises:
        ConfigError: a node lacks its size, vcpus or distances, or two nodes have the same vcpu.
    """
    nodes = reader.settings["vnuma"].value
    if nodes == "":
        return ()
    if not isinstance(nodes, list) or not all(isinstance(node, (list, dict)) for node in nodes):
        raise reader.error(
            "vnuma",
            "must be a list with a list for each node",
            'vnuma = [ [ "size=512", "vcpus=0-1", … ], … ]',
        )
    found: list[FrozenMap] = []
    taken: set[int] = set()
    for number, node in enumerate(nodes):

        def fail(reason: str, number: int = number) -> NoReturn:
            raise reader.error("vnuma", f"node {number}: {reason}")

        said = _said(node, fail)
        vcpus = _vcpus(said["vcpus"], fail)
        if not taken.isdisjoint(vcpus):
            fail(f"vcpu {min(taken.intersection(vcpus))} is another node's too")
        taken.update(vcpus)
        distances = [_number(part, 255, "a distance", fail) for part in said["vdistances"].split(",")]
        if len(distances) != len(nodes):
            fail(f"it has {len(distances)} distances, but there are {len(nodes)} nodes")
        fields: dict[str, object] = {
            "memkb": _number(said["size"], MAX_MEBIBYTES, "a number of MiB", fail) << 10,
            "distances": tuple(distances),
        }
        if "pnode" in said:
            fields["pnode"] = _number(said["pnode"], 255, "a node's number", fail)
        found.append(FrozenMap(fields | {"vcpus": tuple(sorted(vcpus))}))
    if taken and max(taken) + 1 != len(taken):
        missing = next(vcpu for vcpu in range(len(taken)) if vcpu not in taken)
        raise reader.error("vnuma", f"vcpu {missing} is on no node")
    return tuple(found)


def _said(node: object, fail: Fail) -> dict[str, str]:
    said: dict[str, str] = {}
    if isinstance(node, dict):
        parts = [f"{word}={value}" for word, value in node.items()]
    else:
        assert isinstance(node, list)
        parts = [part if isinstance(part, str) else "" for part in node]
    for part in parts:
        word, _, value = (piece.strip() for piece in part.partition("="))
        if word not in _WORDS or not value:
            fail(f'"{part}" is none of pnode=…, size=…, vcpus=…, vdistances=…')
        if word in said:
            fail(f"{word} is given twice")
        said[word] = value
    for word in _WORDS[1:]:
        if word not in said:
            fail(f"{word} is missing")
    return said


def _number(text: str, highest: int, what: str, fail: Fail) -> int:
    number = parse_number(text.strip())
    if number is None or not 0 <= number <= highest:
        fail(f'"{text}" is not {what} up to {highest:,}')
    return number


def _vcpus(text: str, fail: Fail) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start = _number(first, MAX_VCPUS - 1, "a vcpu", fail)
        end = _number(last, MAX_VCPUS - 1, "a vcpu", fail) if dash else start
        if end < start:
            fail(f'"{part}" ends before it begins')
        found.update(range(start, end + 1))
    return found
