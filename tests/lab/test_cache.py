"""Images in the cache: whole or not there, made once, removed only when nobody uses them."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xentool.errors import LabError
from xentool.lab import build as building
from xentool.lab.build import build
from xentool.lab.cache import Cache, Image
from xentool.lab.packages import Packages
from xentool.lab.recipe import recipe_id, release_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xentool.lab.recipe import Release


class Maker:
    """Stands in for apt and for the making of images; `versions` are what Debian has today."""

    def __init__(self, folder: Path) -> None:
        self.made = folder / "made"
        self.versions = {"bash_1.deb": "bash=1"}
        self.fails = False
        self.seconds = 0.0

    def make_image(
        self,
        release: Release,
        debs: Sequence[str],
        packages: Sequence[str],
        folder: str,
        progress: Callable[[str], None],
    ) -> None:
        Path(folder, "root.img").write_text("half")
        if self.fails:
            raise LabError("make", "", "no space")
        time.sleep(self.seconds)
        with open(self.made, "a") as file:
            file.write("x")
        Path(folder, "root.img").write_text(" ".join(packages))

    @property
    def times(self) -> int:
        return len(self.made.read_text()) if self.made.exists() else 0


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    maker = Maker(tmp_path)
    monkeypatch.setattr(building, "make_image", maker.make_image)
    monkeypatch.setattr(Packages, "update", lambda self: None)
    monkeypatch.setattr(Packages, "resolve", lambda self, names: maker.versions)
    monkeypatch.setattr(Packages, "download", lambda self, names, progress: list(maker.versions))
    return maker


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(str(tmp_path / "cache"))


def debris(cache: Cache) -> list[str]:
    return [name for name in os.listdir(os.path.join(cache.folder, "images")) if name.startswith(".")]


def test_an_image_is_made_once_and_found_without_apt(
    cache: Cache, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build("4.17", cache=cache)
    assert Path(image.path("root.img")).read_text() == "bash=1"
    monkeypatch.setenv("PATH", "/nonexistent")  # no apt, no network
    monkeypatch.setattr(Packages, "update", None)
    assert build("4.17", cache=cache).folder == image.folder
    assert maker.times == 1


def test_missing_tools_are_named_together(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("xentool.lab.tools._SYSTEM_FOLDERS", "/nonexistent")
    with pytest.raises(LabError) as caught:
        build("4.20", cache=cache)
    assert str(caught.value) == (
        "build the lab's image for Xen 4.20: apt-get, debugfs, dpkg-deb and mke2fs are not installed"
    )
    assert caught.value.hint == "on Debian: apt-get install apt e2fsprogs dpkg"


def test_refresh_makes_a_new_image_only_for_new_packages(cache: Cache, maker: Maker) -> None:
    first = build("4.17", cache=cache)
    assert build("4.17", cache=cache, refresh=True).folder == first.folder
    assert maker.times == 1
    maker.versions = {"bash_2.deb": "bash=2"}
    second = build("4.17", cache=cache, refresh=True)
    assert second.folder != first.folder
    assert build("4.17", cache=cache).folder == second.folder
    assert maker.times == 2


def test_a_build_that_fails_leaves_no_image(cache: Cache, maker: Maker) -> None:
    maker.fails = True
    with pytest.raises(LabError, match="no space"):
        build("4.17", cache=cache)
    assert cache.find("4.17", recipe_id(release_of("4.17"))) is None
    assert debris(cache) == []
    maker.fails = False
    assert Path(build("4.17", cache=cache).path("root.img")).read_text() == "bash=1"


def test_what_a_killed_builder_left_is_removed(cache: Cache, maker: Maker) -> None:
    cache.make()
    half = cache.scratch("4.17")
    Path(half, "root.img").write_text("half")
    os.symlink("nowhere", os.path.join(cache.folder, "images", ".4.17-link"))
    others = cache.scratch("4.20")
    build("4.17", cache=cache)
    assert debris(cache) == [os.path.basename(others)]


def test_two_builders_at_once_make_one_image(cache: Cache, maker: Maker) -> None:
    maker.seconds = 0.3
    fork = multiprocessing.get_context("fork")
    builders = [fork.Process(target=build, args=("4.17",), kwargs={"cache": cache}) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0] * 4
    assert maker.times == 1


def test_only_so_many_images_are_kept(cache: Cache) -> None:
    cache.make()
    for number in range(6):
        image = cache.publish(cache.scratch("4.17"), f"id{number}")
        cache.point("4.17", f"recipe{number}", image)
        os.utime(image.folder, (number, number))
    images = os.path.join(cache.folder, "images")
    with Image(f"{images}/id0").held(), Image(f"{images}/id1").held():
        # id0 was used last now; of those in use none is removed, however old.
        os.utime(f"{images}/id1", (1, 1))
        removed = cache.prune(keep=2)
    assert sorted(os.path.basename(path) for path in removed) == ["id2", "id3", "id4"]
    assert [number for number in range(6) if cache.find("4.17", f"recipe{number}")] == [0, 1, 5]
    assert not os.path.lexists(os.path.join(cache.folder, "images", "4.17-recipe3"))


def test_a_link_that_gets_its_name_meanwhile_is_none_that_leads_nowhere(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.make()
    image = cache.publish(cache.scratch("4.20"), "id")
    new, link = (os.path.join(cache.folder, "images", name) for name in (".4.20-link", "4.20-recipe"))
    os.symlink("id", new)
    exists = os.path.exists

    def looked_at_late(path: str) -> bool:
        if path == new:
            os.rename(new, link)
        return exists(path)

    monkeypatch.setattr(os.path, "exists", looked_at_late)
    cache.prune()
    found = cache.find("4.20", "recipe")
    assert found is not None
    assert found.folder == image.folder


def test_an_image_that_is_gone(cache: Cache) -> None:
    with pytest.raises(LabError, match="No such file"), Image(cache.folder + "/images/x").held():
        pass


def test_a_cache_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="Not a directory") as caught:
        Cache(str(tmp_path / "file" / "cache")).make()
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert Cache().folder == "/x/xentool/lab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert Cache().folder == "/h/.cache/xentool/lab"
