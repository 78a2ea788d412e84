"""`feedplane report quality`: is the tape of a Subscription complete, and in time?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from feedplane_api.backfill import Severity
from feedplane_cli.clock import monotonic_seconds, utc_now
from feedplane_cli.cluster import connect
from feedplane_cli.core.quality import Question
from feedplane_cli.core.quality_report import QualityReport, build_report
from feedplane_cli.core.ranges import parse_range
from feedplane_cli.core.should_list import ShouldList
from feedplane_cli.core.tape import SeriesKey
from feedplane_cli.database import Database, open_database, translated
from feedplane_cli.errors import CliError, ExitStatus, UsageError
from feedplane_cli.market_days import open_calendar
from feedplane_cli.place import Place
from feedplane_cli.reading import read_should_list
from feedplane_cli.render.quality import MARKS, render_json, render_markdown
from feedplane_cli.render.quality_page import render_page
from feedplane_cli.tape_reading import Choice, as_ns, read_tape
from feedplane_cli.terminal import make_console, say
from feedplane_feeder.errors import UnknownVenueError
from feedplane_feeder.registry import ADAPTERS, find_adapter

SHOWN_NOTICES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityChoice:
    """What a person wants to know."""

    name: str
    """The Subscription; empty takes what the tape holds, without a cluster."""
    start: str
    end: str
    instruments: tuple[str, ...]
    channels: tuple[str, ...]
    calendar: str
    """Empty takes the FeedSource's, else a market that never closes."""
    schema: str
    """Empty takes the FeedSource's, else `feedplane`."""
    output: Path | None


async def report_quality(place: Place, choice: QualityChoice, database: Database) -> ExitStatus:
    """Read a tape, judge it and write the report in three forms."""
    now = utc_now()
    start, end = parse_range(choice.start, choice.end, now)
    database.read()
    should: ShouldList | None = None
    if choice.name:
        async with connect(place) as cluster:
            should = await read_should_list(cluster, cluster.namespace, choice.name)
    wanted = _wanted(should, choice)
    began = monotonic_seconds()
    with make_console(stderr=True).status("Reading the tape"), translated():
        async with open_database(database) as connection:
            tape = await read_tape(
                connection,
                Choice(
                    schema=choice.schema or (should.schema if should else "") or "feedplane",
                    start=start,
                    end=end,
                    instruments=tuple(dict.fromkeys(key[0] for key in wanted))
                    or choice.instruments,
                    channels=tuple(dict.fromkeys(key[1] for key in wanted)) or choice.channels,
                ),
            )
    name = choice.calendar or (should.calendar if should else "")
    question = Question(
        wanted=wanted,
        start_ns=as_ns(start),
        end_ns=as_ns(end),
        now_ns=as_ns(now),
        strict=bool(choice.start),
        sparse=frozenset(
            adapter.instrument_id("X").rpartition(".")[2]
            for adapter in ADAPTERS.values()
            if not adapter.capabilities.dense_bars
        ),
    )
    report = build_report(_title(should), tape, question, open_calendar(name, start, end))
    folder = choice.output or Path(f"quality-{choice.name or 'tape'}")
    files = _write(folder, report)
    _tell(report, files, monotonic_seconds() - began)
    return ExitStatus.NOT_READY if report.severity is Severity.ERROR else ExitStatus.HEALTHY


def _wanted(should: ShouldList | None, choice: QualityChoice) -> tuple[SeriesKey, ...]:
    if should is None:
        return tuple(
            (instrument, channel)
            for instrument in choice.instruments
            for channel in choice.channels
        )
    try:
        adapter = find_adapter(should.venue)
    except UnknownVenueError as error:
        raise UsageError(
            str(error), "This command is of another release than the feeders."
        ) from None
    found = tuple(
        (adapter.instrument_id(symbol), channel)
        for symbol, channel in should.pairs
        if not choice.channels or channel in choice.channels
    )
    kept = tuple(key for key in found if not choice.instruments or key[0] in choice.instruments)
    if not kept:
        raise UsageError(f"Nothing of Subscription {should.subscription} is asked about.")
    return kept


def _title(should: ShouldList | None) -> str:
    if should is None:
        return "Quality of the tape"
    return f"Quality of {should.subscription} ({should.feed_source}, {should.venue})"


def _write(folder: Path, report: QualityReport) -> list[Path]:
    forms = {
        "quality.html": render_page(report),
        "quality.md": render_markdown(report),
        "quality.json": render_json(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in forms.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in forms]


def _tell(report: QualityReport, files: list[Path], seconds: float) -> None:
    for notice in report.notices[:SHOWN_NOTICES]:
        say(f"{MARKS[notice.severity]:<7} {notice.subject}: {notice.text}")
    if len(report.notices) > SHOWN_NOTICES:
        say(f"{len(report.notices) - SHOWN_NOTICES} more verdicts are in the report.")
    say(f"{MARKS[report.severity]}, read in {seconds:.1f} s: {', '.join(map(str, files))}")
