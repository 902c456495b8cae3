"""The whole process: what it imports, how it ends, what it does with its output."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ROOT = os.getcwd()

# A backend that costs no imports of its own.
PRELUDE = """
import sys
from xentool.cli import main
from xentool.toolstack.views import DomainView

class Toolstack:
    views = [DomainView(0, "Domain-0", "u", 1024, 9, 1, 1, "r-----", None, 5, 0, 0, True)] * COUNT
    def domains(self): return self.views
    def domain(self, domid): return self.views[0]
    def resolve(self, word): return 0
    def pause(self, domid): pass
    def finish_undone(self): return [], []

class Backend:
    toolstack = Toolstack()
    def choose(self, toolstack, say, verbosity, warn): pass
    def collect(self): return [], []
    def close(self): pass
"""
HEAVY = {
    "asyncio", "click", "collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "json",
    "logging", "pathlib", "random", "re", "rich", "shutil", "signal", "socket", "subprocess", "tempfile",
    "traceback", "typing", "uuid", "yaml",
}  # fmt: skip


def run(code: str, *argv: str, count: int = 1, **options: object) -> subprocess.CompletedProcess[str]:
    source = PRELUDE.replace("COUNT", str(count)) + code
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "XENTOOL"))}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {ROOT!r})\n{source}", *argv],
        env=environment, text=True, timeout=60, check=False, **{"capture_output": True, **options},
    )  # fmt: skip


def imported_by(module: str) -> set[str]:
    """What importing that module imports."""
    done = run(
        f"before = set(sys.modules)\nimport {module}\nprint(*sorted(set(sys.modules) - before), sep='\\n')",
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("argv", [("list",), ("pause", "0"), ("domid", "Domain-0"), ("version",)])
def test_a_common_command_imports_nothing_heavy(argv: tuple[str, ...]) -> None:
    done = run(
        "before = set(sys.modules)\n"
        "code = main.run(sys.argv[1:], lambda name: Backend())\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n', file=sys.stderr)\n"
        "sys.exit(code)",
        *argv,
    )
    assert done.returncode == 0
    imported = set(done.stderr.split())
    assert "xentool.cli.fast" in imported
    assert not HEAVY & imported
    assert len(imported) < 15


@pytest.mark.parametrize(
    "module",
    [
        "xentool.toolstack.devices", "xentool.toolstack.devicelists", "xentool.cli.commands.devices",
        "xentool.cli.commands.devicelists", "xentool.cli.devicetext", "xentool.store.client",
        "xentool.devices.vif.hotplug", "xentool.devices.vif.spec", "xentool.devices.vbd.hotplug",
        "xentool.devices.vbd.spec", "xentool.dom0.linux.links", "xentool.dom0.linux.programs",
        "xentool.domain.lifecycle", "xentool.devices.vif.locks",
    ],
)  # fmt: skip
def test_what_plugs_or_removes_imports_nothing_heavy_and_no_hypercall(module: str) -> None:
    imported = imported_by(module)
    assert not (HEAVY | {"ctypes", "xentool.hypervisor"}) & imported
    assert len(imported) < 30


@pytest.mark.parametrize(
    "module",
    [
        "xentool.hypervisor.xen", "xentool.toolstack.libxl.toolstack", "xentool.toolstack.libxl.context",
        "xentool.toolstack.libxl.domains", "xentool.toolstack.libxl.creating",
        "xentool.toolstack.libxl.saving", "xentool.toolstack.libxl.configs",
    ],
)  # fmt: skip
def test_what_calls_libraries_of_c_does_without_ctypes_and_all_that_is_heavy(module: str) -> None:
    imported = imported_by(module)
    assert "xentool.cfunctions" in imported or module.endswith((".toolstack", ".domains"))
    # libxl knows the names and the nodes: a client of the store's own would only be loaded.
    ours = {"xentool.hypervisor.mock", "xentool.store.client", "xentool.domain.claim"}
    assert not (HEAVY | ours | {"ctypes", "types"}) & imported


def test_what_lists_through_libxl_loads_no_long_operations_no_structures_and_no_client_of_the_store() -> None:
    room = "xentool.toolstack.libxl"
    done = run(
        f"import {room}.toolstack, {room}.context, {room}.domains, xentool.store.knock\n"
        "print(*sorted(sys.modules), sep='\\n')",
    )
    assert done.returncode == 0, done.stderr
    needless = {f"{room}.{name}" for name in ("operations", "wakeup", "struct", "resources", "failures")}
    needless |= {"xentool.store.client", "xentool.store.operations"}
    assert not needless & set(done.stdout.split())


def test_what_saves_loads_nothing_of_what_creates_and_restores() -> None:
    imported = imported_by("xentool.toolstack.libxl.saving") | imported_by("xentool.devices.vif.locks")
    libxl = {f"xentool.toolstack.libxl.{name}" for name in ("creating", "restoring", "plugging", "failures")}
    needless = libxl | {"xentool.toolstack.record", "xentool.domain.userdata", "xentool.devices.record"}
    needless |= {"xentool.toolstack.devicelists", "xentool.toolstack.deviceviews"}
    assert not needless & imported


def test_a_package_that_a_command_imports_imports_nothing_by_itself() -> None:
    """Else its modules would be looked for one by one, beside the warm start."""
    rooms = "cli cli.commands toolstack toolstack.libxl domain domain.config devices store abi hypervisor"
    before = {"xentool.cli", "xentool.toolstack"}
    done = run(
        "before = set(sys.modules)\n"
        f"for room in '{rooms}'.split():\n    __import__('xentool.' + room)\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')",
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {f"xentool.{room}" for room in rooms.split()} - before


def test_choosing_a_toolstack_costs_one_module_and_no_libxl() -> None:
    loaded = "print(*sorted(set(sys.modules) - before), sep='\\n')"
    source = (
        "import xentool.toolstack.native\nbefore = set(sys.modules)\n"
        "from xentool.cli.backends import open_backend\nbackend = open_backend('xen')\n"
        f"backend.choose('auto')\nbackend.toolstack\n{loaded}"
    )
    done = run(source)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    needed = {"xentool.cli.backends", "xentool.domain.paths", "xentool.domain.host"}
    assert imported - needed == {"xentool.toolstack.choice"}


def test_who_only_reads_a_record_loads_nothing_that_makes_one() -> None:
    done = run(
        "import xentool.domain.config.amend, xentool.domain.config.userdata\n"
        "xentool.domain.config.userdata.config_from_userdata(b'{}')\n"
        "print(*(name for name in sys.modules if name.startswith(('xentool.domain.config.record', 'json'))))",
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@pytest.mark.parametrize(
    ("when", "number", "code"), [("load", 2, 130), ("save", 2, 0), ("save", 15, 0), ("save", 1, 0)]
)
def test_a_stop_outside_the_work_is_no_traceback_and_does_not_deny_what_is_done(
    when: str, number: int, code: int
) -> None:
    source = (
        "import os\nclass Warm:\n    def load(self): pass\n    def save(self): pass\n"
        f"Warm.{when} = lambda self: os.kill(os.getpid(), {number})\n"
        "main.warmstart.of_command = lambda argv: Warm()\n"
        "main.run.__defaults__ = (lambda name: Backend(),)\nmain.main()"
    )
    done = run(source, "domid", "Domain-0")
    assert (done.returncode, done.stdout, done.stderr) == (code, "" if code else "0\n", "")


def test_the_process_ends_with_the_commands_code_and_output() -> None:
    source = "sys.argv[1:] = ['list', 'x', '--', '-y']\nmain.run.__defaults__ = (lambda name: Backend(),)\n"
    done = run(source + "main.main()\nprint('not reached')")
    assert done.returncode == 0
    assert done.stdout.count("Domain-0") == 2
    assert "not reached" not in done.stdout


def test_what_a_process_has_open_the_kernel_closes_as_it_ends() -> None:
    """Which is sooner than we would; whoever goes on in the same process closes it."""
    source = (
        "Backend.close = lambda self: print('closed')\nmain.run.__defaults__ = (lambda name: Backend(),)\n"
    )
    assert run(source + "main.main()", "domid", "Domain-0").stdout == "0\n"
    assert run(source + "main.main(sys.argv[1:])", "domid", "Domain-0").stdout == "0\nclosed\n"


def test_a_lost_reader_is_silent() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = run(
            "sys.exit(main.run(['list'], lambda name: Backend()))", count=5000, capture_output=False,
            stdout=closed, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("count", [1, 5000])
def test_a_full_disk_is_an_error(count: int) -> None:
    with open("/dev/full", "w") as full:
        done = run(
            "sys.exit(main.run(['list'], lambda name: Backend()))", count=count, capture_output=False,
            stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "xentool: cannot write the answer: No space left on device\n"


def test_closed_standard_streams_are_no_accident() -> None:
    code = "import os\nsys.stdout.close()\nsys.stdout = None\n"
    done = run(code + "os._exit(main.run(['list'], lambda name: Backend()))")
    assert done.returncode == 1
    assert "standard output is closed" in done.stderr


def test_nothing_on_stderr_where_it_is_full() -> None:
    with open("/dev/full", "w") as full:
        done = run(
            "import os\nos.environ['XENTOOL_BACKEND'] = 'x'\nos._exit(main.run(['list'], None))",
            capture_output=False, stdout=subprocess.PIPE, stderr=full,
        )  # fmt: skip
    assert done.returncode == 2


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xentool", "version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("xentool ")
