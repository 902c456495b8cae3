"""The table of what oxenstored does otherwise names tests that there are."""

from __future__ import annotations

from tests.contract.oxenstored import OTHERWISE, SOMETIMES, why_otherwise
from tests.contract.store import test_nodes, test_transactions, test_watches


def test_every_name_is_a_tests() -> None:
    suites = [
        suite
        for module in (test_nodes, test_transactions, test_watches)
        for name, suite in vars(module).items()
        if name.startswith("Test")
    ]
    there = {name for suite in suites for name in vars(suite)}
    assert {name.partition("[")[0] for name in OTHERWISE} <= there
    assert set(SOMETIMES) <= set(OTHERWISE)


def test_parameters_count_where_they_are_named() -> None:
    assert why_otherwise("test_control[real]")
    assert why_otherwise("test_it_conflicts_over_a_node_it_read[real-write]")
    assert not why_otherwise("test_it_conflicts_over_a_node_it_read[real-rm]")
    assert not why_otherwise("test_controls[real]")
