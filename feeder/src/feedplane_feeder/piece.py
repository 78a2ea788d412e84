"""One piece of a backfill: its chunks fetched from the archive and by REST, written, judged.

Sources are asked in order, each for what those before it did not bring whole. A trade that the
numbers say exists is asked for by its number. Every chunk ends settled or failed with a reason.
Must not know venues, nor how rows reach the table.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Protocol

from feedplane_api.backfill import BackfillMode, BackfillSource
from feedplane_feeder.archive import ArchiveClient, ArchivedFile
from feedplane_feeder.core.chunks import Chunk, Piece, expected_rows
from feedplane_feeder.core.columns import BarColumns, read_bars
from feedplane_feeder.core.history import (
    ArchiveFile,
    History,
    HistoryRow,
    Page,
    Rendered,
)
from feedplane_feeder.core.missing import Hole
from feedplane_feeder.core.parts import (
    Part,
    holes_of,
    is_whole,
    neighbours,
    overlap_ns,
)
from feedplane_feeder.core.ports import Clock, Written
from feedplane_feeder.errors import (
    ArchiveDamagedError,
    ArchiveMissingError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.pages import Pages
from feedplane_feeder.records import ChannelKind, Quarantined
from feedplane_feeder.tally import QUARANTINED_A_FILE, Tally

BLOCKS_A_WRITE: Final = 400
"""Blocks of a file that are written in one transaction; a month of one-minute bars is one."""
PAGES_A_WRITE: Final = 20
CHANCES: Final = 2
"""Times that a source may give no answer before the next one is asked for the rows."""

Render = Callable[[str, str, Sequence[HistoryRow]], Rendered]
"""Channel, instrument_id and rows to what the store takes."""
RenderBars = Callable[[str, str, BarColumns], Rendered]
"""The same of bars in columns."""


class Store(Protocol):
    """The part of the store a piece needs."""

    async def write(
        self, channel: str, blocks: Iterable[Rendered], *, fresh: bool, overwrite: bool = False
    ) -> Written:
        """Write rows, all of them or nothing."""

    async def set_aside(self, quarantined: Sequence[Quarantined]) -> None:
        """Write rows that cannot be true to the quarantine table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What pieces are fetched and written with."""

    history: History
    archive: ArchiveClient
    pages: Pages
    store: Store
    render: Render
    render_bars: RenderBars
    clock: Clock
    sources: tuple[BackfillSource, ...]
    mode: BackfillMode


class PieceRun:
    """The chunks of one piece that are wanted."""

    def __init__(self, means: Means, piece: Piece, wanted: Sequence[Chunk], fresh: bool) -> None:
        self._means = means
        self._fresh = fresh
        self._failures = 0
        self.parts = [Part(chunk) for chunk in wanted]
        self._symbol = piece.first.symbol
        self._instrument_id = piece.first.instrument_id
        self._channel = piece.first.channel

    @property
    def unsettled(self) -> list[Part]:
        """Parts that are not yet whole."""
        return [part for part in self.parts if not part.settled]

    async def attempt(self) -> None:
        """Ask every source once for what is not settled.

        A source without an answer is passed over once it had a second chance.

        Raises:
            VenueUnavailableError: a source gave no usable answer; another try may help.
            MalformedFrameError: an answer that cannot be read.
            SinkUnavailableError: the store is away.
        """
        failed: VenueUnavailableError | None = None
        for source in self._order():
            if not self.unsettled:
                return
            try:
                if source is BackfillSource.ARCHIVE:
                    await self._from_archive()
                else:
                    await self._from_rest()
            except VenueThrottledError:
                raise
            except VenueUnavailableError as error:
                # A source that gave no answer gets a second chance before another does its work.
                self._failures += 1
                if self._failures < CHANCES:
                    raise
                failed = error
                for part in self.unsettled:
                    part.archive_broken |= source is BackfillSource.ARCHIVE
        if failed is not None and self.unsettled:
            raise failed

    # A page that holds all the files' rows is the shorter way.
    def _order(self) -> tuple[BackfillSource, ...]:
        sources = self._means.sources
        parts = self.unsettled
        rows = sum(
            expected_rows(self._channel, part.chunk.start_ns, part.chunk.end_ns) or 2**30
            for part in parts
        )
        pages = -(-rows // self._means.history.page_rows(self._channel))
        files = len(self._files(parts[0].chunk.start_ns, parts[-1].chunk.end_ns, monthly=True))
        if len(sources) > 1 and pages < files:
            return (BackfillSource.REST, BackfillSource.ARCHIVE)
        return sources

    async def _from_archive(self) -> None:
        for part in self.unsettled:
            part.begin()
        for group in neighbours(self.unsettled):
            await self._archive_group(group)
        covered = [part for part in self.unsettled if part.covered]
        for part in covered:
            part.came_from(BackfillSource.ARCHIVE.value)
        if self._channel == ChannelKind.TRADE:
            for group in neighbours(covered):
                await self._close_chain(group)
            return
        by_rest = BackfillSource.REST in self._means.sources
        for part in covered:
            whole = is_whole(part)
            if not whole:
                # The file is what the venue published, and yet lacks rows.
                part.failed("ArchiveHole", "the file lacks rows", retry=False)
            if whole or not by_rest:
                part.settle()

    async def _archive_group(self, group: Sequence[Part]) -> None:
        start_ns, end_ns = group[0].chunk.start_ns, group[-1].chunk.end_ns
        now_ns = self._means.clock.now_ns()
        for month in self._files(start_ns, end_ns, monthly=True):
            inside = month.start_ns >= start_ns and month.end_ns <= min(end_ns, now_ns)
            if inside and await self._try_file(month, group, last=False):
                continue
            low, high = max(start_ns, month.start_ns), min(end_ns, month.end_ns)
            for day in self._files(low, high, monthly=False):
                await self._try_file(day, group, last=True)
        if not self._files(start_ns, end_ns, monthly=True):
            for day in self._files(start_ns, end_ns, monthly=False):
                await self._try_file(day, group, last=True)

    def _files(self, start_ns: int, end_ns: int, *, monthly: bool) -> tuple[ArchiveFile, ...]:
        return self._means.history.archive_files(
            self._symbol, self._channel, start_ns, end_ns, monthly=monthly
        )

    # Whether the file was there and whole; with `last` what was wrong is noted, since no other
    # file covers that time.
    async def _try_file(self, file: ArchiveFile, group: Sequence[Part], *, last: bool) -> bool:
        parts = [part for part in group if overlap_ns(file, part.chunk)]
        try:
            with await self._means.archive.fetch(file.path) as archived:
                await self._take_file(archived, parts)
                checksum = archived.checksum
        except ArchiveMissingError as error:
            if last:
                self._note(parts, "ArchiveMissing", error, retry=False)
            return False
        except ArchiveDamagedError as error:
            self._note(parts, error.reason, error, retry=True)
            return False
        for part in parts:
            part.covered_ns += overlap_ns(file, part.chunk)
            part.checksum = checksum
        return True

    def _note(self, parts: Sequence[Part], reason: str, error: Exception, *, retry: bool) -> None:
        for part in parts:
            part.failed(reason, str(error), retry=retry)
            # A file that is there and cannot be read proves that there are rows.
            part.archive_broken |= retry

    async def _take_file(self, archived: ArchivedFile, parts: Sequence[Part]) -> None:
        tally = Tally(self._channel, parts)
        blocks = self._rendered(archived, tally)
        for head in blocks:
            await self._write(chain([head], islice(blocks, BLOCKS_A_WRITE - 1)), tally)
        if len(tally.refused) >= QUARANTINED_A_FILE:
            raise ArchiveDamagedError(archived.path, "UnreadableRows")
        await self._set_aside(tally)
        tally.settle()

    def _rendered(self, archived: ArchivedFile, tally: Tally) -> Iterator[Rendered]:
        history = self._means.history
        layout = history.bar_layout(self._channel)
        for block in archived.blocks():
            bars = None if layout is None else read_bars(block, layout)
            if bars is not None:
                bars = tally.take_bars(bars)
                if len(bars):
                    yield self._means.render_bars(self._channel, self._instrument_id, bars)
                continue
            # Whatever is unusual about it is found out row by row.
            parsed = history.parse_archive(self._symbol, self._channel, block)
            rows = tally.take(parsed)
            if len(tally.refused) >= QUARANTINED_A_FILE:
                return
            if rows:
                yield self._means.render(self._channel, self._instrument_id, rows)

    # Trades whose numbers say that others exist between them, before or after.
    async def _close_chain(self, group: Sequence[Part]) -> None:
        by_rest = BackfillSource.REST in self._means.sources
        first_id = end_id = None
        if by_rest:
            first_id = await self._first_number(group[0].chunk.start_ns)
            end_id = await self._first_number(group[-1].chunk.end_ns)
        for owner, hole in holes_of(group, first_id, end_id):
            found = await self._fetch_hole(group, hole) if by_rest else 0
            owner.failed("ArchiveHole", f"numbers {hole.first_id} to {hole.last_id}", retry=False)
            owner.lacking += hole.rows - found
        for part in group:
            part.settle()

    async def _first_number(self, at_ns: int) -> int | None:
        page = self._means.history.first_page(self._symbol, at_ns)
        rows = (await self._means.pages.ask(page)).rows
        return int(rows[0][1]) if rows else None

    async def _fetch_hole(self, group: Sequence[Part], hole: Hole) -> int:
        page = self._means.history.id_page(self._symbol, hole.first_id, hole.last_id)
        tally = await self._take_pages(page, group, until_id=hole.last_id)
        for part in tally.parts_with_rows:
            part.came_from(BackfillSource.REST.value)
        return tally.rows

    async def _from_rest(self) -> None:
        for group in neighbours(self.unsettled):
            start_ns, end_ns = group[0].chunk.start_ns, group[-1].chunk.end_ns
            pages = self._means.history.pages(self._symbol, self._channel, start_ns, end_ns)
            if not pages:
                continue
            brought: list[Part] = []
            for page in pages:
                brought += (await self._take_pages(page, group)).parts_with_rows
            for part in group:
                if part.archive_broken and part not in brought:
                    # Too old for REST perhaps: to call it done would hide what the archive has.
                    continue
                part.came_from(BackfillSource.REST.value)
                part.settle()

    async def _take_pages(
        self, page: Page, parts: Sequence[Part], *, until_id: int | None = None
    ) -> Tally:
        tally = Tally(self._channel, parts, until_id=until_id)
        waiting: list[Rendered] = []
        async for parsed in self._means.pages.follow(page):
            rows = tally.take(parsed)
            if rows:
                waiting.append(self._means.render(self._channel, self._instrument_id, rows))
            if len(waiting) >= PAGES_A_WRITE:
                await self._write(waiting, tally)
                waiting = []
        if waiting:
            await self._write(waiting, tally)
        await self._set_aside(tally)
        tally.count_written()
        return tally

    async def _write(self, blocks: Iterable[Rendered], tally: Tally) -> None:
        tally.written += await self._means.store.write(
            self._channel,
            blocks,
            fresh=self._fresh,
            overwrite=self._means.mode is BackfillMode.OVERWRITE,
        )

    async def _set_aside(self, tally: Tally) -> None:
        now_ns = self._means.clock.now_ns()
        await self._means.store.set_aside(
            [
                Quarantined(
                    ts_recv=now_ns,
                    venue=self._means.history.venue,
                    channel=self._channel,
                    instrument_id=self._instrument_id,
                    reason=reason,
                    raw=raw,
                )
                for reason, raw in tally.refused
            ]
        )
        tally.written += Written(quarantined=len(tally.refused))
