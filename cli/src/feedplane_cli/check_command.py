"""`feedplane check subscriptions`: the should-list against what streams."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from feedplane_cli.asking import check_alone, check_in_cluster
from feedplane_cli.clock import utc_now
from feedplane_cli.cluster import connect
from feedplane_cli.core.feed_view import describe
from feedplane_cli.core.subscription_check import Attempt, Checked, FeederView, count_reasons
from feedplane_cli.errors import CliError, ExitStatus, UsageError
from feedplane_cli.place import Place
from feedplane_cli.render.words import NOTHING, render_age
from feedplane_cli.terminal import Format, draw, say, write_plain

SHOWN_MISSING: Final = 50
MODE: Final = 0o600
COLUMNS: Final = (
    *("time", "subscription", "account", "shard", "instrument", "channel"),
    *("publishes", "result", "errorCode", "sinceTime"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckChoice:
    """What a person wants checked."""

    name: str
    """The Subscription; empty takes all of the namespace."""
    config: Path | None
    """A feeder's configuration file, whose should-list is checked without a cluster."""
    feeders: tuple[str, ...]
    """Addresses of feeders, for the same."""
    audit_log: Path | None


async def check_subscriptions(place: Place, choice: CheckChoice, form: Format) -> ExitStatus:
    """Check, write it down, show it, and return the exit code that goes with it."""
    if bool(choice.feeders) != bool(choice.config):
        raise UsageError(
            "Without a cluster, both --feeder and --config are needed.",
            "As in: feedplane check subscriptions --config worker.yaml"
            " --feeder http://127.0.0.1:8000",
        )
    now = utc_now()
    if choice.config is not None:
        found = await check_alone(choice.config, choice.feeders)
    else:
        async with connect(place) as cluster:
            found = await check_in_cluster(cluster, choice.name)
    if choice.audit_log is not None:
        write_audit(choice.audit_log, found, now)
    _show(found, form, now)
    return ExitStatus.HEALTHY if all(one.good for one in found) else ExitStatus.NOT_READY


def write_audit(path: Path, found: Iterable[Checked], now: datetime) -> None:
    """Append a line per attempt and one per Subscription; what stands there is never changed.

    Raises:
        CliError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    for one in found:
        lines += [_row(attempt, now) for attempt in one.attempts]
        lines.append({"time": _stamp(now), **_summary(one)})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, MODE)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror}") from error


def _show(found: Sequence[Checked], form: Format, now: datetime) -> None:
    if form is Format.JSON:
        document = {
            "time": _stamp(now),
            "good": all(one.good for one in found),
            "subscriptions": [
                {
                    **_summary(one),
                    "feeders": describe(one.feeders),
                    "attempts": [_row(attempt, now) for attempt in one.attempts],
                }
                for one in found
            ],
        }
        write_plain(json.dumps(document, indent=2))
        return
    if form is Format.CSV:
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(attempt, now) for one in found for attempt in one.attempts)
        write_plain(stream.getvalue())
        return
    for one in found:
        _draw(one, now)


def _draw(one: Checked, now: datetime) -> None:
    mark = "OK" if one.good else "MISSING"
    say(
        f"{mark} {one.subscription} of {one.feed_source}:"
        f" {one.streaming:,} of {one.wanted:,} wanted channels stream to the sinks."
    )
    draw(_feeder_table(one.feeders, now))
    missing = one.missing
    if missing:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in count_reasons(missing))
        say(f"Missing, over all accounts: {reasons}.")
        draw(_missing_table(missing[:SHOWN_MISSING], now))
    if len(missing) > SHOWN_MISSING:
        say(f"{len(missing) - SHOWN_MISSING:,} more are in --format json or csv.")


def _feeder_table(feeders: Sequence[FeederView], now: datetime) -> Table:
    titles = ("ACCOUNT", "SHARD", "FEEDER", "PUBLISHES", "SESSION", "LIVE", "WANTED", "HELD BACK")
    table = Table(*titles, "WEIGHT", "BANNED", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in feeders:
        until = one.banned_until_time
        table.add_row(
            *(one.account, str(one.shard), one.pod or NOTHING),
            *("yes" if one.publishes else "no", one.session or one.error),
            *(f"{one.live:,}", f"{one.wanted:,}", f"{one.held_back:,}"),
            f"{one.request_weight_used:,}",
            NOTHING if until is None or until < now else f"until {_stamp(until)}",
        )
    return table


def _missing_table(missing: Sequence[Attempt], now: datetime) -> Table:
    titles = ("INSTRUMENT", "CHANNEL", "ACCOUNT", "PUBLISHES", "WHY", "SINCE")
    table = Table(*titles, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for one in missing:
        publishes = "yes" if one.publishes else "no"
        since = render_age(one.since_time, now)
        account = one.account or NOTHING
        table.add_row(one.instrument, one.channel, account, publishes, one.error_code, since)
    return table


def _row(attempt: Attempt, now: datetime) -> dict[str, Any]:
    return {"time": _stamp(now), **describe(attempt)}


def _summary(one: Checked) -> dict[str, Any]:
    return {
        "subscription": one.subscription,
        "feedSource": one.feed_source,
        "good": one.good,
        "wanted": one.wanted,
        "streaming": one.streaming,
        "missing": dict(count_reasons(one.missing)),
    }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
