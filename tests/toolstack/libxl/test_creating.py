"""What is asked of libxl before it makes a domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from xentool.errors import NoMemoryError
from xentool.toolstack.libxl.creating import _check_memory
from xentool.toolstack.libxl.struct import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.toolstack.libxl.context import Context

NEEDED_KIB = 3 << 10


@pytest.mark.parametrize(("free_kib", "enough"), [(NEEDED_KIB, True), (NEEDED_KIB - 1024, False)])
def test_a_copy_of_the_record_is_held_against_the_free_memory(
    context: Context, monkeypatch: pytest.MonkeyPatch, free_kib: int, enough: bool
) -> None:
    """libxl fills in what it looks at, and what it fills in it would take for the config's wish."""
    find = context.library.function
    asked: list[tuple[int, dict[str, object]]] = []

    def need_memory(_context: int, config: int, _domid: int, need: Any) -> int:
        asked.append((config, context.read("domain_config", config)))
        need._obj.value = NEEDED_KIB
        return 0

    def get_free_memory(_context: int, free: Any) -> int:
        free._obj.value = free_kib
        return 0

    played: dict[str, Callable[..., int]] = {
        "libxl_domain_need_memory": need_memory,
        "libxl_get_free_memory": get_free_memory,
    }
    monkeypatch.setattr(context.library, "function", lambda name: played.get(name) or find(name))
    with Struct(context, "domain_config") as wanted:
        wanted.fill({"name": "web"})
        if enough:
            _check_memory(context, wanted, "web")
        else:
            with pytest.raises(NoMemoryError, match="the host has 2 MiB free, and the domain needs 3 MiB"):
                _check_memory(context, wanted, "web")
        ((address, record),) = asked
        assert address != wanted.address
    assert record == {"name": "web"}
