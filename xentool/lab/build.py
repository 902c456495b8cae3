"""`build`: an image for a Xen, from the cache or made now."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from xentool.lab.cache import Cache
from xentool.lab.image import make_image
from xentool.lab.packages import Packages
from xentool.lab.recipe import DEFAULT_XEN, image_id, packages_of, recipe_id, release_of
from xentool.lab.tools import BUILD_TOOLS, require_tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from xentool.lab.cache import Image


def build(
    xen: str = DEFAULT_XEN,
    *,
    refresh: bool = False,
    cache: Cache | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> Image:
    """The image for `xen`: the cached one, or a new one (half a minute, and 150 MB from Debian's archive).

    A cached image is used as long as the recipe stays the same, without any network. `refresh` asks Debian
    for newer packages, and makes a new image if there are any. LabError says what is missing or failed.
    """
    release = release_of(xen)
    cache = cache or Cache()
    recipe = recipe_id(release)
    image = None if refresh else cache.find(xen, recipe)
    if image:
        return image
    require_tools(BUILD_TOOLS, f"build the lab's image for Xen {xen}")
    with cache.building(xen):
        image = None if refresh else cache.find(xen, recipe)
        if image:
            return image
        source = Packages(release.suite, os.path.join(cache.folder, "apt", release.suite))
        progress(f"asking Debian {release.suite} for its packages")
        source.update()
        names = packages_of(release)
        versions = list(source.resolve(names).values())
        identity = image_id(recipe, versions)
        image = cache.find_id(identity)
        if not image:
            debs = source.download(names, progress)
            scratch = cache.scratch(xen)
            try:
                make_image(release, debs, versions, scratch, progress)
                image = cache.publish(scratch, identity)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        cache.point(xen, recipe, image)
        cache.prune()
    return image
