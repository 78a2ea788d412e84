from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from support_plans import NOW, after, parse_feed, parse_subscription, stored
from support_resources import JsonDict, feed_source, feeder_status, subscription

from feedplane_api.backfill import Backfill, BackfillMode
from feedplane_api.worker import FeederStatus, LargeGap, MissingDays
from feedplane_operator.core.observed import FeederView, Observed
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.core.reconcile_feed_source import reconcile_feed_source
from feedplane_operator.core.reconcile_subscription import reconcile_subscription
from feedplane_operator.core.repairs import DAYS_TTL_SECONDS, Repairs, plan_repairs
from feedplane_operator.core.wanted import Expansion
from feedplane_operator.events import EventReason

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
BEGAN = NOW - timedelta(hours=2)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


SUCCEEDED = {
    "type": "Succeeded",
    "status": "True",
    "reason": "ChunksDone",
    "message": "",
    "lastTransitionTime": "2026-11-21T08:00:00Z",
}


def gap(symbol: str = "BTCUSDT", start: datetime = BEGAN, **changes: Any) -> LargeGap:
    fields: JsonDict = {
        "symbol": symbol,
        "channel": "trade",
        "start": start,
        "end": start + 5 * MINUTE,
        "since_time": NOW - MINUTE,
        **changes,
    }
    return LargeGap(**fields)


def lack(*symbols: str, days: int = 1, before: int = 1, **changes: Any) -> MissingDays:
    end = TODAY - before * DAY
    fields: JsonDict = {
        "symbols": symbols or ("BTCUSDT",),
        "channels": ("trade",),
        "start": end - days * DAY,
        "end": end,
        **changes,
    }
    return MissingDays(**fields)


def repairs(
    *gaps: LargeGap,
    missing: tuple[MissingDays, ...] = (),
    children: Mapping[Ref, Manifest] | None = None,
    feed: JsonDict | None = None,
    **spec: Any,
) -> Repairs:
    majors = parse_subscription(
        subscription("majors", "spot", instruments=["BTCUSDT", "ETHUSDT"], **spec)
    )
    expansion = Expansion(symbols=majors.spec.instruments)
    report = feeder_status(large_gaps=gaps, missing_days=missing)
    reports: tuple[FeederStatus, ...] = (report,)
    feed = {"session": {"checkDays": 30}, **(feed or {})}
    source = parse_feed(**feed)
    return plan_repairs(majors, source, expansion, reports, children or {}, NOW)


def made(
    *gaps: LargeGap, missing: tuple[MissingDays, ...] = (), **status: Any
) -> dict[Ref, Manifest]:
    found: dict[Ref, Manifest] = {}
    for manifest in repairs(*gaps, missing=missing).make:
        found[ref_of(manifest)] = {**stored(dict(manifest)), "status": status}
    return found


def test_large_gap_becomes_a_backfill_of_its_subscription() -> None:
    plan = repairs(gap(), gap("ETHUSDT", BEGAN + MINUTE))
    (manifest,) = plan.make
    parsed = Backfill.parse(manifest)
    assert parsed.spec.instruments == ("BTCUSDT", "ETHUSDT")
    assert parsed.spec.channels == ("trade",)
    assert parsed.spec.range is not None
    assert (parsed.spec.range.start, parsed.spec.range.end) == (BEGAN, BEGAN + 6 * MINUTE)
    (owner,) = manifest["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Subscription", "majors", True)
    assert [note.reason for note in plan.notes] == [EventReason.REPAIR_STARTED]


def test_gap_inside_a_backfill_that_exists_gets_no_other() -> None:
    assert repairs(gap(), children=made(gap())) == Repairs()
    inner = gap(start=BEGAN + MINUTE, end=BEGAN + 3 * MINUTE)
    assert repairs(inner, children=made(gap())) == Repairs()


def test_backfill_that_cannot_be_read_covers_nothing() -> None:
    present = made(gap())
    broken = {ref: {**child, "spec": {}} for ref, child in present.items()}
    assert len(repairs(gap(), children=broken).make) == 1


def test_gap_outside_of_it_gets_one_of_its_own() -> None:
    later = gap(start=BEGAN + 10 * MINUTE)
    assert len(repairs(gap(), later, children=made(gap())).make) == 1


@pytest.mark.parametrize(
    ("spec", "feed"),
    [
        pytest.param({"repair": "Manual"}, {}, id="manual"),
        pytest.param({}, {"state": "Paused"}, id="feed paused"),
    ],
)
def test_nobody_wants_repairs_and_they_go(spec: JsonDict, feed: JsonDict) -> None:
    present = made(gap())
    plan = repairs(gap(), children=present, feed=feed, **spec)
    assert (plan.make, plan.delete) == ((), tuple(present))
    assert repairs(gap(), children=made(gap(), conditions=[SUCCEEDED]), feed=feed, **spec) == (
        Repairs()
    )


def test_fresh_gap_waits_for_others() -> None:
    fresh = gap(since_time=NOW - timedelta(seconds=5))
    assert repairs(fresh) == Repairs(again_seconds=20.0)


def test_gap_of_somebody_else_is_left_alone() -> None:
    assert repairs(gap("SOLUSDT"), gap(channel="quote")) == Repairs()


def test_scattered_gaps_are_repaired_a_few_at_a_time() -> None:
    gaps = [gap(start=BEGAN - timedelta(hours=3 * number)) for number in range(6)]
    assert len(repairs(*gaps).make) == 4
    present = made(*gaps)
    assert repairs(*gaps, children=present) == Repairs()


def test_missing_days_become_exact_backfills_of_their_subscription() -> None:
    plan = repairs(missing=(lack("ETHUSDT", "BTCUSDT", "SOLUSDT", days=2), lack(before=5)))
    first, second = (Backfill.parse(manifest) for manifest in plan.make)
    assert first.spec.instruments == ("BTCUSDT",)
    assert second.spec.instruments == ("BTCUSDT", "ETHUSDT")
    assert (second.spec.channels, second.spec.mode) == (("trade",), BackfillMode.MISSING_ONLY)
    assert second.spec.range is not None
    assert (second.spec.range.start, second.spec.range.end) == (TODAY - 3 * DAY, TODAY - DAY)
    assert second.spec.ttl_seconds_after_finished == DAYS_TTL_SECONDS
    assert second.metadata.name.startswith("days-majors-")
    assert [note.reason for note in plan.notes] == [EventReason.REPAIR_STARTED] * 2


def test_missing_days_inside_a_backfill_get_no_other() -> None:
    pair = (lack("BTCUSDT", "ETHUSDT", days=3),)
    left = (lack("ETHUSDT", days=1), lack("BTCUSDT", days=2))
    assert repairs(missing=left, children=made(missing=pair)) == Repairs()
    # Nor after it has ended, for a day.
    ended = made(missing=pair, conditions=[SUCCEEDED])
    assert repairs(missing=left, children=ended) == Repairs()


@pytest.mark.parametrize(
    ("spec", "feed"),
    [
        pytest.param({"repair": "Manual"}, {}, id="manual"),
        pytest.param({}, {"state": "Paused"}, id="feed paused"),
        pytest.param({}, {"session": {"checkDays": 0}}, id="not to be checked"),
        pytest.param({"channels": ["quote"]}, {}, id="another channel"),
    ],
)
def test_missing_days_nobody_asks_for_are_left(spec: JsonDict, feed: JsonDict) -> None:
    assert repairs(missing=(lack(),), feed=feed, **spec) == Repairs()


def test_missing_days_under_a_large_gap_go_with_it() -> None:
    wide = gap(start=TODAY - 3 * DAY, end=NOW)
    plan = repairs(wide, missing=(lack("BTCUSDT", "ETHUSDT"),))
    names = [(made["metadata"]["name"][:4], made["spec"]["instruments"]) for made in plan.make]
    assert names == [("gap-", ["BTCUSDT"]), ("days", ["ETHUSDT"])]


def test_large_gap_is_not_kept_by_days_that_were_fetched() -> None:
    inside = gap(start=TODAY - 2 * DAY)
    pair = (lack(days=3),)
    assert repairs(inside, children=made(missing=pair)) == Repairs()
    ended = made(missing=pair, conditions=[SUCCEEDED])
    assert len(repairs(inside, children=ended).make) == 1


def test_missing_days_come_a_few_at_a_time() -> None:
    scattered = tuple(lack(before=2 * number) for number in range(1, 8))
    present = made(missing=scattered)
    assert len(present) == 4
    assert repairs(missing=scattered, children=present) == Repairs()
    ended = made(missing=scattered, conditions=[SUCCEEDED])
    rest = repairs(missing=scattered, children=ended).make
    assert len(rest) == 3
    assert present.keys().isdisjoint(map(ref_of, rest))


def test_names_of_repairs_differ_and_are_short() -> None:
    long = subscription("a" * 63, "spot")
    names = set()
    for number in range(3):
        plan = plan_repairs(
            parse_subscription(long),
            parse_feed(),
            Expansion(symbols=("BTCUSDT",)),
            (feeder_status(large_gaps=(gap(end=BEGAN + (6 + number) * MINUTE),)),),
            {},
            NOW,
        )
        names.add(plan.make[0]["metadata"]["name"])
    assert len(names) == 3
    assert max(map(len, names)) <= 50


def test_subscription_reconciled_makes_its_repair() -> None:
    feed = stored(feed_source("spot"))
    majors = subscription("majors", "spot")
    around = Observed(feed_source=feed, subscriptions=(parse_subscription(majors),))
    _, observed = after(feed, around, reconcile_feed_source(feed, around, NOW))
    report = feeder_status(large_gaps=(gap(),))
    observed = replace(observed, feeders={"spot-a-0": FeederView(report=report)})
    resource = stored(majors)
    plan = reconcile_subscription(resource, observed, NOW)
    assert [child["kind"] for child in plan.apply] == ["Backfill"]
    resource, observed = after(resource, observed, plan)
    assert reconcile_subscription(resource, observed, NOW).apply == ()
