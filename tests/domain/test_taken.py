"""Whom a name and a uuid belong to, and what is said to who wants them."""

from __future__ import annotations

import pytest

from xentool.domain.taken import refuse_taken
from xentool.errors import InUseError
from xentool.units import uuid_bytes

UUID = "0a2b9c2e-0000-4000-8000-000000000001"
HANDLE = uuid_bytes(UUID)


@pytest.mark.parametrize(
    ("name", "dying", "hint"),
    [
        ("other", False, "leave uuid out"),
        ("other", True, "leave uuid out"),  # somebody is still at its nodes
        (None, False, "`xentool destroy 5` ends it"),  # who was destroying it was killed
    ],
)
def test_a_uuid_is_its_domains(name: str | None, dying: bool, hint: str) -> None:
    with pytest.raises(InUseError, match=f"domain 5 has its uuid, {UUID}") as caught:
        refuse_taken("web", UUID, [(5, name, HANDLE, dying)])
    assert hint in caught.value.hint


def test_of_who_dies_without_a_name_it_is_free() -> None:
    refuse_taken("web", UUID, [(0, "Domain-0", bytes(16), False), (5, None, HANDLE, True)])


def test_a_name_is_its_domains() -> None:
    with pytest.raises(InUseError, match="domain 5 has that name"):
        refuse_taken("web", UUID, [(5, "web", bytes(16), True)])
