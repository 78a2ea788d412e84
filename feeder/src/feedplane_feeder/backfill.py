"""One worker of a backfill: its share of the chunks, fetched piece by piece and remembered.

What is there already is not fetched again, nor what this run has done before. Every chunk is
tried a few times and then listed with the reason; the others go on. Must not know venues, files
or tables.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from feedplane_api.backfill import BackfillMode, BackfillSource
from feedplane_api.backfill_worker import BackfillConfig
from feedplane_feeder.backfill_report import BackfillMetrics, list_figures
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.chunks import (
    DAY_NS,
    Chunk,
    Piece,
    Series,
    expected_rows,
    group_chunks,
    plan_chunks,
    settled_end_ns,
    share_pieces,
)
from feedplane_feeder.core.exchange import TradingDays
from feedplane_feeder.core.missing import NOTHING, Held, find_missing
from feedplane_feeder.core.parts import Part
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.core.progress import ChunkResult, ChunkState, Progress
from feedplane_feeder.errors import (
    FeederError,
    MalformedFrameError,
    SinkUnavailableError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog
from feedplane_feeder.piece import Means, PieceRun
from feedplane_feeder.piece import Store as RowStore

PROGRESS_SECONDS: Final = 10.0
OUTAGES: Final = 60
"""Times a piece is tried again because the store or the venue's patience was away."""
T = TypeVar("T")


class Store(RowStore, Protocol):
    """The store of a backfill."""

    async def held(self, chunks: Sequence[Chunk]) -> Mapping[int, Held]:
        """Return what is there of chunks, by number."""

    async def known(self, chunks: Sequence[Chunk]) -> Mapping[int, int]:
        """Return how many rows an earlier backfill counted in chunks, by number."""

    async def done(self) -> Mapping[int, tuple[str, str, str]]:
        """Return the chunks this backfill has done: instrument, channel and day by number."""

    async def remember(self, results: Sequence[ChunkResult]) -> None:
        """Write down how chunks ended."""


@dataclass(slots=True)
class Share:
    """A worker's pieces, and which of their chunks may be remembered as done."""

    chunks: tuple[Chunk, ...]
    """All chunks of the range, clipped to the past; the share is a part of them."""
    pieces: tuple[Piece, ...]
    growing: frozenset[int] = field(default_factory=frozenset)
    """Chunks whose time is not over: they are fetched again by the next run."""


def plan_share(config: BackfillConfig, series: Sequence[Series], index: int, now_ns: int) -> Share:
    """Return what a worker has to do; what is whose does not depend on the time."""
    planned = plan_chunks(series, _nanoseconds(config.start), _nanoseconds(config.end))
    pieces = group_chunks(planned)
    # There may be more workers than the venue allows sessions; those have nothing to do.
    mine = share_pieces(pieces, index, config.workers) if index < config.workers else ()
    ends = {each.channel: settled_end_ns(each.channel, now_ns) for each in series}
    past = {
        chunk.number: replace(chunk, end_ns=min(chunk.end_ns, ends[chunk.channel]))
        for chunk in planned
        if chunk.start_ns < ends[chunk.channel]
    }
    clipped = (
        Piece(tuple(past[chunk.number] for chunk in piece.chunks if chunk.number in past))
        for piece in mine
    )
    growing = frozenset(c.number for c in planned if c.end_ns > ends[c.channel])
    return Share(tuple(past.values()), tuple(each for each in clipped if each.chunks), growing)


class BackfillRun:
    """One worker's run."""

    def __init__(
        self,
        config: BackfillConfig,
        share: Share,
        *,
        means: Means,
        store: Store,
        rng: Rng,
        log: FieldLog,
    ) -> None:
        self._config = config
        self._share = share
        self._means = means
        self._store = store
        self._rng = rng
        self._log = log
        self._clock: Clock = means.clock
        self._listed: dict[str, int | None] = {}
        self._days: tuple[int, ...] = ()
        self._by_number = {chunk.number: chunk for chunk in share.chunks}
        self.progress = Progress(self._clock.now_ns())

    async def run(self, stop: asyncio.Event, metrics: BackfillMetrics) -> Progress:
        """Fetch until everything is done, or, told to stop, until present pieces are."""
        self.progress.chunks_total = sum(len(piece.chunks) for piece in self._share.pieces)
        self._log.info(
            Event.BACKFILL_STARTED,
            chunks_count=self.progress.chunks_total,
            pieces_count=len(self._share.pieces),
        )
        done = await self._store.done()
        pieces = iter(self._share.pieces)
        async with asyncio.TaskGroup() as tasks:
            fetchers = [
                tasks.create_task(self._work(pieces, done, stop))
                for _ in range(self._config.fetches)
            ]
            reporting = tasks.create_task(self._report_often(metrics))
            await asyncio.wait(fetchers)
            reporting.cancel()
        metrics.take(self._config.venue, self.progress, self._clock.now_ns())
        self._log.info(Event.BACKFILL_ENDED, **list_figures(self.progress, self._clock.now_ns()))
        return self.progress

    async def _work(
        self, pieces: Iterator[Piece], done: Mapping[int, tuple[str, str, str]], stop: asyncio.Event
    ) -> None:
        for piece in pieces:
            if stop.is_set():
                return
            await self._do_piece(piece, done)

    async def _do_piece(self, piece: Piece, done: Mapping[int, tuple[str, str, str]]) -> None:
        started_ns = self._clock.now_ns()
        remembered = [chunk for chunk in piece.chunks if done.get(chunk.number) == _name(chunk)]
        todo = [chunk for chunk in piece.chunks if done.get(chunk.number) != _name(chunk)]
        for chunk in remembered:
            self.progress.add(_present(chunk, started_ns), started_ns)
        if not todo:
            return
        held = await self._patiently(lambda: self._look(todo))
        wanted = await self._choose(todo, held)
        present = [chunk for chunk in todo if chunk not in wanted]
        results = [
            _present(chunk, started_ns, held.get(chunk.number, NOTHING)) for chunk in present
        ]
        if wanted:
            fresh = all(chunk.number not in held for chunk in wanted)
            work = PieceRun(self._means, piece, wanted, fresh)
            tries = await self._try(work)
            results += await self._judge(work, tries, started_ns)
        keep = [result for result in results if result.chunk.number not in self._share.growing]
        await self._patiently(lambda: self._store.remember(keep))
        for result in results:
            self._tell(result)
            self.progress.add(result, self._clock.now_ns())

    # What is held of chunks and of those beside them, whose numbers prove that a day is whole.
    async def _look(self, chunks: Sequence[Chunk]) -> Mapping[int, Held]:
        wanted = {chunk.number: chunk for chunk in chunks}
        for chunk in chunks:
            for number in (chunk.number - 1, chunk.number + 1):
                beside = self._by_number.get(number)
                if beside is not None and beside.instrument_id == chunk.instrument_id:
                    wanted.setdefault(number, beside)
        return await self._store.held(tuple(wanted.values()))

    async def _choose(self, todo: Sequence[Chunk], held: Mapping[int, Held]) -> tuple[Chunk, ...]:
        if self._config.mode is BackfillMode.OVERWRITE:
            return tuple(todo)
        some = [chunk for chunk in todo if chunk.number in held]
        known = await self._patiently(lambda: self._store.known(some))
        beside = {
            number: each for number, each in held.items() if number not in self._share.growing
        }
        # A chunk that still grows is whole only by its own count of bars.
        return find_missing(todo, {**held, **beside}, known)

    async def _try(self, work: PieceRun) -> int:
        backoff = Backoff(initial_seconds=1.0, cap_seconds=30.0)
        tries = outages = 0
        while True:
            tries += 1
            try:
                await work.attempt()
            except (SinkUnavailableError, VenueThrottledError) as error:
                # Nobody's fault but the time's: it does not count as a try.
                tries, outages = tries - 1, outages + 1
                if outages > OUTAGES:
                    if isinstance(error, SinkUnavailableError):
                        raise
                    _fail(work, error)
                    return tries
                backoff.lost(0)
                await self._clock.sleep(_pause(error, backoff.delay_seconds(self._rng)))
                continue
            except (VenueUnavailableError, MalformedFrameError) as error:
                _fail(work, error)
            if tries >= self._config.tries or not any(part.retry for part in work.unsettled):
                return tries
            backoff.lost(0)
            await self._clock.sleep(0.1 + backoff.delay_seconds(self._rng))

    async def _judge(self, work: PieceRun, tries: int, started_ns: int) -> list[ChunkResult]:
        held = await self._patiently(
            lambda: self._store.held([part.chunk for part in work.parts if part.settled])
        )
        results = []
        for part in work.parts:
            rows = held.get(part.chunk.number, NOTHING).rows
            results.append(
                ChunkResult(
                    chunk=part.chunk,
                    state=ChunkState.DONE if part.settled else ChunkState.FAILED,
                    source="+".join(part.sources),
                    checksum=part.checksum,
                    written=part.written,
                    rows_held=rows,
                    rows_expected=await self._expected(part, rows),
                    tries=tries,
                    reason=part.reason if part.reason or part.settled else "NoSource",
                    message=part.message,
                    started_ns=started_ns,
                    finished_ns=self._clock.now_ns(),
                )
            )
        return results

    # What should be there: for bars by time from the listing on, for trades by their numbers.
    async def _expected(self, part: Part, rows: int) -> int | None:
        chunk, history = part.chunk, self._means.history
        if isinstance(history, TradingDays) and part.settled:
            return await self._rows_of_days(history, chunk, rows)
        expected = expected_rows(chunk.channel, chunk.start_ns, chunk.end_ns)
        if expected is None:
            return rows + part.lacking if part.settled else None
        if not part.settled or rows >= expected:
            return expected
        listed_ns = await self._listing(chunk.symbol)
        if listed_ns is None or listed_ns <= chunk.start_ns:
            return expected
        return expected_rows(chunk.channel, min(listed_ns, chunk.end_ns), chunk.end_ns)

    # Where a market closes its own trading days are the measure; what they are is asked once. A day
    # that ends after the chunk may still bring rows, so none are expected of it.
    async def _rows_of_days(self, history: TradingDays, chunk: Chunk, rows: int) -> int | None:
        if not self._days:
            start_ns = min(each.start_ns for each in self._share.chunks)
            end_ns = max(each.end_ns for each in self._share.chunks)
            try:
                parsed = await self._means.pages.ask(history.days_page(start_ns, end_ns))
            except FeederError:
                return None
            self._days = tuple(row[0] * 1000 for row in parsed.rows)
        whole = [day for day in self._days if chunk.start_ns <= day <= chunk.end_ns - DAY_NS]
        expected = history.rows_of_days(chunk.channel, whole)
        if rows >= expected:
            return expected
        listed_ns = await self._listing(chunk.symbol) or 0
        return history.rows_of_days(chunk.channel, [day for day in whole if day >= listed_ns])

    async def _listing(self, symbol: str) -> int | None:
        if BackfillSource.REST not in self._config.sources:
            return None
        if symbol not in self._listed:
            page = self._means.history.listing_page(symbol)
            try:
                rows = (await self._means.pages.ask(page)).rows
            except FeederError:
                return None
            self._listed[symbol] = rows[0][0] * 1000 if rows else None
        return self._listed[symbol]

    # The store may be away for a while: what was fetched so far is worth waiting for.
    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff(initial_seconds=0.5, cap_seconds=15.0)
        for _ in range(OUTAGES):
            try:
                return await ask()
            except SinkUnavailableError as error:
                backoff.lost(0)
                self._log.warning(Event.SINK_LOST, error=error)
                await self._clock.sleep(backoff.delay_seconds(self._rng))
        return await ask()

    async def _report_often(self, metrics: BackfillMetrics) -> None:
        while True:
            await self._clock.sleep(PROGRESS_SECONDS)
            # Rows are never looked at by the collector; what connections leave behind is, here.
            gc.collect()
            metrics.take(self._config.venue, self.progress, self._clock.now_ns())
            self._log.info(
                Event.BACKFILL_PROGRESSED, **list_figures(self.progress, self._clock.now_ns())
            )

    def _tell(self, result: ChunkResult) -> None:
        chunk = result.chunk
        fields: dict[str, Any] = {
            "instrument_id": chunk.instrument_id,
            "channel": chunk.channel,
            "day": chunk.day,
            "reason": result.reason,
            "message": result.message,
        }
        if result.state is ChunkState.FAILED:
            self._log.error(Event.CHUNK_FAILED, **fields, tries_count=result.tries)
        elif result.rows_missing:
            self._log.warning(Event.CHUNK_INCOMPLETE, **fields, missing_count=result.rows_missing)


def _name(chunk: Chunk) -> tuple[str, str, str]:
    return chunk.instrument_id, chunk.channel, chunk.day


def _present(chunk: Chunk, now_ns: int, held: Held = NOTHING) -> ChunkResult:
    return ChunkResult(
        chunk=chunk,
        state=ChunkState.DONE,
        source="Held",
        rows_held=held.rows,
        tries=0,
        started_ns=now_ns,
        finished_ns=now_ns,
    )


def _fail(work: PieceRun, error: FeederError) -> None:
    match error:
        case VenueBannedError():
            reason = "Banned"
        case VenueThrottledError():
            reason = "Throttled"
        case MalformedFrameError():
            reason = "MalformedAnswer"
        case _:
            reason = "VenueUnavailable"
    for part in work.unsettled:
        part.failed(reason, str(error), retry=True)


def _pause(error: FeederError, seconds: float) -> float:
    told = error.retry_after_seconds if isinstance(error, VenueThrottledError) else 0.0
    return max(told, seconds)


def _nanoseconds(moment: datetime) -> int:
    # Exact: a float of nanoseconds would not be.
    return round(moment.timestamp() * 1_000) * 1_000_000
