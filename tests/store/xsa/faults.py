"""For each advisory: which hole, and which test finds it. `test_faults` tries them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.store.xsa import holes, test_access, test_crashes, test_domids, test_limits
from xentool.store.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.store.world import World


class Fault(NamedTuple):
    """A hole: what was wrong, how it is made, which test finds it."""

    xsa: int
    what: str
    seed: Callable[[pytest.MonkeyPatch], None]
    test: Callable[[World], None]


FAULTS = [
    Fault(
        72, "replies of any size", holes.oversize_frames, test_limits.test_xsa_72_an_oversize_reply_is_e2big
    ),
    Fault(
        115,
        "events for who may not read",
        holes.events_for_everybody,
        test_access.test_xsa_115_one_is_not_told_of_what_one_may_not_read,
    ),
    Fault(
        115,
        "special events for everybody",
        holes.special_events_for_everybody,
        test_access.test_xsa_115_special_watches_are_for_those_whom_dom0_lets,
    ),
    Fault(
        115,
        "IS_DOMAIN_INTRODUCED for everybody",
        holes.anybody_asks_who_is_introduced,
        test_access.test_xsa_115_a_guest_may_not_ask_who_is_introduced,
    ),
    Fault(
        115,
        "removing a child minds the quota",
        holes.removal_minds_the_quota,
        test_access.test_xsa_115_removing_works_over_quota,
    ),
    Fault(
        115,
        "a removed tree fires the watches above for each node",
        holes.every_removed_node_fires_above,
        test_access.test_xsa_115_removing_a_tree_tells_of_each_node_once,
    ),
    Fault(
        206,
        "no limit for writes that conflict",
        holes.writes_cost_nothing,
        test_limits.test_xsa_206_who_writes_all_the_time_does_not_starve_a_transaction,
    ),
    Fault(
        206,
        "all that a guest sent is done at once",
        holes.no_turns,
        test_limits.test_xsa_206_a_guest_with_much_to_do_waits_for_the_others,
    ),
    Fault(
        322,
        "grants are to a number",
        holes.grants_outlive_domains,
        test_domids.test_xsa_322_nobody_inherits_a_domids_rights,
    ),
    Fault(
        322,
        "a transaction's nodes are taken over as they are",
        holes.rewriting_renews_grants,
        test_domids.test_xsa_322_a_transaction_that_outlives_a_domain_renews_no_grant,
    ),
    Fault(
        322,
        "grants on special paths are to a number",
        holes.special_grants_outlive_domains,
        test_domids.test_xsa_322_special_watches_are_not_inherited_either,
    ),
    Fault(
        323,
        "a path is measured as it was given",
        holes.lengths_are_those_of_the_given_path,
        test_limits.test_xsa_323_a_path_has_one_length_however_it_is_named,
    ),
    Fault(
        323,
        "a path may have any length",
        holes.lengths_do_not_matter,
        test_limits.test_xsa_323_a_path_has_one_length_however_it_is_named,
    ),
    Fault(
        324,
        "events of any size",
        holes.oversize_frames,
        test_limits.test_xsa_324_an_event_too_long_for_the_wire_is_dropped,
    ),
    Fault(
        325,
        "a bad client's domain is forgotten",
        holes.a_bad_client_takes_its_domain_along,
        test_domids.test_xsa_325_a_bad_client_is_ignored_and_its_domain_lives_on,
    ),
    Fault(
        326,
        "equal events queue up",
        holes.equal_events_queue_up,
        test_limits.test_xsa_326_the_same_event_does_not_queue_up_twice,
    ),
    Fault(
        326,
        "events wait for ever",
        holes.events_never_expire,
        test_limits.test_xsa_326_events_that_nobody_reads_expire,
    ),
    Fault(
        326,
        "any number of requests outstanding",
        holes.no_limit("outstanding"),
        test_limits.test_xsa_326_requests_wait_while_replies_do,
    ),
    Fault(
        326,
        "events are nobody's fault",
        holes.events_have_no_cause,
        test_limits.test_xsa_326_events_that_others_do_not_read_hold_up_their_cause,
    ),
    Fault(
        326,
        "memory without a limit",
        holes.nodes_are_not_counted_as_memory,
        test_limits.test_xsa_326_memory_is_counted_and_ends,
    ),
    Fault(
        326,
        "transactions of any number of nodes",
        lambda patch: patch.setattr(Quota, "refuses", lambda *_arguments: False),
        test_limits.test_xsa_326_a_transaction_looks_at_so_many_nodes_only,
    ),
    Fault(
        330,
        "RESET_WATCHES forgets one index",
        holes.one_index_is_reset,
        test_limits.test_xsa_330_reset_watches_forgets_them_in_every_index,
    ),
    Fault(
        352,
        "anybody changes owners",
        holes.anybody_gives_nodes_away,
        test_access.test_xsa_352_only_dom0_gives_a_node_away,
    ),
    Fault(
        353,
        "no permissions on the root",
        holes.the_root_is_open,
        test_access.test_xsa_353_the_root_has_permissions_as_well,
    ),
    Fault(
        417,
        "an unknown domain is believed to have been granted",
        holes.unknown_domains_are_believed,
        test_domids.test_xsa_417_a_grant_is_not_renewed_by_who_writes_the_node_next,
    ),
    Fault(
        417,
        "a grant to nobody waits for somebody",
        holes.grants_to_nobody_wait,
        test_domids.test_xsa_417_a_grant_to_nobody_stays_one,
    ),
    Fault(
        418,
        "removal is recursive",
        holes.removal_is_recursive,
        test_crashes.test_xsa_418_depth_is_no_recursion,
    ),
    Fault(
        419,
        "a dead domain's nodes are dom0's",
        holes.dom0_inherits,
        test_domids.test_xsa_419_a_dead_domains_nodes_go_wherever_they_are,
    ),
    Fault(
        420, "lengths are signed", holes.lengths_are_signed, test_domids.test_xsa_420_no_length_is_negative
    ),
    Fault(
        421,
        "a commit fails over what was never there",
        holes.what_is_not_there_cannot_be_deleted,
        test_crashes.test_xsa_421_deleting_in_a_transaction_what_was_made_in_it,
    ),
    Fault(
        481,
        "/local/domain/ is no error",
        holes.the_home_of_nobody_is_no_error,
        test_crashes.test_xsa_481_the_home_of_nobody_is_no_path,
    ),
    Fault(
        483,
        "counts outlive domains",
        holes.counts_outlive_domains,
        test_domids.test_xsa_483_an_heirs_quota_begins_at_nothing,
    ),
    Fault(
        484,
        "RESET_WATCHES expects to be in no transaction",
        holes.no_transaction_may_be_in_use,
        test_crashes.test_xsa_484_reset_watches_inside_a_transaction_ends_that_as_well,
    ),
]
