"""Where images live, and who may touch them when.

    CACHE/apt/SUITE/             the lab's own apt folders
    CACHE/images/ID/             an image; it got its name by a rename when it was whole, and never changes
    CACHE/images/XEN-RECIPE      a link to the image that a recipe made last
    CACHE/python/VERSION/        compiled modules by the hash of their source
    CACHE/XEN.lock               held while an image for that Xen is made

A lab that boots from an image holds a shared lock on its folder; an image is removed under an exclusive one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from xentool.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

# How many images are kept; beyond, those not used for longest go.
KEPT_IMAGES: Final = 4


def cache_folder() -> str:
    """The lab's folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "xentool", "lab")


class Image:
    """A finished image in the folder `folder`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, name: str) -> str:
        """The path of one of the image's files."""
        return os.path.join(self.folder, name)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the image from being removed meanwhile. LabError if it is gone already."""
        try:
            fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise LabError("open the lab's image", self.folder, exc.strerror or str(exc)) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            os.utime(fd)
            yield
        finally:
            os.close(fd)


class Cache:
    """The images under `folder`."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder or cache_folder()
        self._images = os.path.join(self.folder, "images")

    def make(self) -> None:
        """Make the cache's own folders. LabError if that is not allowed."""
        try:
            os.makedirs(self._images, exist_ok=True)
        except OSError as exc:
            raise LabError(
                "make the lab's cache",
                self.folder,
                exc.strerror or str(exc),
                hint="set XDG_CACHE_HOME to a folder that you may write",
            ) from exc

    @contextmanager
    def building(self, xen: str) -> Iterator[None]:
        """Alone with making images for `xen`: a second builder waits, and then finds the image made."""
        self.make()
        with open(os.path.join(self.folder, f"{xen}.lock"), "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._remove_debris(xen)
            yield

    def find(self, xen: str, recipe: str) -> Image | None:
        """The image that this recipe made last, or None."""
        link = os.path.join(self._images, f"{xen}-{recipe}")
        return Image(os.path.realpath(link)) if os.path.isdir(link) else None

    def find_id(self, image_id: str) -> Image | None:
        """The image of this id, or None."""
        folder = os.path.join(self._images, image_id)
        return Image(folder) if os.path.isdir(folder) else None

    def scratch(self, xen: str) -> str:
        """A new folder to make an image in, beside where it will be."""
        return tempfile.mkdtemp(prefix=f".{xen}-", dir=self._images)

    def publish(self, scratch: str, image_id: str) -> Image:
        """Give a finished image its name."""
        folder = os.path.join(self._images, image_id)
        os.rename(scratch, folder)
        return Image(folder)

    def point(self, xen: str, recipe: str, image: Image) -> None:
        """Make `image` the one that `find` gives."""
        link = os.path.join(self._images, f"{xen}-{recipe}")
        new = os.path.join(self._images, f".{xen}-link")
        os.symlink(os.path.basename(image.folder), new)
        os.rename(new, link)

    def prune(self, keep: int = KEPT_IMAGES) -> list[str]:
        """Remove the images beyond the `keep` used last, but none that is in use; what was removed."""
        folders = [entry.path for entry in os.scandir(self._images) if self._is_image(entry)]
        folders.sort(key=lambda path: os.stat(path).st_mtime, reverse=True)
        removed = [path for path in folders[keep:] if self._remove(path)]
        for entry in list(os.scandir(self._images)):
            if entry.is_symlink() and not os.path.exists(entry.path):
                # An image for another Xen may be being made: its link gets another name, or is removed there.
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)
        return removed

    @staticmethod
    def _is_image(entry: os.DirEntry[str]) -> bool:
        return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")

    def _remove(self, folder: str) -> bool:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Renamed first: half an image must not be found under an image's name.
            doomed = os.path.join(self._images, f".gone-{os.path.basename(folder)}")
            os.rename(folder, doomed)
            shutil.rmtree(doomed)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def _remove_debris(self, xen: str) -> None:
        """What a builder that was killed left behind; the lock says that none is at work."""
        for entry in list(os.scandir(self._images)):
            if entry.name.startswith(f".{xen}-"):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
