"""Every command of xentool: the one place where its names, options and arguments are written down."""

from __future__ import annotations

from xentool.cli.declare import Argument, Command, Group, Option

_COMMANDS = "xentool.cli.commands."

GLOBALS = (
    Option(
        "backend",
        ("--backend",),
        "this machine's Xen, or the mock host (auto: xen). Default: $XENTOOL_BACKEND, or auto",
        "choice",
        metavar="BACKEND",
        choices=("auto", "xen", "mock"),
    ),
    Option("json", ("--json",), "print JSON: the answer on stdout, an error on stderr"),
    Option("dry_run", ("-N", "--dry-run"), "only show what would be done"),
    Option("verbose", ("-v", "--verbose"), "say more: each step, and an error's details", "count"),
    Option("debug", ("--debug",), "print a Python traceback with an error"),
)

_DOMAIN = Argument("domain", "the domain's name or domid", "domain")

_TIMEOUT = Option(
    "timeout",
    ("--timeout",),
    "give up waiting after so long, and exit 9 (default: wait for ever)",
    "seconds",
    metavar="SECONDS",
)

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

_ALL = (
    Command(
        "create",
        "Create a domain from a config file",
        _COMMANDS + "create:create",
        text="""\
Reads CONFIG (xl's syntax, or YAML if its name ends in .yaml or .yml), builds the domain and starts it.
Settings on the command line are read after the file and replace its own: `memory=512`.
Either the domain is whole afterwards, or nothing of it is left: an error, ^C and SIGTERM undo what was
begun, and what `kill -9` leaves behind the next command undoes (see `xentool gc`).""",
        arguments=(
            Argument(
                "words",
                "the config file, and settings that replace its own",
                "file",
                required=False,
                many=True,
                metavar="[CONFIG] [KEY=VALUE]",
            ),
        ),
        options=(
            Option("paused", ("-p", "--paused"), "leave the domain paused"),
            Option("console", ("-c", "--console"), "attach to the console before the domain starts"),
            Option("quiet", ("-q", "--quiet"), "no progress, no warnings about the config"),
            Option("dry_run", ("-n", "--dryrun", "-N", "--dry-run"), "show the plan, and touch nothing"),
            Option(
                "defconfig",
                ("-f", "--defconfig"),
                "the config file, also with a = in its name",
                "file",
                metavar="FILE",
            ),
        ),
        dry_run=True,
        stoppable=True,
    ),
    Command(
        "list",
        "List domains",
        _COMMANDS + "show:list_domains",
        text="""\
Lists all domains, or those named. In a pipe the text is xl's, byte for byte; on a terminal it is a table.
The state's letters: r running, b blocked (idle), p paused, s shut down; then why it shut down: r reboot,
s suspend, c crash, w watchdog, S soft reset, and - power off; then d dying.""",
        arguments=(
            Argument("domains", "the domains to list", "domain", required=False, many=True, metavar="DOMAIN"),
        ),
        options=(
            Option("long", ("-l", "--long"), "print whole configs, as JSON in libxl's words"),
            Option("uuids", ("-v", "--verbose"), "print uuids, reasons of shutdown and security labels too"),
            Option("labels", ("-Z", "--context"), "print security labels too"),
            Option("pools", ("-c", "--cpupool"), "print the cpupool too"),
        ),
    ),
    Command(
        "destroy",
        "End a domain at once",
        _COMMANDS + "lifecycle:destroy",
        text="Like pulling its plug: the guest is not asked. `xentool shutdown` asks.",
        arguments=(_DOMAIN,),
        options=(Option("force", ("-f", "--force"), "accepted, as by xl; Domain-0 is never destroyed"),),
    ),
    Command("pause", "Stop a domain's vcpus", _COMMANDS + "lifecycle:pause", arguments=(_DOMAIN,)),
    Command("unpause", "Let a paused domain run", _COMMANDS + "lifecycle:unpause", arguments=(_DOMAIN,)),
    Command(
        "shutdown",
        "Ask a domain to power off",
        _COMMANDS + "lifecycle:shutdown",
        text="""\
Asks the guest, which takes its time or does not listen. With --wait the command returns when the domain is
gone or has shut down; what its config says under on_poweroff is then done.""",
        arguments=(Argument("domain", "the domain's name or domid", "domain", required=False),),
        options=(
            Option("all", ("-a", "--all"), "every domain but Domain-0"),
            Option("wait", ("-w", "--wait"), "wait until it has shut down"),
            _TIMEOUT,
            Option("acpi", ("-F",), "accepted for xl's sake: PV domains have no ACPI button", hidden=True),
        ),
    ),
    Command(
        "console",
        "Attach to a domain's console",
        _COMMANDS + "console:console",
        text="""\
^] leaves the console; the domain goes on. When the domain ends, so does the command.
Input that is no terminal is sent to the domain as it comes; at its end the output is still printed.""",
        arguments=(_DOMAIN,),
        options=(
            Option(
                "type",
                ("-t", "--type"),
                "which console. A domain without a serial console has its PV console attached, as with xl",
                "choice",
                metavar="TYPE",
                choices=("pv", "serial"),
            ),
        ),
        stoppable=True,
    ),
    Command(
        "domid",
        "Print the domid of a name",
        _COMMANDS + "show:domid",
        arguments=(Argument("domain", "the domain's name", "domain", metavar="NAME"),),
    ),
    Command(
        "domname",
        "Print the name of a domid",
        _COMMANDS + "show:domname",
        arguments=(Argument("domid", "the domain's number"),),
    ),
    Command(
        "info",
        "Describe the host",
        _COMMANDS + "show:info",
        text="With KEY, prints only the values of the lines that begin with KEY: `xentool info free_memory`.",
        arguments=(Argument("key", "what to print", required=False),),
    ),
    Command(
        "gc",
        "Undo what killed creates left behind",
        _COMMANDS + "lifecycle:collect",
        text="Commands that change domains do this first; `gc` does nothing else, and says what it undid.",
        stoppable=True,
    ),
    Group(
        "store",
        "Look into XenStore, and repair it",
        "xentool.cli.storetable:STORE",
        text="""\
Paths are absolute, or relative to the caller's own domain (/local/domain/0 for Domain-0), or with -d to
another's; `.` is that domain's own node. Values are shown with escapes (`\\n`, `\\x1b`, `\\000`), as
xenstore-read shows them. All but `audit` need a store and no hypervisor: $XENSTORED_PATH may name any
daemon's socket.""",
    ),
    Group(
        "lab",
        "Run real Xen on this machine, under QEMU",
        (
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
        ),
        text="The lab needs neither a Xen host nor root: QEMU and Debian's packages make one.",
    ),
    Group(
        "mock",
        "Control the mock host, which plays a Xen host",
        (
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
        ),
        text="""\
Commands with `--backend mock` start it themselves. It ends by `mock stop`, or by itself when it has had no
domain and no visitor for a while, and leaves nothing behind.""",
    ),
    Command("version", "Print xentool's version", _COMMANDS + "about:version"),
    Command(
        "help",
        "Show the manual: of xentool, of a command, of configs (help xentool.cfg)",
        _COMMANDS + "about:help_",
        arguments=(Argument("words", "the command", required=False, many=True, metavar="COMMAND"),),
    ),
    Command(
        "completion",
        "Print the script that completes commands in your shell",
        _COMMANDS + "about:completion",
        text='For bash, put `eval "$(xentool completion bash)"` in ~/.bashrc.',
        arguments=(Argument("shell", "bash, zsh or fish", metavar="SHELL", choices=("bash", "zsh", "fish")),),
    ),
)

COMMANDS: dict[str, Command | Group] = {command.name: command for command in _ALL}
