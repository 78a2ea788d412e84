"""What a chunk ends with when its sources are bad: a named reason, or the rows by another way."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from support_stage import Highest, LoopClock

from feedplane_api.backfill_worker import BackfillConfig
from feedplane_feeder import backfill
from feedplane_feeder.adapters.binance_history import SPOT_HISTORY
from feedplane_feeder.archive import ArchiveClient, ArchivedFile
from feedplane_feeder.backfill import OUTAGES, BackfillRun, plan_share
from feedplane_feeder.backfill_report import BackfillMetrics
from feedplane_feeder.core.budget import Priority
from feedplane_feeder.core.chunks import Chunk, Series
from feedplane_feeder.core.history import Rendered
from feedplane_feeder.core.missing import Held
from feedplane_feeder.core.ports import Written
from feedplane_feeder.core.progress import ChunkResult, ChunkState
from feedplane_feeder.errors import (
    ArchiveDamagedError,
    ArchiveMissingError,
    FeederError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.log import get_log
from feedplane_feeder.pages import Pages
from feedplane_feeder.piece import Means
from feedplane_feeder.records import Quarantined

pytestmark = pytest.mark.looptime

START = datetime(2026, 10, 25, 12, tzinfo=UTC)
MINUTES = 3
OPENS_MS = [int(START.timestamp() * 1000) + minute * 60_000 for minute in range(MINUTES)]
BARS = [[at, "1", "2", "1", "2", "9", at + 59_999, "9", 4, "3", "3", "0"] for at in OPENS_MS]
SECONDS_TOLD = 7.0

GONE = ArchiveMissingError("/a.zip")
CORRUPT = ArchiveDamagedError("/a.zip", "ChecksumMismatch")
TRUNCATED = ArchiveDamagedError("/a.zip", "BadZip")
BROKEN = VenueUnavailableError("http://venue", "HTTP 503")
SLOW = VenueUnavailableError("http://venue", "SocketTimeoutError: nothing for 30 s")
THROTTLED = VenueThrottledError("http://venue", "HTTP 429", SECONDS_TOLD)
BANNED = VenueBannedError("http://venue", "HTTP 418", SECONDS_TOLD)


class Source:
    """Fails as often as it is told, then gives what it has."""

    def __init__(self, failures: Iterable[FeederError] = ()) -> None:
        self.failures = list(failures)
        self.asked = 0

    def fail(self) -> None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)


class FakeArchive(Source):
    """One file, whichever is asked for."""

    lines = 3

    async def fetch(self, path: str) -> ArchivedFile:
        self.fail()
        packed = io.BytesIO()
        text = "".join(",".join(map(str, bar)) + "\n" for bar in BARS[: self.lines])
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a.csv", text)
        return ArchivedFile(path, "f" * 64, packed)


class FakeRest(Source):
    """One page, whichever is asked for."""

    body = json.dumps(BARS).encode()

    async def fetch(self, path: str, weight: int, priority: Priority = Priority.LIVE) -> bytes:
        del path, weight, priority
        self.fail()
        return self.body


class FakeStore:
    """Counts keys, and remembers how chunks ended."""

    def __init__(self) -> None:
        self.opens: set[bytes] = set()
        self.ended: list[ChunkResult] = []

    async def held(self, chunks: Sequence[Chunk]) -> Mapping[int, Held]:
        held = Held(rows=len(self.opens))
        return {chunk.number: held for chunk in chunks} if self.opens else {}

    async def known(self, chunks: Sequence[Chunk]) -> Mapping[int, int]:
        del chunks
        return {}

    async def done(self) -> Mapping[int, tuple[str, str, str]]:
        return {}

    async def remember(self, results: Sequence[ChunkResult]) -> None:
        self.ended += results

    async def write(
        self, channel: str, blocks: Iterable[Rendered], *, fresh: bool, overwrite: bool = False
    ) -> Written:
        del channel, fresh, overwrite
        rows = [opened for block in blocks for opened in block.data.split()]
        new = set(rows) - self.opens
        self.opens |= new
        return Written(new=len(new), duplicate=len(rows) - len(new))

    async def set_aside(self, quarantined: Sequence[Quarantined]) -> None:
        assert not quarantined


def render_opens(opened: Iterable[int]) -> Rendered:
    """Return times as the store here takes them."""
    return Rendered(" ".join(map(str, opened)).encode(), "text")


class Rig:
    """One chunk of three bars, and where they come from."""

    def __init__(self, archive: Iterable[FeederError] = (), rest: Iterable[FeederError] = ()):
        self.archive = FakeArchive(archive)
        self.rest = FakeRest(rest)
        self.store = FakeStore()

    async def run(self, *sources: str, tries: int = 3) -> ChunkResult:
        """Run a backfill and return how its chunk ended."""
        config = BackfillConfig.model_validate(
            {
                "venue": "binance-spot",
                "wanted": [{"symbol": "B", "channels": ["bar-1m"]}],
                "start": START,
                "end": START + timedelta(minutes=MINUTES),
                "sources": sources or ("Archive", "Rest"),
                "tries": tries,
                "sink": {"dsnPath": "/etc/dsn"},
            }
        )
        clock = LoopClock()
        means = Means(
            history=SPOT_HISTORY,
            archive=cast("ArchiveClient", self.archive),
            pages=Pages(SPOT_HISTORY, self.rest, clock),
            store=self.store,
            render=lambda _, __, rows: render_opens(row[0] for row in rows),
            render_bars=lambda _, __, bars: render_opens(bars.opened),
            clock=clock,
            sources=config.sources,
            mode=config.mode,
        )
        series = Series(symbol="B", instrument_id="B.V", channel="bar-1m")
        now_ns = int((START + timedelta(days=2)).timestamp()) * 10**9
        share = plan_share(config, [series], 0, now_ns)
        run = BackfillRun(
            config, share, means=means, store=self.store, rng=Highest(), log=get_log("backfill")
        )
        await run.run(asyncio.Event(), BackfillMetrics(CollectorRegistry()))
        (result,) = self.store.ended
        return result


@pytest.fixture(autouse=True)
def _no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each report collects garbage for real, and hours go by here.
    monkeypatch.setattr(backfill, "PROGRESS_SECONDS", 1e9)


def ending(result: ChunkResult) -> tuple[str, str, str, int]:
    return result.state.value, result.source, result.reason, result.rows_held


async def test_good_file_ends_without_a_reason() -> None:
    rig = Rig()
    assert ending(await rig.run()) == ("done", "Archive", "", MINUTES)
    assert rig.rest.asked == 0


@pytest.mark.parametrize(
    ("error", "reason", "tries"),
    [
        pytest.param(GONE, "ArchiveMissing", 1, id="missing file"),
        pytest.param(CORRUPT, "ChecksumMismatch", 3, id="corrupt file"),
        pytest.param(TRUNCATED, "BadZip", 3, id="truncated file"),
        pytest.param(BROKEN, "VenueUnavailable", 3, id="server error"),
        pytest.param(SLOW, "VenueUnavailable", 3, id="slow server"),
    ],
)
async def test_archive_that_stays_bad_fails_with_the_reason(
    error: FeederError, reason: str, tries: int
) -> None:
    result = await Rig([error] * 99).run("Archive")
    assert ending(result) == ("failed", "", reason, 0)
    assert (result.tries, result.message) == (tries, str(error))


@pytest.mark.parametrize(
    ("error", "reason"), [(THROTTLED, "Throttled"), (BANNED, "Banned")], ids=["429", "418"]
)
@pytest.mark.parametrize("source", ["Archive", "Rest"])
async def test_pause_without_an_end_fails_with_the_reason(
    source: str, error: FeederError, reason: str
) -> None:
    began = asyncio.get_running_loop().time()
    result = await Rig([error] * 9_999, [error] * 9_999).run(source)
    assert ending(result) == ("failed", "", reason, 0)
    # Not one of the pauses was cut short.
    assert asyncio.get_running_loop().time() - began >= OUTAGES * SECONDS_TOLD


@pytest.mark.parametrize("error", [THROTTLED, BANNED], ids=["429", "418"])
async def test_archive_that_asks_for_pauses_is_waited_for(error: FeederError) -> None:
    rig = Rig([error] * 5)
    assert ending(await rig.run("Archive", tries=1)) == ("done", "Archive", "", MINUTES)
    assert asyncio.get_running_loop().time() >= 5 * SECONDS_TOLD


@pytest.mark.parametrize("error", [BROKEN, SLOW], ids=["server error", "slow server"])
async def test_archive_that_fails_once_is_asked_again(error: FeederError) -> None:
    rig = Rig([error])
    assert ending(await rig.run()) == ("done", "Archive", "VenueUnavailable", MINUTES)
    assert rig.rest.asked == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(GONE, "ArchiveMissing", id="missing file"),
        pytest.param(CORRUPT, "ChecksumMismatch", id="corrupt file"),
        pytest.param(TRUNCATED, "BadZip", id="truncated file"),
        pytest.param(BROKEN, "VenueUnavailable", id="server error"),
        pytest.param(SLOW, "VenueUnavailable", id="slow server"),
    ],
)
async def test_archive_that_stays_bad_is_replaced_by_rest(error: FeederError, reason: str) -> None:
    rig = Rig([error] * 99)
    assert ending(await rig.run()) == ("done", "Rest", reason, MINUTES)
    assert rig.rest.asked == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(CORRUPT, "ChecksumMismatch", id="corrupt file"),
        pytest.param(BROKEN, "VenueUnavailable", id="server error"),
    ],
)
async def test_rest_that_knows_nothing_does_not_hide_a_bad_archive(
    error: FeederError, reason: str
) -> None:
    rig = Rig([error] * 99)
    rig.rest.body = b"[]"
    assert ending(await rig.run()) == ("failed", "", reason, 0)


async def test_rest_that_knows_nothing_ends_what_the_archive_lacks() -> None:
    rig = Rig([GONE] * 99)
    rig.rest.body = b"[]"
    result = await rig.run()
    assert ending(result) == ("done", "Rest", "ArchiveMissing", 0)
    assert result.rows_missing == MINUTES


async def test_file_with_a_hole_is_flagged_and_filled() -> None:
    rig = Rig()
    rig.archive.lines = 2
    assert ending(await rig.run()) == ("done", "Archive+Rest", "ArchiveHole", MINUTES)


async def test_file_with_a_hole_and_nothing_else_lacks_rows() -> None:
    rig = Rig()
    rig.archive.lines = 2
    result = await rig.run("Archive")
    assert ending(result) == ("done", "Archive", "ArchiveHole", 2)
    assert result.rows_missing == 1


@pytest.mark.parametrize("error", [BROKEN, SLOW], ids=["server error", "slow server"])
async def test_rest_that_stays_bad_fails_with_the_reason(error: FeederError) -> None:
    rig = Rig(rest=[error] * 99)
    result = await rig.run("Rest")
    assert ending(result) == ("failed", "", "VenueUnavailable", 0)
    assert (result.tries, result.message, rig.rest.asked) == (3, str(error), 3)


async def test_answer_that_cannot_be_read_fails_with_the_reason() -> None:
    rig = Rig()
    rig.rest.body = b"<html>"
    result = await rig.run("Rest")
    assert (result.state, result.reason) == (ChunkState.FAILED, "MalformedAnswer")


async def test_sources_that_are_all_bad_fail_with_the_last_reason() -> None:
    rig = Rig([GONE] * 99, [BROKEN] * 99)
    result = await rig.run()
    assert ending(result) == ("failed", "", "VenueUnavailable", 0)
    assert rig.rest.asked == result.tries == 3
