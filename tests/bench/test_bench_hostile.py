"""Dom0 does not wait for long while guests attack the store: a short siege with the bar of the long one."""

from __future__ import annotations

from tests.bench.hostile import BAR_SECONDS, measured

MALFORMED_BYTES = 500_000


def test_dom0_is_answered_in_time_under_attack() -> None:
    figures = measured(MALFORMED_BYTES)
    assert figures["malformed, bytes"] >= MALFORMED_BYTES
    assert figures["requests of dom0"] > 100
    assert figures["99th percentile, ms"] <= BAR_SECONDS * 1000
