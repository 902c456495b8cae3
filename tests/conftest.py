"""What holds for all tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect of ours: what must be quick says so in its own test.
settings.register_profile("xentool", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("xentool")

# However the tests were started (nohup, in a shell's background): what they start is not deaf to signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Whatever ends the tests: the mock hosts that they started do not outlive them.
os.environ["XENTOOL_MOCK_OWNER"] = str(os.getpid())

ON_XEN = os.path.exists("/proc/xen/capabilities")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for real Xen run where there is one: in the lab's dom0, started by tests/lab/test_nested.py."""
    if ON_XEN:
        return
    nested = [item for item in items if item.get_closest_marker("nested")]
    if nested:
        config.hook.pytest_deselected(items=nested)
        items[:] = [item for item in items if item not in set(nested)]
