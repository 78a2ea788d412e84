import io
import re
from typing import Any

import pytest
from rich.console import Console
from support_cli import NOW, account, conditions, feed, lease, lines_of, stamp, status, subscription

from feedplane_cli.core.feed_view import build_view, build_views
from feedplane_cli.render.status import render_status


def draw(stored: dict[str, Any], *, colour: bool = False, **others: Any) -> str:
    view = build_view(
        stored, others.get("subscriptions", [subscription()]), others.get("leases", [lease()])
    )
    stream = io.StringIO()
    system: Any = "standard" if colour else None
    console = Console(file=stream, width=200, color_system=system, force_terminal=colour)
    console.print(render_status([view], NOW))
    return stream.getvalue()


def test_status_shows_who_is_active_and_why() -> None:
    text = draw(feed())
    assert lines_of(text, "trading/spot", "binance-spot", "Hot", "Ready AllLive")
    assert lines_of(text, "active main for 5m, epoch 3 (Vacant)")
    assert lines_of(
        text, "coverage 100 % (4 of 4)", "rate 1,200/s", "lag 12 ms", "0 open, 5 filled"
    )
    assert lines_of(text, "main ", "Active", "Streaming", "True", "Healthy")
    assert lines_of(text, "spot-publisher-0", "main/spot-main-0-abc", "1s ago")
    assert lines_of(text, "majors", "4", "2s ago", "True AllLive")
    assert "\x1b" not in text


def test_missing_trades_are_told_only_where_there_are_any() -> None:
    assert "missing" not in draw(feed())
    gaps = {"open": 0, "filled": 5, "unfillable": 1, "missing": 1_200}
    text = draw(feed(), subscriptions=[subscription(gaps=gaps)])
    assert lines_of(text, "0 open, 5 filled, 1 unfillable, 1,200 trades missing")


def test_status_on_a_terminal_is_coloured() -> None:
    assert "\x1b[32m" in draw(feed(), colour=True)


def test_trouble_is_told_in_the_operators_words() -> None:
    stored = feed(activeAccount="backup")
    stored["status"] = status(
        conditions=conditions(
            Ready="False NoAccountHealthy No account is healthy.",
            Degraded="True NoAccountHealthy The last one stays active.",
            Redundant="False StandbyNotReady None could take over.",
        ),
        accounts=[
            account(
                "main",
                healthy="False",
                reason="StreamStale",
                session="Stale",
                failingSinceTime=stamp(90),
            )
        ],
        rollout={"reason": "SpecChanged", "feeders": 2, "updated": 1, "sinceTime": stamp(5)},
    )
    text = draw(stored, leases=[lease(renewTime=stamp(60))])
    assert lines_of(text, "not Ready NoAccountHealthy")
    assert lines_of(text, "Degraded=True NoAccountHealthy: The last one stays active.")
    assert lines_of(text, "Redundant=False StandbyNotReady")
    assert lines_of(text, "a person chose backup")
    assert lines_of(text, "main", "Stale", "False", "StreamStale for 1m30s")
    assert lines_of(text, "rollout SpecChanged: 1 of 2 feeders, last 5s ago")
    assert lines_of(text, "1m ago")


def test_lease_that_is_late_stands_out() -> None:
    late = draw(feed(), colour=True, leases=[lease(renewTime=stamp(60))])
    assert re.search(r"\x1b\[1;31m *1m ago", late)


def test_feed_without_anything_still_shows() -> None:
    bare = feed()
    del bare["status"]
    text = draw(bare, subscriptions=[], leases=[])
    assert lines_of(text, "active nobody")
    assert "SUBSCRIPTION" not in text
    assert "LEASE" not in text


@pytest.mark.parametrize("count", [0, 2])
def test_feeds_are_drawn_one_below_the_other(count: int) -> None:
    views = build_views([feed(f"feed{number}") for number in range(count)], [], [])
    stream = io.StringIO()
    Console(file=stream, width=120).print(render_status(views, NOW, " in namespace x"))
    text = stream.getvalue()
    assert text.count("trading/") == count
    assert ("No FeedSources in namespace x." in text) is (count == 0)
