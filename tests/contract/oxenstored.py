"""Where oxenstored, the daemon in OCaml, answers otherwise than C xenstored and our server.

Clients have to live with both. What is named here has to be otherwise: a test that passes on oxenstored after
all is reported, and leaves the table.

Source: tools/ocaml/xenstored/ (4.17, 4.20).
"""

from __future__ import annotations

import os
from typing import Final

_PID_FILE = "/run/xenstored.pid"

_MERGES = (
    "A transaction that conflicts is carried out once more by the daemon itself, and committed if every "
    "request is answered as before: EAGAIN is for what truly reads otherwise."
)
_MAXSIZE = "quota-maxsize (2,048 bytes for a value) holds for dom0, too."
_LONG_PATHS = "A path may have 1,024 bytes, dom0's too."

OTHERWISE: Final = {
    "test_a_second_write_replaces_the_value_and_keeps_children": _MAXSIZE,
    "test_more_than_all_socket_buffers_hold_goes_both_ways": _MAXSIZE,
    "test_the_root_stays": "RM of the root is OK, and removes nothing.",
    "test_order_of_children_is_that_of_their_making": "Children are a map: they are listed by name.",
    "test_the_longest_names_are_only_not_there[real-/x": _LONG_PATHS,
    "test_the_longest_names_are_only_not_there[real-/local": _LONG_PATHS,
    "test_two_strings_where_one_belongs_are_einval_to_write": "There is no DIRECTORY_PART.",
    "test_an_owner_must_exist": "Who is to own a node need not be there.",
    "test_of_special_paths_only_the_known_ones": "Special paths have no permissions.",
    "test_it_conflicts_over_a_node_it_read[real-write]": _MERGES,
    "test_it_conflicts_over_a_node_it_read[real-set_perms]": _MERGES,
    "test_it_conflicts_over_a_node_it_read[real-child]": _MERGES,
    "test_it_conflicts_over_a_directory_both_add_to": _MERGES,
    "test_run_transaction_tries_again_and_gives_up": _MERGES,
    "test_it_does_not_conflict_over_what_it_never_looked_at": "There is no /tool/xenstored.",
    "test_ids_that_are_not_open_are_enoent": "A transaction that is not open is EIO to READ.",
    "test_a_transaction_tells_when_committed_and_once_a_node": "It tells once for each request, not node.",
    "test_watches_are_told_in_the_order_in_which_they_were_set": "Watches of a node are told in no order.",
    "test_ones_own_change_is_told_before_it_is_answered": "The answer may come before the events.",
    "test_a_bad_path_or_a_missing_token_is_einval": "In 4.17 a watch may be on what cannot be a path.",
    "test_domains": "RELEASE of who is not there is EINVAL.",
    "test_control": "CONTROL knows other commands.",
}
"""Tests of tests/contract/store, and the reason: a name, or how a name with its parameters begins."""

SOMETIMES: Final = (
    "test_ones_own_change_is_told_before_it_is_answered",
    "test_a_bad_path_or_a_missing_token_is_einval",
)
"""Those of them that may also pass."""


def runs_here() -> bool:
    """Whether this host's store daemon is oxenstored."""
    if not os.path.exists(_PID_FILE):
        return False
    with open(_PID_FILE, encoding="ascii") as file:
        pid = file.read().strip()
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip() == "oxenstored"


def why_otherwise(test: str) -> str:
    """Why the test named so cannot pass on oxenstored; "" if it has to."""
    for name, reason in OTHERWISE.items():
        if test.startswith(name) if "[" in name else test.partition("[")[0] == name:
            return reason
    return ""
