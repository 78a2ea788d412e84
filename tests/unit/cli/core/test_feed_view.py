import json

import pytest
from support_cli import NOW, account, conditions, feed, lease, stamp, status, subscription

from feedplane_cli.core.feed_view import build_view, build_views, describe


def test_view_gathers_what_belongs_to_the_feed() -> None:
    view = build_view(
        feed(),
        [subscription(), subscription("other", "usdm")],
        [lease(), lease("backup/x", shard=1)],
    )
    assert (view.venue, view.mode, view.active_account) == ("binance-spot", "Hot", "main")
    assert [one.name for one in view.subscriptions] == ["majors"]
    assert [(one.shard, one.account) for one in view.leases] == [(0, "main"), (1, "backup")]
    assert view.gaps.filled == 5
    assert view.coverage.percent == 100
    assert view.healthy


def test_view_of_a_feed_nobody_acted_on_is_unknown() -> None:
    fresh = feed()
    del fresh["status"]
    view = build_view(fresh, [], [])
    assert view.ready.status == "Unknown"
    assert view.active_account == ""
    assert [one.session for one in view.accounts] == ["Unknown", "Unknown"]
    assert view.events_per_second is None
    assert not view.healthy


def test_accounts_keep_the_order_of_preference() -> None:
    stored = feed(status=None)
    stored["status"] = status(accounts=[account("backup"), account("main")])
    assert [one.name for one in build_view(stored, [], []).accounts] == ["main", "backup"]


def test_account_taken_out_of_service_is_in_maintenance() -> None:
    stored = feed(accounts=[{"name": "main"}, {"name": "backup", "state": "Maintenance"}])
    del stored["status"]["accounts"]
    accounts = build_view(stored, [], []).accounts
    assert [one.role for one in accounts] == ["Active", "Maintenance"]


def test_lease_of_an_account_is_a_seat() -> None:
    seat, other = lease(), lease()
    seat["metadata"]["name"] = "spot-account-backup"
    other["metadata"]["name"] = "spot-something"
    view = build_view(feed(), [], [seat, other, lease()])
    assert [one.name for one in view.leases] == ["spot-publisher-0"]
    assert [one.name for one in view.seats] == ["spot-account-backup"]


def test_rollout_and_failing_account_are_seen() -> None:
    stored = feed()
    stored["status"] = status(
        accounts=[account("main", failingSinceTime=stamp(30))],
        rollout={"reason": "SpecChanged", "feeders": 2, "updated": 1, "sinceTime": stamp(5)},
    )
    view = build_view(stored, [], [])
    assert view.rollout is not None
    assert (view.rollout.updated, view.rollout.feeders) == (1, 2)
    assert view.accounts[0].failing_since_time is not None
    assert build_view(feed(), [], []).rollout is None


@pytest.mark.parametrize(
    ("state", "ready", "healthy"),
    [("Running", "True", True), ("Running", "False", False), ("Paused", "False", True)],
)
def test_paused_feed_needs_nobody_to_look(state: str, ready: str, healthy: bool) -> None:
    stored = feed(state=state)
    stored["status"]["conditions"] = conditions(Ready=f"{ready} Because Of this.")
    assert build_view(stored, [], []).healthy is healthy


def test_views_are_sorted_by_namespace_and_name() -> None:
    found = build_views([feed("b", "z"), feed("c", "a"), feed("a", "z")], [], [])
    assert [(one.namespace, one.name) for one in found] == [("a", "c"), ("z", "a"), ("z", "b")]


def test_described_view_is_plain_data() -> None:
    document = describe(build_views([feed()], [subscription()], [lease()]))
    assert json.loads(json.dumps(document)) == document
    assert document[0]["activeAccount"] == "main"
    assert document[0]["leases"][0]["renewTime"] == stamp(1).replace(".000000", "")
    assert document[0]["subscriptions"][0]["lastEventTime"] is not None
    assert NOW.isoformat().replace("+00:00", "Z") not in str(document)
