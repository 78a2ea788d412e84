from typing import Any

import pytest
from support_cli import account, feed, lease, status

from feedplane_api.feed_source import AccountState, FeedSource, FeedState
from feedplane_api.names import Kind
from feedplane_cli.core.choices import (
    Target,
    build_choice,
    build_service_steps,
    build_state,
    check_maintenance,
    check_switchover,
    has_left,
    has_switched,
    parse_pausable,
    parse_target,
    say_standing,
)
from feedplane_cli.core.feed_view import FeedView, build_view
from feedplane_cli.errors import RefusedError, UsageError


def view(said: dict[str, Any] | None = None, *leases: dict[str, Any], **spec: Any) -> FeedView:
    stored = feed(**spec)
    stored["status"] = said or status()
    return build_view(stored, [], leases or [lease()])


SICK = status(
    accounts=[account("main"), account("backup", healthy="False", reason="CredentialsRefused")]
)
OUT: Any = {"accounts": [{"name": "main"}, {"name": "backup", "state": "Maintenance"}]}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("spot", Target(Kind.FEED_SOURCE, "spot")),
        ("fs/spot", Target(Kind.FEED_SOURCE, "spot")),
        ("feedsources.feedplane.dev/spot", Target(Kind.FEED_SOURCE, "spot")),
        ("FeedSource/spot", Target(Kind.FEED_SOURCE, "spot")),
        ("subscription/majors", Target(Kind.SUBSCRIPTION, "majors")),
        ("bf/october", Target(Kind.BACKFILL, "october")),
    ],
)
def test_target_is_read_with_or_without_kind(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize("text", ["", "fs/", "pod/x"])
def test_target_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_target(text)


def test_subscription_cannot_be_paused_alone() -> None:
    with pytest.raises(UsageError, match="cannot be paused"):
        parse_pausable("sub/majors")
    assert parse_pausable("bf/october").name == "october"


@pytest.mark.parametrize(
    ("seen", "account_name", "words"),
    [
        (view(), "nobody", "no account 'nobody'"),
        (view(SICK), "backup", "not healthy: CredentialsRefused"),
        (view(**OUT), "backup", "in maintenance"),
        (view(state="Paused"), "backup", "paused"),
    ],
    ids=["unknown", "unhealthy", "in maintenance", "paused feed"],
)
def test_switchover_that_would_not_happen_is_refused(
    seen: FeedView, account_name: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        check_switchover(seen, account_name, force=False)
    assert caught.value.advice


@pytest.mark.parametrize("seen", [view(SICK), view(**OUT), view(state="Paused")])
def test_switchover_by_force_goes_ahead(seen: FeedView) -> None:
    check_switchover(seen, "backup", force=True)


def test_switchover_to_nobody_is_never_forced() -> None:
    with pytest.raises(RefusedError) as caught:
        check_switchover(view(), "nobody", force=True)
    assert "main, backup" in caught.value.advice


def test_cold_standby_need_not_be_known_healthy() -> None:
    cold = status(accounts=[account("main"), account("backup", healthy="Unknown")])
    check_switchover(view(cold, failover={"mode": "Cold"}), "backup", force=False)


@pytest.mark.parametrize(
    ("seen", "account_name", "words"),
    [
        (view(), "nobody", "no account"),
        (view(**OUT), "main", "only one"),
        (view(activeAccount="main"), "main", "chose account main"),
    ],
)
def test_maintenance_that_leaves_nobody_is_refused(
    seen: FeedView, account_name: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        check_maintenance(seen, account_name)


def test_maintenance_of_one_of_two_is_allowed() -> None:
    check_maintenance(view(), "main")


def apply_steps(document: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    for step in steps:
        *parents, last = str(step["path"]).strip("/").split("/")
        here: Any = document
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if step["op"] == "test":
            assert here[last] == step["value"]
        else:
            here[last] = step["value"]


def test_service_steps_change_one_account_only() -> None:
    stored = feed()
    apply_steps(stored, build_service_steps(stored, "backup", AccountState.MAINTENANCE))
    assert stored["spec"]["accounts"] == [
        {"name": "main"},
        {"name": "backup", "state": "Maintenance"},
    ]
    steps = build_service_steps(stored, "backup", AccountState.IN_SERVICE, choose=True)
    apply_steps(stored, steps)
    assert FeedSource.parse(stored).spec.active_account == "backup"


def test_changes_are_what_the_spec_knows() -> None:
    for change in (build_choice("backup"), build_state(FeedState.PAUSED)):
        stored = feed(**change["spec"])
        FeedSource.parse(stored)
    assert build_choice(None) == {"spec": {"activeAccount": None}}


@pytest.mark.parametrize(
    ("active", "holders", "switched", "left"),
    [
        ("backup", ("backup/x", "backup/y"), True, True),
        ("backup", ("backup/x", "main/y"), False, False),
        ("main", ("backup/x", "backup/y"), False, False),
        ("", ("", ""), False, True),
    ],
)
def test_switch_is_done_when_status_and_leases_agree(
    active: str, holders: tuple[str, str], switched: bool, left: bool
) -> None:
    seen = view(status(active), *(lease(holder, shard) for shard, holder in enumerate(holders)))
    assert has_switched(seen, "backup") is switched
    assert has_left(seen, "main") is left


def test_standing_names_each_lease_and_its_holder() -> None:
    said = say_standing(view(status(""), lease(""), lease("backup/x", 1)))
    assert "nobody" in said
    assert "spot-publisher-1 is held by backup/x" in said
