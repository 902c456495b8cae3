"""The mock host's Domain-0, as the toolstack's processes see it: `xentool.dom0.port` on the mock."""

from __future__ import annotations


class MockDom0:
    """Implements `xentool.dom0.port.Dom0` on the mock host in `directory`."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
