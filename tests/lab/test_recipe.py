"""The recipe's hash: what makes a new image, and what does not."""

from __future__ import annotations

import pytest

from xentool.errors import LabError
from xentool.lab import recipe


def test_both_releases_have_a_recipe() -> None:
    assert set(recipe.RELEASES) == {"4.17", "4.20"}
    assert recipe.recipe_id(recipe.RELEASES["4.17"]) != recipe.recipe_id(recipe.RELEASES["4.20"])


def test_one_more_package_makes_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    release = recipe.release_of("4.20")
    before = recipe.recipe_id(release)
    assert recipe.recipe_id(release) == before
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "vim-tiny"))
    assert recipe.recipe_id(release) != before


def test_what_builds_is_part_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    release = recipe.release_of("4.20")
    before = recipe.recipe_id(release)
    monkeypatch.setattr(recipe, "_BUILDERS", recipe._BUILDERS[:-1])
    assert recipe.recipe_id(release) != before


def test_a_new_version_makes_another_image_and_the_order_does_not() -> None:
    old = recipe.image_id("recipe", ["bash=5.2", "xen=4.20.0"])
    assert recipe.image_id("recipe", ["xen=4.20.0", "bash=5.2"]) == old
    assert recipe.image_id("recipe", ["bash=5.2", "xen=4.20.1"]) != old
    assert recipe.image_id("other", ["bash=5.2", "xen=4.20.0"]) != old


def test_package_names_carry_the_release() -> None:
    assert "xen-utils-4.17" in recipe.packages_of(recipe.release_of("4.17"))


def test_an_unknown_release_is_refused_with_a_choice() -> None:
    with pytest.raises(LabError) as caught:
        recipe.release_of("4.99")
    assert "4.17, 4.20" in caught.value.hint
