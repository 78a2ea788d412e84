"""The picture `feedplane status` draws: per FeedSource its accounts, Leases and Subscriptions."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from feedplane_cli.core.feed_view import (
    AccountView,
    ConditionView,
    FeedView,
    GapsView,
    LeaseView,
    SubscriptionView,
)
from feedplane_cli.render.words import (
    BAD,
    DOUBTFUL,
    GOOD,
    NOTHING,
    QUIET,
    render_age,
    render_count,
    render_milliseconds,
    style_of,
)

LEASE_SLACK_SECONDS: Final = 2
_INDENT: Final = (0, 0, 0, 2)

Cell = str | Text
Part = tuple[str, str]


def render_status(views: Sequence[FeedView], now: datetime, place: str = "") -> RenderableType:
    """Draw every FeedSource, one below the other."""
    if not views:
        return Text(f"No FeedSources{place}.")
    parts: list[RenderableType] = []
    for view in views:
        parts += [Text(""), render_feed(view, now)] if parts else [render_feed(view, now)]
    return Group(*parts)


def render_feed(view: FeedView, now: datetime) -> RenderableType:
    """Draw one FeedSource."""
    below = [_accounts(view, now), _leases(view, now), _subscriptions(view, now)]
    lines = [_active(view, now), _figures(view), *_notices(view, now)]
    shown = [table for table in below if table is not None]
    return Group(
        _headline(view),
        *(Padding(line, _INDENT, expand=False) for line in lines),
        *(Padding(table, (1, 0, 0, 2), expand=False) for table in shown),
    )


def _headline(view: FeedView) -> Text:
    mark = BAD if not view.healthy else DOUBTFUL if view.paused else GOOD
    ready = f"Ready {view.ready.reason}" if view.ready.holds else f"not Ready {view.ready.reason}"
    state = "Paused" if view.paused else ready.rstrip()
    return Text.assemble(
        ("● ", mark),
        (f"{view.namespace}/{view.name}", "bold"),
        f"  {view.venue}  {view.mode}  " if view.mode else f"  {view.venue}  ",
        (state, mark),
    )


def _active(view: FeedView, now: datetime) -> Text:
    failover = view.failover
    parts: list[str | Part] = ["active "]
    parts.append((view.active_account or "nobody", GOOD if view.active_account else BAD))
    if failover.since_time is not None:
        parts.append(f" for {render_age(failover.since_time, now)}")
    parts.append(f", epoch {failover.epoch}")
    if failover.reason:
        parts.append(f" ({failover.reason})")
    if failover.count:
        parts.append(f"; {failover.count} failover{'s' if failover.count > 1 else ''}")
    if failover.last_duration_milliseconds is not None:
        parts.append(f", the last took {render_milliseconds(failover.last_duration_milliseconds)}")
    if view.chosen_account:
        parts.append((f"; a person chose {view.chosen_account}", DOUBTFUL))
    return Text.assemble(*parts)


def _figures(view: FeedView) -> Text:
    coverage = view.coverage
    style = GOOD if coverage.live == coverage.wanted else BAD
    return Text.assemble(
        "coverage ",
        (f"{coverage.percent} %", style),
        f" ({render_count(coverage.live)} of {render_count(coverage.wanted)})",
        f"  rate {render_count(view.events_per_second)}/s",
        f"  lag {render_milliseconds(view.lag_milliseconds)}",
        "  gaps ",
        *_gaps(view.gaps),
    )


def _gaps(gaps: GapsView) -> tuple[Part, ...]:
    return (
        (f"{render_count(gaps.open)} open", BAD if gaps.open else ""),
        (f", {render_count(gaps.filled)} filled", ""),
        (
            f", {render_count(gaps.unfillable)} unfillable",
            DOUBTFUL if gaps.unfillable else "",
        ),
        (f", {render_count(gaps.missing)} trades missing" if gaps.missing else "", BAD),
    )


def _notices(view: FeedView, now: datetime) -> Iterable[Text]:
    # What is not as it should be, each with the operator's own sentence.
    if view.rollout is not None:
        rollout = view.rollout
        age = render_age(rollout.since_time, now)
        done = f"{rollout.updated} of {rollout.feeders} feeders"
        yield Text(f"rollout {rollout.reason}: {done}, last {age} ago", style=DOUBTFUL)
    if not view.ready.holds and view.ready.message:
        yield _notice(view.ready, BAD if not view.paused else DOUBTFUL)
    for condition in view.conditions:
        if condition.type == "Degraded" and condition.holds:
            yield _notice(condition, DOUBTFUL)
        elif condition.type in ("Accepted", "Redundant") and condition.status == "False":
            single = condition.reason == "SingleAccount"
            yield _notice(condition, QUIET if single else BAD)


def _notice(condition: ConditionView, style: str) -> Text:
    said = f"{condition.type}={condition.status} {condition.reason}: {condition.message}"
    return Text(said, style=style)


def _accounts(view: FeedView, now: datetime) -> Table | None:
    rows = [
        (
            account.name,
            _word(account.role),
            _word(account.session),
            _word(account.healthy),
            _because(account, now),
            render_count(account.instruments),
        )
        for account in view.accounts
    ]
    columns = ("ACCOUNT", "ROLE", "SESSION", "HEALTHY", "REASON", ">INSTRUMENTS")
    return _table(columns, rows)


def _because(account: AccountView, now: datetime) -> str:
    if account.failing_since_time is None:
        return account.reason or NOTHING
    return f"{account.reason} for {render_age(account.failing_since_time, now)}".lstrip()


def _leases(view: FeedView, now: datetime) -> Table | None:
    rows = [
        (
            lease.name,
            lease.holder or Text("nobody", style=BAD),
            str(lease.epoch),
            _renewal(lease, now),
            lease.reason or NOTHING,
        )
        for lease in (*view.leases, *view.seats)
    ]
    return _table(("LEASE", "HOLDER", ">EPOCH", ">RENEWED", "REASON"), rows)


def _renewal(lease: LeaseView, now: datetime) -> Text:
    if lease.renew_time is None:
        return Text(NOTHING)
    age = (now - lease.renew_time).total_seconds()
    late = bool(lease.holder) and age > lease.duration_seconds + LEASE_SLACK_SECONDS
    return Text(f"{render_age(lease.renew_time, now)} ago", style=BAD if late else "")


def _subscriptions(view: FeedView, now: datetime) -> Table | None:
    columns = (
        "SUBSCRIPTION",
        ">WANTED",
        ">LIVE",
        ">STALE",
        ">REFUSED",
        ">OPEN",
        ">FILLED",
        ">UNFILLABLE",
        ">LAST EVENT",
        "READY",
    )
    return _table(columns, [_subscription(one, now) for one in view.subscriptions])


def _subscription(one: SubscriptionView, now: datetime) -> tuple[Cell, ...]:
    coverage, gaps = one.coverage, one.gaps
    last = render_age(one.last_event_time, now)
    ready = _word(one.ready.status)
    ready.append(f" {one.ready.reason}", style=QUIET)
    return (
        one.name,
        render_count(coverage.wanted),
        render_count(coverage.live),
        _warned(coverage.stale, BAD),
        _warned(coverage.refused, DOUBTFUL),
        _warned(gaps.open, BAD),
        render_count(gaps.filled),
        _warned(gaps.unfillable, DOUBTFUL),
        last if last == NOTHING else f"{last} ago",
        ready,
    )


def _warned(count: int, style: str) -> Text:
    return Text(render_count(count), style=style if count else "")


def _word(state: str) -> Text:
    return Text(state, style=style_of(state))


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table | None:
    # A column whose title begins with > is flush right. No borders: what is piped stays columns.
    if not rows:
        return None
    table = Table(box=None, pad_edge=False, header_style=QUIET, padding=(0, 2, 0, 0))
    for title in columns:
        right = title.startswith(">")
        table.add_column(title.lstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
