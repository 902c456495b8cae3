"""A command's modules out of one file: quicker, and never other than what is in the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from xentool.cli import warmstart

PACKAGE = Path("xentool").absolute()
RUN = """
import sys
sys.path.insert(0, FOLDER)
from xentool.cli import main
sys.argv[0] = "xentool"
import os
leave = os._exit
def told(code):
    print(*sorted(LOADED), file=sys.stderr)
    sys.stdout.flush(); sys.stderr.flush(); leave(code)
os._exit = told
LOADED = set()
from xentool.cli import warmstart
run = warmstart._run
def seen(entry):
    done = run(entry)
    if done: LOADED.add(entry[0])
    return done
warmstart._run = seen
main.main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the package, whose bytecode is its own."""
    shutil.copytree(PACKAGE, tmp_path / "xentool", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(folder: Path, *argv: str, mock: str = "") -> tuple[int, str, set[str]]:
    """The exit code, the output, and the modules that came out of the command's file."""
    variables = ("COV", "XENTOOL", "PYTHONDONTWRITE")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(variables)}
    if mock:
        environment |= {"XENTOOL_BACKEND": "mock", "XENTOOL_MOCK_DIR": mock}
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN.replace("FOLDER", repr(str(folder))), *argv],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, set(done.stderr.split())


def files(folder: Path) -> list[Path]:
    return sorted((folder / "xentool" / "__pycache__").glob("start.*"))


def test_the_second_run_begins_with_what_the_first_imported(folder: Path) -> None:
    first = run(folder, "version")
    assert (first[0], first[2]) == (0, set())
    assert [path.name.split(".")[:2] for path in files(folder)] == [["start", "version"]]
    second = run(folder, "version")
    assert second[:2] == first[:2]
    assert {"xentool.cli.fast", "xentool.cli.table", "xentool.cli.commands.about"} <= second[2]


def test_the_command_that_imports_the_most_has_a_file_too(folder: Path) -> None:
    mock, kernel, image = str(folder / "mock"), str(folder / "kernel"), folder / "disk.img"
    os.mkdir(mock, 0o700)
    image.write_bytes(bytes(1 << 20))
    config = folder / "full.cfg"
    config.write_text(
        f"name='full'; kernel='{kernel}'; memory=16; vif=['bridge=xenbr0,lock,ips=10.0.0.5']\n"
        f"cpus='0'; disk=['{image},raw,xvda,w']; channel=['connection=pty,name=x']\n"
    )
    try:
        assert run(folder, "mock", "kernel", kernel, mock=mock)[0] == 0
        assert run(folder, "create", str(config), mock=mock)[0] == 0
        assert "start.create" in {".".join(path.name.split(".")[:2]) for path in files(folder)}
    finally:
        run(folder, "mock", "stop", mock=mock)


def test_a_source_that_changed_is_what_counts(folder: Path) -> None:
    run(folder, "version")
    changed = folder / "xentool" / "cli" / "commands" / "about.py"
    changed.write_text(changed.read_text().replace("xentool {", "changed {"))
    code, out, warm = run(folder, "version")
    assert (code, out.startswith("changed "), "xentool.cli.commands.about" in warm) == (0, True, False)
    assert "xentool.cli.fast" in warm
    code, out, warm = run(folder, "version")  # the file was made anew
    assert (code, out.startswith("changed "), "xentool.cli.commands.about" in warm) == (0, True, True)


@pytest.mark.parametrize("keep", [0, 5, 20, 1000])
def test_a_file_that_is_cut_off_or_not_ours_is_not_there(folder: Path, keep: int) -> None:
    expected = run(folder, "version")[:2]
    (path,) = files(folder)
    path.write_bytes(path.read_bytes()[:keep])
    assert run(folder, "version") == (*expected, set())
    path.write_bytes(b"x" * keep + b"\0" * 20)
    assert run(folder, "version")[:2] == expected


def test_an_error_leaves_no_file(folder: Path) -> None:
    assert run(folder, "nonsense")[0] == 1
    assert run(folder, "list", "--nonsense")[0] == 2
    assert run(folder, "--json", "version")[0] == 0  # what it does, its first word does not say
    assert files(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="for root there is no folder that it may not write")
def test_where_nothing_can_be_kept_everything_works(folder: Path) -> None:
    (folder / "xentool" / "__pycache__").mkdir(exist_ok=True)
    shutil.rmtree(folder / "xentool" / "__pycache__")
    (folder / "xentool" / "__pycache__").write_text("a file")
    assert run(folder, "version")[0] == 0


def test_modules_come_after_their_packages_and_what_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(name: str, source: str) -> warmstart.Entry:
        module = ModuleType(name)
        vars(module).update(dict.fromkeys("cpq"))  # what such imports leave
        monkeypatch.setitem(sys.modules, name, module)
        return name, "", "", False, 0, 0, compile(source, name, "exec")

    entries = {
        name: entry(name, source)
        for name, source in [
            ("p.b", "from p import c; import q"), ("p.c", "import p.b"), ("p", "import p.b, p.c"), ("q", ""),
        ]
    }  # fmt: skip
    names = [each[0] for each in warmstart._in_order(entries)]
    assert sorted(names) == sorted(entries)
    assert names[0] == "p"
    assert names.index("q") < names.index("p.b")


@pytest.mark.parametrize("argv", [[], ["--json"], ["-v"], ["../x"], ["a/b"], ["é" * 3], ["x" * 200]])
def test_what_is_no_command_has_no_file(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delenv("XENTOOL_BACKEND", raising=False)
    assert warmstart.of_command(argv) is None
    assert warmstart.of_command(["network-attach"]) is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert warmstart.of_command(["network-attach"]) is None


def test_each_toolstack_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delenv("XENTOOL_BACKEND", raising=False)

    def name(*argv: str) -> str:
        found = warmstart.of_command(argv)
        assert found is not None, argv
        return os.path.basename(found._path).rpartition(".")[0]

    monkeypatch.delenv("XENTOOL_TOOLSTACK", raising=False)
    assert name("list") == name("list", "--toolstack", "auto") == name("list", "--toolstack") == "start.list"
    libxl = name("list", "--toolstack", "libxl")
    assert libxl == "start.list.libxl"
    assert libxl == name("list", "--toolstack=libxl") == name("--toolstack", "libxl", "list")
    monkeypatch.setenv("XENTOOL_TOOLSTACK", "libxl")
    assert name("list") == libxl
    assert name("list", "--toolstack", "native") == "start.list.native"


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        (["create", "hvm.cfg"], False),
        (["create", "--toolstack", "native", "x"], False),
        (["create", "--toolstack", "libxl", "x"], True),
        (["save", "web", "file"], True),
        (["restore", "file"], True),
    ],
)
def test_a_run_that_took_libxl_is_no_model_for_those_that_need_not(
    argv: list[str], kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delenv("XENTOOL_TOOLSTACK", raising=False)
    warm = warmstart.of_command(argv)
    assert warm is not None
    warm._path = str(tmp_path / "start")
    monkeypatch.setitem(sys.modules, "xentool.toolstack.libxl", ModuleType("xentool.toolstack.libxl"))
    warm._before = frozenset(sys.modules) - {"xentool.toolstack.libxl"}
    vars(sys.modules["xentool.toolstack.libxl"])["__spec__"] = None
    warm.save()
    assert (tmp_path / "start").exists() is kept


def test_what_is_listed_as_a_module_need_not_be_one(folder: Path) -> None:
    """As ``typing.io`` of Python 3.11, which the manual's machinery brings."""
    assert run(folder, "help", "restore")[0] == 0
    assert run(folder, "help", "restore")[2] or not files(folder)
    assert warmstart._entry("typing.io", type("io", (), {})) is None  # type: ignore[arg-type]


def test_what_is_imported_for_type_checkers_alone_comes_in_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        "module_a": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from module_b import other\nvalue = 1\n",
        "module_b": "import sys, os.path\nfrom module_a import (\n    value,\n)\nother = value\n",
    }
    entries = {}
    for name, source in sources.items():
        code = compile(source, name, "exec")
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(code, vars(module))
        entries[name] = (name, "", "", False, 0, 0, code)
    for names in (["module_a", "module_b"], ["module_b", "module_a"]):
        ordered = warmstart._in_order({name: entries[name] for name in names})
        assert [entry[0] for entry in ordered] == ["module_a", "module_b"]
