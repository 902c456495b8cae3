"""xl's syntax of disks."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentool.devices.vbd.spec import BACKEND_TYPES, Disk, parse_disk, parse_disk_mapping
from xentool.errors import ConfigError

VOLUME = Disk("/dev/vg/guest-volume", "hda")
ISO = Disk("/root/image.iso", "hdc", access="r", cdrom=True)


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        # The examples of xl-disk-configuration(5).
        ("/dev/vg/guest-volume,,hda", VOLUME),
        ("/dev/vg/guest-volume,raw,hda,rw", VOLUME),
        ("format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume", VOLUME),
        ("raw:/dev/vg/guest-volume,hda,w", VOLUME),
        ("/root/image.iso,,hdc,cdrom", ISO),
        ("/root/image.iso,,hdc,,cdrom", ISO),
        ("/root/image.iso,raw,hdc,devtype=cdrom", ISO),
        ("format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso", ISO),
        ("raw:/root/image.iso,hdc:cdrom,ro", ISO),
        (
            ",hdc:cdrom,r",
            Disk("", "hdc", format="empty", access="r", cdrom=True, given=frozenset({"target"})),
        ),
        ("vdev=hdc,cdrom", Disk("", "hdc", format="empty", access="r", cdrom=True)),
        # Prefixes, alone and one after the other.
        ("phy:/dev/sdb,sda1,w", Disk("/dev/sdb", "sda1")),
        ("file:/a.img,xvda:disk,r", Disk("/a.img", "xvda", access="r")),
        ("tap:aio:qcow2:/a,xvda,w", Disk("/a", "xvda", format="qcow2")),
        ("nbd:host:10809,xvda,w", Disk("host:10809", "xvda", script="block-nbd")),
        # A path may have nearly everything in it, if it comes last.
        ("vdev=xvda,target=/a,b=c:d ,", Disk("/a,b=c:d ", "xvda")),
        (",qcow2,xvda,target=/a", Disk("/a", "xvda", format="qcow2")),
        ("\t/a , ,xvda", Disk("/a ", "xvda")),  # blanks go before a word alone, as in xl
        ("/a,\n raw,\txvda", Disk("/a", "xvda")),
        ("/a,,xvda,rw!", Disk("/a", "xvda", access="w!")),
        ("/a,,xvda,w,format=raw,access=rw", Disk("/a", "xvda")),
        (
            "/a,vhd,xvda,r,backend=storage,backendtype=qdisk,specification=xen,direct-io-safe,no-discard,untrusted",
            Disk(
                "/a", "xvda", format="vhd", access="r", backend="storage", backendtype="qdisk",
                specification="xen", direct_io_safe=True, discard=False, trusted=False,
            ),
        ),
        ("/a,,xvda,discard,trusted", Disk("/a", "xvda", discard=True, trusted=True)),
        ("/a,,xvda,grant_usage=0", Disk("/a", "xvda", grant_usage=False)),
        ("/a,,xvda,no-colo", Disk("/a", "xvda", given=frozenset({"colo"}))),
        ("script=block-x,vdev=xvda,target=iqn=x,portal=y", Disk("iqn=x,portal=y", "xvda", script="block-x")),
        ("/dev/cdrom,,hdc,cdrom,rw", Disk("/dev/cdrom", "hdc", access="r", cdrom=True)),
    ],
)  # fmt: skip
def test_disks(text: str, disk: Disk) -> None:
    assert parse_disk(text) == disk


@pytest.mark.parametrize(
    ("text", "reason", "hint"),
    [
        ("", "it has no vdev", "vdev=xvda"),
        ("/a", "it has no vdev", "vdev=xvda"),
        ("/a,raw", "it has no vdev", "vdev=xvda"),
        ("vdev=xvda", "it has no target", "target=PATH"),
        (",,xvda", "it has no target", "cdrom for an empty drive"),
        ("/a,empty,xvdc,cdrom", "its format is empty, but there is a target", "leave one of them out"),
        ("/a,xvda,w", '"xvda" is no format', "target,format,vdev,access"),
        ("/a,qcow22,xvda", '"qcow22" is no format (there are: raw, qcow, qcow2', 'did you mean "qcow2"?'),
        ("/a,raw,vda", '"vda" is no virtual disk', "xvda"),
        ("/a,raw,xvda,x", '"x" is no access', ""),
        ("/a,raw,xvda,w,r", '"r" is one word too many', "the order is"),
        ("/a,raw,xvda,format=qcow2", 'format is given twice, as "raw" and as "qcow2"', "keep one"),
        ("/a,raw,xvda,vdev=xvda", "vdev is given twice", ""),
        ("/a,raw,xvda,w,access=r", 'access is given twice, as "w" and as "r"', ""),
        ("/a,raw,xvda,cdrom,devtype=disk", "devtype is given twice", ""),
        ("/a,raw,xvda,discard,no-discard", "discard is given twice", ""),
        ("/a,raw,xvda,devtype=floppy", '"floppy" is no devtype', ""),
        ("/a,raw,xvda,backendtype=blkback", '"blkback" is no backendtype (there are: phy, qdisk', ""),
        ("/a,raw,xvda,specification=zen", '"zen" is no specification', 'did you mean "xen"?'),
        ("/a,raw,xvda,acess=r", 'there is no parameter "acess"', 'did you mean "access"?'),
        ("/a,raw,xvda,dicard", '"dicard" is no access', ""),
        ("/a=b,raw,xvda", 'holds "=", which only target= may', "at the very end"),
        ("/a,raw,xvda,discard=1", 'there is no parameter "discard"', ""),
        ("pyh:/dev/x,xvda,w", 'there is no prefix "pyh:"', 'did you mean "phy:"?'),
        ("/a,raw,xvda:tape", '"tape" is no devtype', ""),
        ("/a,raw,xvda,colo,colo-host=h", "COLO", "use xl"),
        ("/a\x07b,raw,xvda", "control character", ""),
        ("/a\0,raw,xvda", "control character", ""),
    ],
)
def test_nonsense(text: str, reason: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_disk(text)
    assert reason in caught.value.reason
    assert hint in caught.value.hint
    assert caught.value.subject == f"'{text}'"


def test_one_disk_in_several_words() -> None:
    assert parse_disk("format=qcow2", "vdev=xvda", "target=/a,b") == Disk("/a,b", "xvda", format="qcow2")
    assert parse_disk("file:/a", "xvda", "r") == Disk("/a", "xvda", access="r")


def test_mappings() -> None:
    mapping = {"target": "/a,b", "vdev": "xvda", "format": "qcow2", "cdrom": False, "discard": False,
               "trusted": True, "direct-io-safe": True, "access": "ro"}  # fmt: skip
    disk = Disk("/a,b", "xvda", format="qcow2", access="r", discard=False, trusted=True, direct_io_safe=True)
    assert parse_disk_mapping(mapping) == disk


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"target": "/a", "vdev": "xvda", "cdrom": "yes"}, '"cdrom" must be true or false'),
        ({"target": True, "vdev": "xvda"}, '"target" must be text'),
        ({"target": ["/a"], "vdev": "xvda"}, '"target" must be text'),
        ({"target": "/a", "vdevs": "xvda"}, 'there is no parameter "vdevs"'),
        ({"target": "/a"}, "it has no vdev"),
    ],
)
def test_wrong_mappings(mapping: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_disk_mapping(mapping)
    assert reason in caught.value.reason


paths = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).map(lambda text: "/" + text)
disks = st.builds(
    Disk,
    paths.filter(lambda path: not path.endswith(",")),
    st.sampled_from(["xvda", "xvdb1", "hdc", "sda", "d26p0", "51712"]),
    format=st.sampled_from(["raw", "qcow", "qcow2", "vhd", "qed"]),
    access=st.sampled_from(["r", "w", "w!"]),
    backend=st.sampled_from(["", "storage", "0"]),
    backendtype=st.sampled_from(["", *BACKEND_TYPES]),
    direct_io_safe=st.booleans(),
    discard=st.none() | st.booleans(),
    trusted=st.none() | st.booleans(),
)


@given(disks, st.randoms())
def test_named_parameters_in_any_order(disk: Disk, random: object) -> None:
    words = [f"format={disk.format}", f"vdev={disk.vdev}", f"access={disk.access}"]
    words += [f"{name}={value}" for name in ("backend", "backendtype") if (value := getattr(disk, name))]
    words += ["direct-io-safe"] * disk.direct_io_safe
    words += [] if disk.discard is None else ["discard" if disk.discard else "no-discard"]
    words += [] if disk.trusted is None else ["trusted" if disk.trusted else "untrusted"]
    random.shuffle(words)  # type: ignore[attr-defined]
    assert parse_disk(", ".join([*words, f"target={disk.target}"])) == disk


@given(st.text("/abcxvd0123=,: !\t\n-rwqo", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_disk_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        disk = parse_disk(text)
        assert disk.devid >= 0
        assert disk.target or disk.cdrom
        assert not (disk.cdrom and disk.writable)
