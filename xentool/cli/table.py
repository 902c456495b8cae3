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
    Option(
        "toolstack",
        ("--toolstack",),
        "xentool's own code, libxl, or the former for all that it does completely (auto). "
        "Default: $XENTOOL_TOOLSTACK, or auto",
        "choice",
        metavar="TOOLSTACK",
        choices=("auto", "native", "libxl"),
    ),
    Option("json", ("--json",), "print JSON: the answer on stdout, an error on stderr"),
    Option("dry_run", ("-N", "--dry-run"), "only show what would be done"),
    Option(
        "verbose",
        ("-v", "--verbose"),
        "say more: which toolstack does it and why (nothing of what native always does), each step, and an "
        "error's details; -vv, -vvv: libxl's own words too",
        "count",
    ),
    Option("debug", ("--debug",), "print a Python traceback with an error"),
)

_DOMAIN = Argument("domain", "the domain's name or domid", "domain")

_DOMAINS = Argument("domains", "the domains", "domain", many=True, metavar="DOMAIN")

_FORCE = Option("force", ("-f", "--force"), "do not ask the guest")

_LISTS = """\
What there is comes from the toolstacks' own record; state, event channel and ring references are what the
guest's driver says of itself, -1 where it says none."""

_TIMEOUT = Option(
    "timeout",
    ("--timeout",),
    "give up waiting after so long, and exit 9 (default: wait for ever)",
    "seconds",
    metavar="SECONDS",
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
begun, and what `kill -9` leaves behind the next command undoes (see `xentool gc`).

PV guests xentool builds itself; PVH and HVM guests, and what else it does not do, libxl builds. -v says
which, and why.""",
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
gone or has shut down; what its config says under on_poweroff is then done. An HVM guest without PV drivers
hears nothing but its ACPI button, which -F presses.""",
        arguments=(Argument("domain", "the domain's name or domid", "domain", required=False),),
        options=(
            Option("all", ("-a", "--all"), "every domain but Domain-0"),
            Option("wait", ("-w", "--wait"), "wait until it has shut down"),
            _TIMEOUT,
            Option(
                "acpi",
                ("-F", "--acpi"),
                "press the ACPI power button of an HVM guest that has no PV drivers to be asked",
            ),
        ),
    ),
    Command(
        "save",
        "Write a domain into a file, to go on with later",
        _COMMANDS + "saving:save",
        text="""\
The guest is stopped, its memory and its config are written to FILE, which `restore` and `xl restore` take,
and the domain ends; with -c it runs on, with -p it stays paused. With CONFIG the file has that config, in the
place of the domain's own. FILE is whole or it is not there: where saving fails, and on ^C, the guest runs on.
The domain ends once the disk has FILE; with --no-sync once the kernel has it, as with xl, and a power cut
within the next half minute may cost the guest.
Disks are not saved: what is on them must be the same when the guest goes on.""",
        arguments=(
            _DOMAIN,
            Argument("file", "the file to write", "file"),
            Argument("config", "a config for the file", "file", required=False),
        ),
        options=(
            Option("checkpoint", ("-c", "--checkpoint"), "let the domain run on afterwards"),
            Option("paused", ("-p", "--paused"), "leave the domain paused afterwards"),
            Option("keep_domid", ("-D", "--keep-domid"), "have it restored under the same domid"),
            Option("no_sync", ("--no-sync",), "do not wait until the disk has the file"),
            Option("quiet", ("-q", "--quiet"), "no progress, no warnings about the config"),
        ),
        stoppable=True,
    ),
    Command(
        "restore",
        "Let a saved domain go on",
        _COMMANDS + "saving:restore",
        text="""\
Makes a domain of a file that `save` or `xl save` wrote. The guest goes on where it was, with the config in
the file, or with CONFIG. Either the domain is whole afterwards, or nothing of it is left.""",
        arguments=(
            Argument(
                "words",
                "the file; before it a config",
                "file",
                many=True,
                dots=False,
                metavar="[CONFIG] FILE",
            ),
        ),
        options=(
            Option("paused", ("-p", "--paused"), "leave the domain paused"),
            Option("console", ("-c", "--console"), "attach to the console before the domain goes on"),
            Option("quiet", ("-q", "--quiet"), "no progress, no warnings about the config"),
            Option("unwatched", ("-e",), "accepted for xl's sake: nobody waits for the domain's end"),
            Option("chatty", ("-d",), "accepted for xl's sake: -v says more"),
        ),
        stoppable=True,
    ),
    Command(
        "console",
        "Attach to a domain's console",
        _COMMANDS + "console:console",
        text="""\
^] leaves the console; the domain goes on. When the domain ends, so does the command.
Input that is no terminal is sent to the domain as it comes; at its end the output is still printed.
With --log the domain may be gone; its name is enough.""",
        arguments=(_DOMAIN,),
        options=(
            Option(
                "type",
                ("-t", "--type"),
                "which console: the PV console, or a serial port of an HVM guest (its default, where it has "
                "one). A domain without a serial port has its PV console attached",
                "choice",
                metavar="TYPE",
                choices=("pv", "serial"),
            ),
            Option(
                "number",
                ("-n", "--num"),
                "a further console by its number: channel N is console N + 1. With -t serial, a serial port",
                "integer",
                metavar="NUMBER",
            ),
            Option("log", ("--log",), "print the console daemon's log of the console, and attach to nothing"),
            Option("follow", ("--follow",), "with --log: print what is added to it too, until ^C"),
        ),
        stoppable=True,
    ),
    Command(
        "network-attach",
        "Give a running domain a network interface",
        _COMMANDS + "devices:network_attach",
        text="""\
The words are those of a config's `vif`, one or several: `bridge=xenbr0`, `mac=00:16:3e:74:34:32`. They are
described in the manual (`xentool help xentool-network`). What is not said is as in a config.""",
        arguments=(
            _DOMAIN,
            Argument("words", "what it is like", required=False, many=True, metavar="[KEY=VALUE]"),
        ),
        dry_run=True,
        stoppable=True,
    ),
    Command(
        "network-detach",
        "Take a network interface out of a running domain",
        _COMMANDS + "devices:network_detach",
        text="""\
The guest is asked to let go of it. One that does not keeps it, and the command exits 9; with --force it is
taken away without asking.""",
        arguments=(_DOMAIN, Argument("which", "its number, or its MAC address", metavar="DEVID|MAC")),
        options=(_FORCE,),
        stoppable=True,
    ),
    Command(
        "network-list",
        "List domains' network interfaces",
        _COMMANDS + "devicelists:network_list",
        text=_LISTS,
        arguments=(_DOMAINS,),
    ),
    Command(
        "block-attach",
        "Give a running domain a disk",
        _COMMANDS + "devices:block_attach",
        text="""\
The words are those of a config's `disk`, in one word or in several: `/img/web.raw,raw,xvdb,w`, or
`phy:/dev/vg/web xvdb w`. They are described in the manual (`xentool help xentool-disk`).""",
        arguments=(_DOMAIN, Argument("words", "the disk", many=True, metavar="DISK")),
        dry_run=True,
        stoppable=True,
    ),
    Command(
        "block-detach",
        "Take a disk out of a running domain",
        _COMMANDS + "devices:block_detach",
        text="""\
The guest is asked to let go of it: one that has it mounted does not, and the command exits 9. With --force
it is taken away without asking, and what the guest has not written yet is lost.""",
        arguments=(_DOMAIN, Argument("which", "the disk: xvdb, or its number", metavar="VDEV")),
        options=(_FORCE,),
        stoppable=True,
    ),
    Command(
        "block-list",
        "List domains' disks",
        _COMMANDS + "devicelists:block_list",
        text=_LISTS,
        arguments=(_DOMAINS,),
    ),
    Command(
        "cd-insert",
        "Put an image into a domain's CD-ROM drive",
        _COMMANDS + "devices:cd_insert",
        text="""\
What is in the drive is taken out first, as by cd-eject. FILE may say its format: `qcow2:/img/tools.qcow2`.
A PV guest sees its drive go, and come again.""",
        arguments=(
            _DOMAIN,
            Argument("which", "the drive: xvdc, hdc", metavar="VDEV"),
            Argument("target", "the image", "file", metavar="FILE"),
        ),
        dry_run=True,
        stoppable=True,
    ),
    Command(
        "cd-eject",
        "Empty a domain's CD-ROM drive",
        _COMMANDS + "devices:cd_eject",
        text="The guest is asked to let go of it. One that has it mounted keeps it, and the command exits 9.",
        arguments=(_DOMAIN, Argument("which", "the drive: xvdc, hdc", metavar="VDEV")),
        dry_run=True,
        stoppable=True,
    ),
    Command(
        "channel-list",
        "List domains' channels",
        _COMMANDS + "devicelists:channel_list",
        text=_LISTS,
        arguments=(_DOMAINS,),
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
        "Undo what killed commands left behind, and mend the locks of network interfaces",
        _COMMANDS + "lifecycle:collect",
        text="""\
Commands that change domains undo what killed ones left behind before they begin; `gc` does it alone, and
says what it undid. It also sets the locks of network interfaces again that somebody has flushed from
nftables, and takes away those that outlived their interface (see `xentool help xentool-network`).""",
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
        "xentool.cli.labtable:LAB",
        text="The lab needs neither a Xen host nor root: QEMU and Debian's packages make one.",
    ),
    Group(
        "mock",
        "Control the mock host, which plays a Xen host",
        "xentool.cli.labtable:MOCK",
        text="""\
Commands with `--backend mock` start it themselves. It ends by `mock stop`, or by itself when it has had no
domain and no visitor for a while, and leaves its logs behind.""",
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
