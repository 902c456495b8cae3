"""The `store` commands, declared as those of `table`; read only when one of them is asked for."""

from __future__ import annotations

from xentool.cli.declare import Argument, Command, Option

_NODES = "xentool.cli.commands.store:"
_TREES = "xentool.cli.commands.storetree:"
_FILES = "xentool.cli.commands.storefiles:"

_DOMAIN = Option(
    "domain",
    ("-d", "--domain"),
    "relative paths begin at this domain's node (a name, or a domid)",
    "text",
    metavar="DOMAIN",
)
_PREFIX = Option("prefix", ("-p", "--prefix"), "print the path before each value")
_IGNORE = Option(
    "ignore",
    ("--ignore",),
    "leave out nodes whose name or relative path is one of these patterns, and all below them: 'state,*/tty'",
    "text",
    metavar="PATTERN,...",
)
_NO_PERMISSIONS = Option("no_permissions", ("--no-permissions",), "values only: leave permissions aside")


def _paths(help_text: str, *, required: bool = True) -> Argument:
    return Argument("paths", help_text, "node", required=required, many=True, metavar="PATH")


STORE = (
    Command(
        "store ls",
        "List a node's children",
        _NODES + "list_children",
        text="""\
As xenstore-list prints them. Without a PATH: the children of `/`, or with -d of the domain's node.""",
        arguments=(_paths("the nodes", required=False),),
        options=(
            Option("prefix", ("-p", "--prefix"), "print whole paths"),
            Option("long", ("-l", "--long"), "print values and permissions too"),
            _DOMAIN,
        ),
    ),
    Command(
        "store tree",
        "Print everything below a node",
        _TREES + "tree",
        text="""\
As xenstore-ls prints it: one space more for each level, values cut where the line is full (80 columns where
there is no terminal). A node that may not be read ends in a colon.""",
        arguments=(_paths("where to begin (default: `/`)", required=False),),
        options=(
            Option("flat", ("-f", "--flat"), "print whole paths and whole values"),
            Option("permissions", ("-p", "--permissions"), "print permissions too"),
            Option("whole", ("-w", "--whole"), "print whole values"),
            _DOMAIN,
        ),
    ),
    Command(
        "store read",
        "Print values",
        _NODES + "read",
        text="Several are read in one transaction; if one is not there, none is printed.",
        arguments=(_paths("the nodes"),),
        options=(
            _PREFIX,
            Option("raw", ("-R", "--raw"), "print the bytes as they are, and nothing after them"),
            _DOMAIN,
        ),
    ),
    Command(
        "store write",
        "Set values",
        _NODES + "write",
        text="""\
Nodes, and nodes above them, are made if need be. Several are written in one transaction. A VALUE may have
escapes: `\\n`, `\\t`, `\\r`, `\\\\`, `\\x1b`, `\\000`. One that begins with a dash comes after `--`.""",
        arguments=(Argument("words", "nodes and their values", many=True, metavar="PATH VALUE"),),
        options=(Option("raw", ("-R", "--raw"), "take values as they are, without escapes"), _DOMAIN),
    ),
    Command(
        "store rm",
        "Remove nodes, and all below them",
        _NODES + "remove",
        text="""\
In one transaction. A node that is not there is no error while the one above it is, as with xenstore-rm.""",
        arguments=(_paths("the nodes"),),
        options=(
            Option(
                "tidy", ("-t", "--tidy"), "remove the nodes above, too, that are left empty and have no value"
            ),
            _DOMAIN,
        ),
    ),
    Command(
        "store mkdir",
        "Make nodes",
        _NODES + "make",
        text="In one transaction. One that is there stays as it is.",
        arguments=(_paths("the nodes"),),
        options=(_DOMAIN,),
    ),
    Command(
        "store exists",
        "Say whether nodes are there (exit code 0: all of them; 1: not all)",
        _NODES + "exists",
        text="Prints nothing. An error has another exit code than 1.",
        arguments=(_paths("the nodes"),),
        options=(_DOMAIN,),
    ),
    Command(
        "store chmod",
        "Say who may read and write a node",
        _NODES + "chmod",
        text="""\
A PERMISSION is a letter and a domid: n none, r read, w write, b both. The first names the owner, who may do
everything, and what those may do who are not named after it: `n0 r3` gives the node to Domain-0 and lets
domain 3 read it.""",
        arguments=(
            Argument("path", "the node", "node"),
            Argument("permissions", "who may do what, the owner first", many=True, metavar="PERMISSION"),
        ),
        options=(
            Option("recurse", ("-r", "--recurse"), "the same for all nodes below"),
            Option("upto", ("-u", "--upto"), "the same for all nodes above"),
            _DOMAIN,
        ),
    ),
    Command(
        "store watch",
        "Print the paths of nodes as they change",
        _TREES + "watch",
        text="""\
Watches the nodes and all below them, until ^C. The first line for each is its own path, at once. Special
paths are `@introduceDomain` and `@releaseDomain`. With --json each event is an object on its own line.""",
        arguments=(_paths("what to watch"),),
        options=(
            Option("number", ("-n", "--number"), "end after so many lines", "integer", metavar="NUMBER"),
            Option(
                "timeout",
                ("-T", "--timeout"),
                "end after so long; with -n that is an error then (exit code 9)",
                "seconds",
                metavar="SECONDS",
            ),
            _DOMAIN,
        ),
        stoppable=True,
    ),
    Command(
        "store transaction",
        "Carry out several operations as one",
        _TREES + "transaction",
        text="""\
Reads operations from FILE, or from standard input, one a line: `read PATH...`, `write PATH VALUE [PATH
VALUE]...`, `rm PATH...` (which may be gone already), `mkdir PATH...`, `chmod PATH PERMISSION...`, and
`expect PATH VALUE`, which fails unless the node has that value. Words are divided by blanks; "..." and
'...' keep blanks, and escapes count everywhere but in '...'; an empty line, or one that begins with #, does
nothing. Either all is carried out or nothing, and nobody sees half of it. Where others change the same
nodes meanwhile it is tried again, up to a hundred times. What was read is printed afterwards. With
--dry-run all is tried, and undone.""",
        arguments=(Argument("file", "the operations (default: standard input)", "file", required=False),),
        options=(_PREFIX, _DOMAIN),
        dry_run=True,
    ),
    Command(
        "store export",
        "Write a tree with its values and permissions as JSON",
        _FILES + "export",
        text="The format is described in the manual; `import` and `diff` read it.",
        arguments=(Argument("path", "the tree's node", "node"),),
        options=(
            Option(
                "output",
                ("-o", "--output"),
                "the file, which only its owner may read (default: standard output)",
                "file",
                metavar="FILE",
            ),
            _DOMAIN,
        ),
    ),
    Command(
        "store import",
        "Make a tree what an exported file says",
        _FILES + "import_",
        text="""\
The whole file is checked before anything is written, and only what differs is. It is one transaction,
unless there are more changes than --split allows: then there are several, each whole in itself, and the
command says so.""",
        arguments=(
            Argument("file", "an exported file; - is standard input", "file"),
            Argument("path", "where to (default: where it came from)", "node", required=False),
        ),
        options=(
            Option("delete", ("--delete",), "remove nodes that are not in the file"),
            _NO_PERMISSIONS,
            Option(
                "split",
                ("--split",),
                "at most so many changes in a transaction (default: 4096)",
                "integer",
                metavar="NUMBER",
            ),
            _DOMAIN,
        ),
        dry_run=True,
    ),
    Command(
        "store diff",
        "Compare two trees",
        _FILES + "diff",
        text="""\
A and B are nodes, or exported files. A word with a dot in it, which no path has, is a file: `./dump`,
`web.json`; `-` is standard input. Exit code 0: they are equal; 1: they differ; more: an error.""",
        arguments=(
            Argument("before", "a node or a file", "node", metavar="A"),
            Argument("after", "a node or a file", "node", metavar="B"),
        ),
        options=(_NO_PERMISSIONS, _IGNORE, _DOMAIN),
    ),
    Command(
        "store audit",
        "Look for what should not be in the store",
        "xentool.cli.commands.storeaudit:audit",
        text="""\
Checks the store, of one moment, against what toolstacks keep there and against the domains that run: nodes
that guests may write and should not, owners, records and devices that do not fit together, devices that are
half there or failed, and what domains that are gone left behind. It changes nothing; each finding says what
to do. With a DOMAIN: only what concerns that one. The rules are listed in the manual. Exit code 0: no
errors and no warnings; 1: there are some; more: it could not be done.""",
        arguments=(Argument("domain", "a name, or a domid", "domain", required=False),),
        options=(
            Option(
                "ignore",
                ("--ignore",),
                "leave out these rules: 'states,gone-domain'",
                "text",
                metavar="RULE,...",
            ),
        ),
    ),
)
