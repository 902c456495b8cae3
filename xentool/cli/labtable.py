"""The `lab` and `mock` commands, declared as those of `table`; read only when one of them is asked for."""

from __future__ import annotations

from xentool.cli.declare import Argument, Command, Option

_COMMANDS = "xentool.cli.commands."

_DIRECTORY = Option(
    "directory",
    ("--directory",),
    "the mock host's folder. Default: $XENTOOL_MOCK_DIR, or one of your own in $XDG_RUNTIME_DIR or /tmp",
    "file",
    metavar="DIR",
)

_XEN_RELEASE = Option(
    "xen", ("--xen",), "the release of Xen", "choice", metavar="RELEASE", choices=("4.17", "4.20")
)

_LAB_OPTIONS = (
    Option("out", ("--out",), "a folder of this machine that is /lab/out in the lab", "file", metavar="DIR"),
    Option("memory", ("--memory",), "the machine's memory in MiB (default: 4096)", "integer", metavar="MIB"),
    Option(
        "dom0_memory", ("--dom0-memory",), "Domain-0's part of it (default: 1536)", "integer", metavar="MIB"
    ),
    Option("cpus", ("--cpus",), "the machine's CPUs (default: 2)", "integer", metavar="NUMBER"),
    Option(
        "xenstored",
        ("--xenstored",),
        "the store daemon: the one in C (default), or oxenstored, in OCaml",
        "choice",
        metavar="DAEMON",
        choices=("xenstored", "oxenstored"),
    ),
    Option(
        "keep_log",
        ("--keep-log",),
        "write the serial console, Xen's and Linux's, to FILE",
        "file",
        metavar="FILE",
    ),
)

LAB = (
    Command(
        "lab build",
        "Make the lab's image, or say where it is",
        _COMMANDS + "lab:build",
        text="""\
Prints the image's folder. The first image of a release takes a minute and 150 MB of Debian's packages; it is
cached, and made anew when its recipe changes.""",
        options=(
            _XEN_RELEASE,
            Option("refresh", ("--refresh",), "ask Debian for newer packages"),
        ),
        stoppable=True,
    ),
    Command(
        "lab run",
        "Run a command in Domain-0 of a fresh lab",
        _COMMANDS + "lab:run",
        text="""\
Boots Xen, runs the command as root in Domain-0, where this xentool is installed beside xl, and ends the lab.
The output and the exit code are the command's. With --json they are an object.
`xentool lab run --xen 4.20 -- sh -c 'xentool create tiny.cfg && xl list'`""",
        arguments=(Argument("words", "the command", many=True, metavar="COMMAND"),),
        options=(
            _XEN_RELEASE,
            Option(
                "timeout",
                ("--timeout",),
                "end the command, and the lab, after so long (default: 600), and exit 9",
                "seconds",
                metavar="SECONDS",
            ),
            *_LAB_OPTIONS,
        ),
        stoppable=True,
        passthrough=True,
    ),
    Command(
        "lab shell",
        "Open a shell in Domain-0 of a fresh lab",
        _COMMANDS + "lab:shell",
        text="The lab ends with the shell.",
        options=(_XEN_RELEASE, *_LAB_OPTIONS),
        stoppable=True,
    ),
)

MOCK = (
    Command("mock start", "Start the mock host", _COMMANDS + "mock:start", options=(_DIRECTORY,)),
    Command(
        "mock stop",
        "End the mock host and all its domains",
        _COMMANDS + "mock:stop",
        options=(_DIRECTORY,),
    ),
    Command(
        "mock status",
        "Say whether the mock host runs (exit code 0) or not (1)",
        _COMMANDS + "mock:status",
        options=(_DIRECTORY,),
    ),
    Command(
        "mock kernel",
        "Write a small PV kernel for the mock host's guests",
        _COMMANDS + "mock:kernel",
        arguments=(Argument("file", "the file to write", "file"),),
    ),
    Command(
        "mock bridge",
        "Make a bridge in the mock host's Domain-0, or delete one",
        _COMMANDS + "mock:bridge",
        text="The mock host has a bridge xenbr0 to begin with.",
        arguments=(Argument("name", "the bridge's name"),),
        options=(
            Option("mtu", ("--mtu",), "its MTU (default: 1500)", "integer", metavar="BYTES"),
            Option("vlan_filtering", ("--vlan-filtering",), "it tells VLANs apart, as `vlan=` needs it"),
            Option("delete", ("--delete",), "delete it; its ports stay"),
            _DIRECTORY,
        ),
    ),
    Command(
        "mock links",
        "List the interfaces of the mock host's Domain-0, and what guards them",
        _COMMANDS + "mock:links",
        options=(_DIRECTORY,),
    ),
)
