"""Backfills for what a feeder cannot fill: large gaps and missing days, one for each window.

One that exists, whatever became of it, is enough for what lies inside it: it goes by its time to
live, and what is still reported after that gets another. Gaps go before days. Pure.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from feedplane_api.backfill import Backfill
from feedplane_api.conditions import ConditionStatus, ConditionType, find_condition
from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, FeedState
from feedplane_api.names import (
    API_VERSION,
    LABEL_FEED_SOURCE,
    LABEL_MANAGED_BY,
    LABEL_SUBSCRIPTION,
    MANAGED_BY,
    Kind,
)
from feedplane_api.subscription import Repair, Subscription
from feedplane_api.worker import FeederStatus, LargeGap
from feedplane_operator.core.plan import Manifest, Note, Ref
from feedplane_operator.core.repair_windows import (
    Window,
    find_day_windows,
    find_windows,
    window_of,
)
from feedplane_operator.core.wanted import Expansion
from feedplane_operator.events import EventReason

SETTLED: Final = timedelta(seconds=20)
"""What went wrong for one instrument mostly did for others; they are waited for."""
AT_ONCE: Final = 4
"""Repairs of one Subscription that may be unfinished."""
TTL_SECONDS: Final = 900
DAYS_TTL_SECONDS: Final = 86_400
"""What fails for missing days is tried again the next day, not every quarter of an hour."""
MOST_WORKERS: Final = 4
_NAME_LETTERS: Final = 27


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What is to be done about a Subscription's large gaps and missing days."""

    make: tuple[Manifest, ...] = ()
    delete: tuple[Ref, ...] = ()
    notes: tuple[Note, ...] = ()
    again_seconds: float | None = None
    """When to look again, where gaps are still coming in."""


NO_REPAIRS: Final = Repairs()


def plan_repairs(
    subscription: Subscription,
    feed_source: FeedSource,
    expansion: Expansion,
    reports: Iterable[FeederStatus],
    children: Mapping[Ref, Manifest],
    now: datetime,
) -> Repairs:
    """Return the Backfills to make, and those to take back where nobody wants repairs."""
    present = _parse_present(subscription, children)
    unfinished = [repair for repair in present if not _has_ended(repair)]
    off = subscription.spec.repair is Repair.MANUAL or feed_source.spec.state is FeedState.PAUSED
    if off:
        namespace = subscription.metadata.namespace
        refs = (Ref(Kind.BACKFILL.value, namespace, each.metadata.name) for each in unfinished)
        return Repairs(delete=tuple(sorted(refs)))
    reports = tuple(reports)
    reported = _large_gaps(subscription, expansion, reports)
    # What fetched whole days and ended stays for long, and a gap should not wait for it to go.
    lately = [each for each in present if each in unfinished or not _is_of_days(each)]
    known = _windows(lately)
    gaps = [
        gap
        for gap in reported
        if not any(each.covers(gap.symbol, gap.channel, gap.start, gap.end) for each in known)
    ]
    ripe = [gap for gap in gaps if now - gap.since_time >= SETTLED]
    again = SETTLED.total_seconds() if len(ripe) < len(gaps) else None
    missing: tuple[Window, ...] = ()
    if feed_source.spec.session.check_days:
        missing = _find_missing(subscription, expansion, reports, reported, _windows(present))
    room = max(0, AT_ONCE - len(unfinished))
    windows = (*find_windows(ripe), *missing)[:room]
    return Repairs(
        make=tuple(_build(subscription, window) for window in windows),
        notes=tuple(_note(window) for window in windows),
        again_seconds=again,
    )


# A gap that somebody is about to fill takes the days inside it along.
def _find_missing(
    subscription: Subscription,
    expansion: Expansion,
    reports: Iterable[FeederStatus],
    gaps: Iterable[LargeGap],
    present: Iterable[Window],
) -> tuple[Window, ...]:
    symbols, channels = set(expansion.symbols), set(subscription.spec.channels)
    reported: dict[tuple[str, str], list[LargeGap]] = {}
    for gap in gaps:
        reported.setdefault((gap.symbol, gap.channel), []).append(gap)

    def wanted(symbol: str, channel: str, start: datetime, end: datetime) -> bool:
        if symbol not in symbols or channel not in channels:
            return False
        beside = reported.get((symbol, channel), ())
        if any(gap.start < end and start < gap.end for gap in beside):
            return False
        return not any(window.covers(symbol, channel, start, end) for window in present)

    return find_day_windows((days for each in reports for days in each.missing_days), wanted)


def _large_gaps(
    subscription: Subscription, expansion: Expansion, reports: Iterable[FeederStatus]
) -> list[LargeGap]:
    symbols, channels = set(expansion.symbols), set(subscription.spec.channels)
    found = {
        (gap.symbol, gap.channel, gap.start): gap
        for report in reports
        for gap in report.large_gaps
        if gap.symbol in symbols and gap.channel in channels
    }
    return [found[key] for key in sorted(found)]


def _windows(repairs: Iterable[Backfill]) -> list[Window]:
    return [window for window in map(window_of, repairs) if window is not None]


def _is_of_days(repair: Backfill) -> bool:
    return repair.spec.ttl_seconds_after_finished == DAYS_TTL_SECONDS


def _has_ended(repair: Backfill) -> bool:
    return any(
        condition is not None and condition.status is ConditionStatus.TRUE
        for kind in (ConditionType.SUCCEEDED, ConditionType.FAILED)
        for condition in [find_condition(repair.status.conditions, kind)]
    )


def _parse_present(
    subscription: Subscription, children: Mapping[Ref, Manifest]
) -> tuple[Backfill, ...]:
    parsed = []
    for ref in sorted(children):
        labels = children[ref]["metadata"].get("labels", {})
        mine = labels.get(LABEL_SUBSCRIPTION) == subscription.metadata.name
        if ref.kind != Kind.BACKFILL.value or not mine:
            continue
        try:
            parsed.append(Backfill.parse(children[ref]))
        except InvalidSpecError:
            # An older operator's; it is none of those made today.
            continue
    return tuple(parsed)


def _build(subscription: Subscription, window: Window) -> dict[str, Any]:
    metadata, feed = subscription.metadata, subscription.spec.feed_source_ref.name
    instruments = sorted(window.instruments)
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.BACKFILL.value,
        "metadata": {
            "name": _name(subscription, window),
            "namespace": metadata.namespace,
            "labels": {
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_FEED_SOURCE: feed,
                LABEL_SUBSCRIPTION: metadata.name,
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": subscription.kind.value,
                    "name": metadata.name,
                    "uid": metadata.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "feedSourceRef": {"name": feed},
            "instruments": instruments,
            "channels": sorted(window.channels),
            "range": {"start": _text(window.start), "end": _text(window.end)},
            "parallelism": min(MOST_WORKERS, len(instruments)),
            "ttlSecondsAfterFinished": DAYS_TTL_SECONDS if window.whole_days else TTL_SECONDS,
        },
    }


def _name(subscription: Subscription, window: Window) -> str:
    uid, name = subscription.metadata.uid, subscription.metadata.name
    told = repr((uid, window.end, sorted(window.instruments), sorted(window.channels)))
    digest = hashlib.sha256(told.encode()).hexdigest()[:4]
    minute = int(window.start.timestamp()) // 60
    short = name.replace(".", "-")[:_NAME_LETTERS].rstrip("-")
    return f"{'days' if window.whole_days else 'gap'}-{short}-{minute}-{digest}"


def _note(window: Window) -> Note:
    said = (
        f"{len(window.instruments)} instruments, {', '.join(sorted(window.channels))},"
        f" {_text(window.start)} to {_text(window.end)}"
    )
    return Note(reason=EventReason.REPAIR_STARTED, message=said)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
