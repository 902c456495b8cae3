"""The run's tar: what is in it, and that its compiled modules are valid."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from xentool.errors import LabError
from xentool.lab import layer
from xentool.lab.layer import make_layer, own_checkout

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This Python stands in for the image's; what it was given to compile."""
    seen: list[str] = []

    def run(_root: str, _python: str, arguments: list[str], text: str) -> None:
        seen.extend(text.splitlines())
        subprocess.run([sys.executable, *arguments], input=text, text=True, check=True)

    monkeypatch.setattr(layer, "run_python", run)
    return seen


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for path, text in {
        "xentool/__init__.py": "",
        "xentool/a.py": "VALUE = 1\n",
        "xentool/data.txt": "data",
        "xentool/__pycache__/old.pyc": "x",
        "tests/test_a.py": "",
        "pyproject.toml": "",
        ".git/config": "",
        "secret.txt": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def unpack(data: bytes, folder: Path) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="tar")
        return sorted(archive.getnames())


def test_what_dom0_gets(checkout: Path, compiled: list[str], tmp_path: Path) -> None:
    (checkout / "xentool/broken.py").write_text("def (:\n")
    tag = sys.implementation.cache_tag
    assert sorted(
        unpack(make_layer(str(checkout), PYTHON, "", str(tmp_path / "cache")), tmp_path / "out")
    ) == [
        "lab/checkout/pyproject.toml",
        f"lab/checkout/tests/__pycache__/test_a.{tag}.pyc",
        "lab/checkout/tests/test_a.py",
        "lab/checkout/xentool/__init__.py",
        f"lab/checkout/xentool/__pycache__/__init__.{tag}.pyc",
        f"lab/checkout/xentool/__pycache__/a.{tag}.pyc",
        "lab/checkout/xentool/a.py",
        "lab/checkout/xentool/broken.py",
        "lab/checkout/xentool/data.txt",
        "lab/init",
        "usr/bin/xentool",
        "usr/lib/python3/dist-packages/xentool",
    ]
    assert os.access(tmp_path / "out/lab/init", os.X_OK)
    assert os.readlink(tmp_path / "out/usr/lib/python3/dist-packages/xentool") == "/lab/checkout/xentool"


def test_python_takes_the_compiled_modules_for_valid(
    checkout: Path, compiled: list[str], tmp_path: Path
) -> None:
    for age in (10_000, 20_000):  # the second time from the cache, for a source with another time
        os.utime(checkout / "xentool/a.py", (age, age))
        out = tmp_path / str(age)
        unpack(make_layer(str(checkout), PYTHON, "", str(tmp_path / "cache")), out)
        module = out / "lab/checkout/xentool/a.py"
        code = "import sys; sys.path.insert(0, sys.argv[1]); import xentool.a; print(xentool.a.__cached__)"
        done = subprocess.run(
            [sys.executable, "-Bvc", code, str(module.parents[1])], capture_output=True, text=True, check=True
        )
        assert f"{importlib.util.cache_from_source(str(module))} matches {module}" in done.stderr
    assert sum("a.py" in line for line in compiled if "xentool/a" in line) == 1


def test_only_what_changed_is_compiled(checkout: Path, compiled: list[str], tmp_path: Path) -> None:
    make_layer(str(checkout), PYTHON, "", str(tmp_path / "cache"))
    compiled.clear()
    (checkout / "xentool/a.py").write_text("VALUE = 2\n")
    make_layer(str(checkout), PYTHON, "", str(tmp_path / "cache"))
    assert [line.split("\t")[2] for line in compiled] == ["/lab/checkout/xentool/a.py"]


def test_old_compiled_modules_go(
    checkout: Path, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_KEPT_COMPILED", 2)
    for value in range(5):
        (checkout / "xentool/a.py").write_text(f"VALUE = {value}\n")
        make_layer(str(checkout), PYTHON, "", str(tmp_path / "cache"))
    assert len(os.listdir(tmp_path / "cache" / PYTHON)) == 3 + 2


def test_two_labs_may_remove_the_same_compiled_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_KEPT_COMPILED", 0)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("")
    unlink = os.unlink

    def late(path: str) -> None:
        unlink(path)
        unlink(path)  # as if the other had been quicker

    monkeypatch.setattr(os, "unlink", late)
    layer._prune(str(tmp_path), keep={"b"})
    assert os.listdir(tmp_path) == ["b"]


def test_a_folder_without_xentool(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no xentool package in it"):
        make_layer(str(tmp_path), PYTHON, "", str(tmp_path / "cache"))


def test_the_running_checkout_is_found() -> None:
    assert own_checkout() == str(Path(__file__).parents[2])
