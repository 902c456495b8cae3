"""Turning the machine's apt sources to another release, and reading what apt says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from xentool.errors import LabError
from xentool.lab import packages
from xentool.lab.packages import SOURCES_VARIABLE, Packages, sources_for

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# a comment
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: https://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://vendor.example/apt
Suites: vendor-bookworm
Components: main
"""


def test_deb822_sources_are_turned_and_others_left_out() -> None:
    text = sources_for("trixie", [("debian.sources", DEB822)])
    assert text == (
        "Types: deb\nSuites: trixie trixie-updates\nComponents: main\nURIs: https://mirror.example/debian\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ\n -----END PGP PUBLIC KEY BLOCK-----\n\n"
        "Types: deb\nSuites: trixie-security\nComponents: main\nURIs: https://mirror.example/debian-security\n"
    )


def test_one_line_sources_keep_their_options() -> None:
    text = sources_for(
        "bookworm",
        [
            (
                "sources.list",
                (
                    "deb [signed-by=/k.gpg arch=amd64] http://m.example/debian stable main contrib # x\n"
                    "deb-src http://m.example/debian stable main\n"
                    "deb http://m.example/security bullseye/updates main\n"
                    "deb http://docker.example/linux/debian bookworm stable\n"
                ),
            )
        ],
    )
    assert text == (
        "Types: deb\nSuites: bookworm\nComponents: main\nURIs: http://m.example/debian\nSigned-By: /k.gpg\n\n"
        "Types: deb\nSuites: bookworm-security\nComponents: main\nURIs: http://m.example/security\n"
    )


def test_the_same_source_twice_is_one() -> None:
    line = "deb http://m.example/debian bookworm main\n"
    assert sources_for("trixie", [("a.list", line), ("b.list", line)]).count("Types") == 1


def test_a_machine_without_debians_sources_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(SOURCES_VARIABLE, raising=False)
    monkeypatch.setattr(
        packages,
        "_machine_sources",
        lambda: iter([("ubuntu.list", "deb http://ubuntu.example/ubuntu noble main\n")]),
    )
    with pytest.raises(LabError, match="no apt source of this machine is Debian's") as caught:
        Packages("trixie", str(tmp_path)).update()
    assert SOURCES_VARIABLE in caught.value.hint


def test_own_sources_are_used_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own.sources"
    own.write_text("Types: deb\nSuites: @SUITE@\n")
    monkeypatch.setenv(SOURCES_VARIABLE, str(own))
    source = Packages("trixie", str(tmp_path / "apt"))
    monkeypatch.setattr(source, "_apt", lambda action, arguments: "")
    source.update()
    assert (tmp_path / "apt/etc/debian.sources").read_text() == "Types: deb\nSuites: trixie\n"


def test_a_sources_file_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(SOURCES_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(LabError, match="No such file"):
        Packages("trixie", str(tmp_path)).update()


def test_packages_are_read_off_apts_simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Packages("bookworm", str(tmp_path))
    said = (
        "NOTE: This is only a simulation!\n"
        "Inst libattr1 (1:2.5.1-4 Debian:12.10/oldstable [amd64])\n"
        "Inst adduser (3.134 Debian:12.10/oldstable, Debian-Security:12/x [all]) []\n"
        "Conf adduser (3.134 Debian:12.10/oldstable [all])\n"
    )
    monkeypatch.setattr(source, "_apt", lambda action, arguments: said)
    assert source.resolve(["adduser"]) == {
        "libattr1_1%3a2.5.1-4_amd64.deb": "libattr1=1:2.5.1-4",
        "adduser_3.134_all.deb": "adduser=3.134",
    }


def test_apts_own_words_reach_the_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "apt-get").write_text(
        "#!/bin/sh\necho 'W: slow' >&2\necho 'E: no route to host' >&2\nexit 100\n"
    )
    os.chmod(bin_folder / "apt-get", 0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    with pytest.raises(LabError, match="no route to host") as caught:
        Packages("trixie", str(tmp_path)).resolve(["bash"])
    assert "W: slow" in caught.value.detail


def test_the_machines_sources_are_found_where_apt_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.list").write_text("deb http://m.example/debian bookworm main\n")
    (tmp_path / "ignored.txt").write_text("deb http://n.example/debian bookworm main\n")
    said = f"LIST='{tmp_path}/none'\nPARTS='{tmp_path}/'\n"
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *args, **kwargs: subprocess.CompletedProcess(args, 0, stdout=said, stderr=""),
    )
    assert [text for _, text in packages._machine_sources()] == [
        "deb http://m.example/debian bookworm main\n"
    ]
