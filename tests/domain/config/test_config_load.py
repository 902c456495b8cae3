"""Config files: where they are read from, which syntax, and YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.domain.config import load as load_module
from xentool.domain.config.load import load_config, parse_config
from xentool.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

XL = b'name = "web"\nkernel = "/boot/vmlinuz"\nmemory = 512\n'
YAML = b"name: web\nkernel: /boot/vmlinuz\nmemory: 512\n"


def yaml(text: bytes) -> object:
    return parse_config(YAML + text, "web.yaml")[0]


def test_both_syntaxes_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "web.cfg").write_bytes(
        XL + b'vcpus=2\ncpus=["0-1","2"]\nnomigrate=1\ncmdline="a b"\nvif=[]\n'
    )
    (tmp_path / "web.yml").write_bytes(
        YAML + b"vcpus: 2\ncpus: ['0-1', 2]\nnomigrate: true\ncmdline: a b\nvif: []\nramdisk:\n"
    )
    xl, xl_warnings = load_config(str(tmp_path / "web.cfg"))
    from_yaml, yaml_warnings = load_config(str(tmp_path / "web.yml"))
    assert xl_warnings == yaml_warnings == []
    assert from_yaml.replace(source=xl.source) == xl
    assert (xl.source.syntax, from_yaml.source.syntax) == ("xl", "yaml")


@pytest.mark.parametrize(
    ("memory", "kib"),
    [("512", 512 << 10), ("512MiB", 512 << 10), ("1 GiB", 1 << 20), ("2048KiB", 2048), ("'64'", 64 << 10)],
)
def test_yaml_takes_memory_with_units(memory: str, kib: int) -> None:
    config, _ = parse_config(f"name: a\nkernel: k\nmemory: {memory}\n".encode(), "a.yaml")
    assert config.memory_kib == kib


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        (b"name: x", "line 4, column 1: name is given twice (first in line 1, column 1)", "keep one"),
        (b"vif: &a []\ndisk: *a", "line 4, column 6: a list cannot be repeated", "write it out"),
        (b"uuid: 2020-01-01", "line 4, column 7: YAML reads 2020-01-01 as a date", '"2020-01-01"'),
        (b"pool: on", "as yes or no", "true or false"),
        (b"vcpus: 2.5", "fraction", ""),
        (b"vcpus: 1:30", "YAML reads 1:30 as int", ""),
        (b"pool: {a: b}", "line 4, column 7: a value must be text", ""),
        (b"<<: {a: b}", "a key must be text", ""),
        (b"1: x", "a key must be text", ""),
        (b"\tpool: x", "tab", "not tabs"),
        (b"pool: [1", "line 5", ""),
        (b"pool: \x01", "line 4, column 7", ""),
        (b"---\na: b", "single document", ""),
        (b"vif: " + b"[" * 100_000, "lists nest at most 8 deep", ""),
        (b"pool: !!python/object/apply:os.getcwd []", "is a list", ""),
        (b"pool: [\xc3\xa9", "line 5", ""),
        (b"memory: 512MB", "given twice", ""),
        (b"maxmem: 512MB", 'line 4, column 1: maxmem = "512MB": must be a number of MiB', ""),
        (b"maxmem: xMiB", "whole number with a unit", "512MiB"),
        (b"localtime: maybe", "must be 0 or 1", ""),
        (b"name2: true", "", ""),
    ],
)
def test_what_yaml_refuses(text: bytes, reason: str, hint: str) -> None:
    if not reason:
        _, (warning,) = parse_config(YAML + text, "web.yaml")
        assert str(warning).startswith("web.yaml: line 4, column 1: name2 is no key")
        return
    with pytest.raises(ConfigError) as caught:
        parse_config(YAML + text + b"\n", "web.yaml")
    assert reason in caught.value.reason
    assert hint in caught.value.hint


@pytest.mark.parametrize("raw", [b"- a\n", b"text", b"[]"])
def test_a_yaml_config_is_a_mapping(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="a config is a mapping"):
        parse_config(raw, "web.yaml")


def test_an_empty_yaml_config_lacks_a_name() -> None:
    with pytest.raises(ConfigError, match="name is missing"):
        parse_config(b"# nothing\n", "web.yaml")


@given(st.binary(max_size=80) | st.text("ab:[]{}-&*!|>'\"#? \n\t1", max_size=80).map(str.encode))
def test_any_yaml_is_a_config_or_a_config_error(text: bytes) -> None:
    try:
        yaml(text)
    except ConfigError as error:
        print(error)


def test_overrides_of_a_yaml_config() -> None:
    config, _ = parse_config(YAML, "web.yaml", ["vcpus=4", "memory=1GiB"])
    assert (config.vcpus, config.memory_kib) == (4, 1 << 20)


def test_standard_input_and_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, XL)
    os.close(writer)
    monkeypatch.setattr("os.dup", lambda _descriptor: reader)
    assert load_config("-")[0].name == "web"
    config, _ = load_config("/dev/null", ["name=a", "kernel=/k", "memory=4"])
    assert (config.name, config.kernel, config.memory_kib) == ("a", "/k", 4096)


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, XL)
    os.close(writer)
    try:
        assert load_config(f"/dev/fd/{reader}")[0].name == "web"
    finally:
        os.close(reader)


def test_what_is_no_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "web.cfg").write_bytes(XL)
    monkeypatch.setattr(load_module, "CONFIG_FOLDER", str(etc))
    monkeypatch.chdir(tmp_path)
    large = tmp_path / "large.cfg"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    for path, reason, hint in [
        ("web", "no such file", f"did you mean {etc}/web.cfg?"),
        ("wbe.cfg", "no such file", f"did you mean {etc}/web.cfg?"),
        ("nothing/like/it", "no such file", f"usually live in {etc}"),
        ("large.cgf", "no such file", "did you mean large.cfg?"),
        ("large.cfg/x", "no such file", "usually"),
        (str(tmp_path), "it is a folder", "in it"),
        ("large.cfg", "larger than 1 MiB", "right file"),
        ("a\0b", "not a path", ""),
        ("x" * 5000, "File name too long", ""),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert reason in caught.value.reason
        assert hint in caught.value.hint


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(ConfigError, match="permission denied") as caught:
        load_config("web.cfg")
    assert "root" in caught.value.hint


def test_create_imports_nothing_costly() -> None:
    import subprocess
    import sys

    code = (
        "import sys; before = set(sys.modules)\n"
        "from xentool.domain.config.load import load_config\n"
        "import xentool.domain.config.userdata\n"
        "load_config('/dev/null', ['name=a', 'kernel=k', 'memory=4', 'cpus=0'])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith(("xentool", "_", "encodings"))}
    assert loaded <= {"errno"}
