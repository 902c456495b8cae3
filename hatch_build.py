"""What a wheel has beside the package: the manual, as prose for `xentool help` and as pages for man(1)."""

from __future__ import annotations

import os
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface):  # type: ignore[type-arg]
    """Make the man pages from the tables of the commands and keys, and put them where man looks."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        sys.path.insert(0, self.root)
        try:
            from xentool.cli.manual import PAGES, write_man_pages
        finally:
            sys.path.remove(self.root)
        for (_, section), path in zip(
            PAGES, write_man_pages(os.path.join(self.root, "build", "man")), strict=True
        ):
            build_data["shared_data"][path] = f"share/man/man{section}/{os.path.basename(path)}"
        build_data["force_include"][os.path.join(self.root, "man")] = "xentool/man"
