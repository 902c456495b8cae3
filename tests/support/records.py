"""Configs of every key, what xl makes of them (`xl create -n -d`), and how ours differs.

``tests/domain/config/records/NAME.cfg`` are the configs, ``RELEASE/NAME.json`` beside them is what xl of
that release, on a host with two CPUs, shows of each. To make those anew, in the lab's dom0:

    python3 -m tests.support.records FOLDER
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from xentool.domain.config.load import load_config
from xentool.domain.config.record.whole import domain_config

RECORDS = Path(__file__).parent.parent / "domain" / "config" / "records"
RELEASES = ("4.17", "4.20")
NEWER = "newer-"
"""Begins the names of configs with keys that 4.17 does not have."""
HOST_CPU_NODES = [0, 0]

EXPLAINED = {
    "c_info.domid",  # xl adds it once it has shown the record
}
EXPLAINED_OF = {
    ("4.17", "pvh"): {"channels[0].devid"},  # libxl numbers them by itself
    ("4.17", "pv-devices"): {"pcidevs[0].rdm_policy"},  # "strict", which libxl takes in any case
    ("4.20", "pv-devices"): {"pcidevs[0].rdm_policy"},
}


def configs(release: str) -> list[Path]:
    """The configs that xl of a release can read whole."""
    newer = release != RELEASES[0]
    return [path for path in sorted(RECORDS.glob("*.cfg")) if newer or not path.name.startswith(NEWER)]


def explained(release: str, path: Path) -> set[str]:
    """Where our record of a config may differ from that xl's."""
    return EXPLAINED | EXPLAINED_OF.get((release, path.stem), set())


def our_record(path: Path, release: str) -> dict[str, object]:
    """Our record of a config."""
    config, _ = load_config(str(path))
    assert config.uuid
    major, minor = map(int, release.split("."))
    return dict(domain_config(config, config.uuid, HOST_CPU_NODES, xen_version=(major, minor)))


def xls_record(path: Path) -> str:
    """What the xl at hand shows of a config.

    Raises:
        subprocess.CalledProcessError: it refuses it.
    """
    done = subprocess.run(
        ["xl", "create", "-n", "-d", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.stdout


def differences(theirs: object, ours: object, where: str = "") -> set[str]:
    """The paths ("b_info.extra[0]") at which two records differ; "PATH: order" if fields stand otherwise."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        common = [name for name in theirs if name in ours]
        found = set() if common == [name for name in ours if name in theirs] else {f"{where}: order"}
        for name in theirs.keys() | ours.keys():
            path = f"{where}.{name}".lstrip(".")
            if (name in theirs) != (name in ours):
                found.add(path)
            else:
                found |= differences(theirs.get(name), ours.get(name), path)
        return found
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        inner = [
            differences(one, other, f"{where}[{i}]")
            for i, (one, other) in enumerate(zip(theirs, ours, strict=True))
        ]
        return set().union(*inner)
    return set() if theirs == ours and type(theirs) is type(ours) else {where}


def main(folder: str) -> None:
    """Write what xl shows of each config into `folder`/RELEASE."""
    info = subprocess.run(["xl", "info"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"^xen_version\s*: (\d+\.\d+)", info, re.MULTILINE)
    assert found
    release = found[1]
    out = Path(folder) / release
    out.mkdir(parents=True, exist_ok=True)
    for path in configs(release):
        text = xls_record(path)
        (out / path.name).with_suffix(".json").write_text(text)
        sys.stdout.write(f"{path.stem}: {sorted(differences(json.loads(text), our_record(path, release)))}\n")


if __name__ == "__main__":
    main(sys.argv[1])
