"""Repair: fills the gaps that the ledger has open from the venue's own history, seconds after.

Each ledger has a mender that looks at its open rows, asks for what the plan says and writes what
came together with what that makes of the row. Only the line that publishes repairs; a gap that
somebody else fills meanwhile is simply gone from the ledger. Must not know venues or stores.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from feedplane_api.worker import LargeGap, RepairReport
from feedplane_feeder.core.budget import SECOND_NS, Allowance, Priority
from feedplane_feeder.core.evidence import BY_BACKFILL, Piece, Repaired
from feedplane_feeder.core.findings import Findings
from feedplane_feeder.core.history import History, Page
from feedplane_feeder.core.ports import Adapter, Channel, Clock
from feedplane_feeder.core.repair import Ask, Cost, RepairPlan, Repairs, pause_seconds
from feedplane_feeder.core.repair_ledger import RepairLedger, Span
from feedplane_feeder.errors import FeederError, SinkUnavailableError, VenueThrottledError
from feedplane_feeder.events import Event
from feedplane_feeder.instruments import parse_instrument_id
from feedplane_feeder.log import FieldLog
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.pages import Pages
from feedplane_feeder.publisher import Publisher
from feedplane_feeder.records import ChannelKind, Gap
from feedplane_feeder.rest import RestClient
from feedplane_feeder.waiting import wait_for_event

AT_ONCE: Final = 4
"""Questions under way together."""
LINGER_SECONDS: Final = 0.25
"""After a gap was found: its row is being written, and others may be neighbours."""
BUSY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
BUSY_FOR_NS: Final = 20 * SECOND_NS
AWAY_SECONDS: Final = 2.0
LARGE_EVERY_NS: Final = 30 * SECOND_NS
SETTLED_EVERY_NS: Final = 30 * SECOND_NS
MOST_LARGE: Final = 500
ROWS_A_WRITE: Final = 20_000
LARGE_MINUTES: Final = 0.5
"""What would take more of a minute's share of the budget is left to a Backfill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairScene:
    """What all menders of a feeder share."""

    adapter: Adapter
    publisher: Publisher
    allowance: Allowance
    history: History | None
    wanted: Callable[[], Iterable[Channel]]
    manual: Callable[[], frozenset[tuple[str, str]]]
    """(instrument_id, channel) whose gaps a person fills."""
    contested: bool
    """Another line writes the same all the time."""
    clock: Clock
    metrics: Metrics
    log: FieldLog


class Menders:
    """The menders of all ledgers of one feeder."""

    def __init__(self, ledgers: Sequence[RepairLedger], scene: RepairScene) -> None:
        self._scene = scene
        self._menders = [Mender(ledger, scene) for ledger in ledgers]
        if self._menders:
            scene.publisher.on_gaps = self.stir

    def stir(self) -> None:
        """Look soon: gaps were found."""
        for mender in self._menders:
            mender.stir()

    async def run(self, rest: RestClient) -> None:
        """Repair until cancelled."""
        scene = self._scene
        pages = Pages(scene.history, rest, scene.clock, Priority.REPAIR) if scene.history else None
        async with asyncio.TaskGroup() as group:
            for mender in self._menders:
                group.create_task(mender.run(pages))

    def report(self) -> RepairReport:
        """Return how the ledgers stand."""
        reports = [mender.report() for mender in self._menders]
        return RepairReport(
            open=sum(report.open for report in reports),
            filled=sum(report.filled for report in reports),
            unfillable=sum(report.unfillable for report in reports),
            rows=sum(report.rows for report in reports),
            pending=any(report.pending for report in reports),
        )

    def large_gaps(self) -> tuple[LargeGap, ...]:
        """Return what is left to a Backfill, the oldest first."""
        found = [gap for mender in self._menders for gap in mender.large_gaps()]
        return tuple(sorted(found, key=lambda gap: gap.since_time)[:MOST_LARGE])


class Mender:
    """One ledger's repairs."""

    def __init__(self, ledger: RepairLedger, scene: RepairScene) -> None:
        self._ledger = ledger
        self._scene = scene
        self._clock = scene.clock
        self._venue = scene.adapter.venue
        self._pages: Pages | None = None
        self._cost = lru_cache(maxsize=64)(self._find_cost)
        self._repairs = Repairs(self._cost)
        self._repairs.contested = scene.contested
        self._stirred = asyncio.Event()
        self._busy_until_ns = 0
        self._pause = 0.0
        self._opened = False
        self._pending = True
        self._spans: dict[Gap, Span] = {}
        self._large_at_ns = self._settled_at_ns = 0
        self._counts: Counter[str] = Counter()

    def stir(self) -> None:
        """Look soon."""
        self._busy_until_ns = self._clock.now_ns() + BUSY_FOR_NS
        self._stirred.set()

    def report(self) -> RepairReport:
        """Return how this ledger stands."""
        counts = self._counts
        return RepairReport(
            open=counts["open"],
            filled=counts["filled"],
            unfillable=counts["unfillable"],
            rows=counts["rows"],
            pending=self._pending,
        )

    def large_gaps(self) -> list[LargeGap]:
        """Return what is left to a Backfill."""
        return [
            LargeGap(
                symbol=parse_instrument_id(gap.instrument_id).symbol,
                channel=gap.channel,
                start=_moment(span[0]),
                end=_moment(span[1] + SECOND_NS),
                since_time=_moment(gap.detected_at),
            )
            for gap, span in self._spans.items()
        ]

    async def run(self, pages: Pages | None) -> None:
        """Repair until cancelled."""
        self._pages = pages
        try:
            while True:
                await self._wait()
                if self._scene.publisher.active:
                    await self._look_safely()
                elif self._opened:
                    await self._close()
                    self._pending = True
        finally:
            await self._ledger.close()

    async def _wait(self) -> None:
        if self._pause:
            await self._clock.sleep(self._pause)
            self._pause = 0.0
            return
        busy = self._clock.now_ns() < self._busy_until_ns
        await wait_for_event(self._stirred, BUSY_SECONDS if busy else IDLE_SECONDS)
        if self._stirred.is_set():
            self._stirred.clear()
            await self._clock.sleep(LINGER_SECONDS)

    async def _close(self) -> None:
        self._opened = False
        self._spans = {}
        self._settled_at_ns = 0
        self._scene.publisher.gaps.recount_open(None)
        await self._ledger.close()

    async def _look_safely(self) -> None:
        try:
            if not self._opened:
                await self._ledger.open()
                self._opened = True
            await self._look()
        except SinkUnavailableError as error:
            # The writer tells of a sink that is away; here it only means another time.
            self._scene.log.debug(Event.REPAIR_FAILED, reason="SinkUnavailable", error=error)
            await self._close()
            self._pause = AWAY_SECONDS

    async def _look(self) -> None:
        scene, now_ns = self._scene, self._clock.now_ns()
        wanted = {
            (scene.adapter.instrument_id(channel.symbol), channel.name)
            for channel in scene.wanted()
        }
        instrument_ids = sorted({key[0] for key in wanted})
        await self._look_at_settled(instrument_ids, now_ns)
        found = await self._ledger.shard_gaps(instrument_ids)
        gaps = [gap for gap in found if (gap.instrument_id, gap.channel) in wanted]
        self._repairs.manual = scene.manual()
        self._repairs.largest_weight = int(scene.allowance.repair_ceiling() * LARGE_MINUTES)
        plan = self._repairs.plan(gaps, now_ns)
        if plan.unfillable:
            await self._give_up(plan.unfillable)
        given_up = {gap for gap, _ in plan.unfillable}
        self._recount([gap for gap in gaps if gap not in given_up])
        self._pending = False
        await self._look_at_large(plan.large, now_ns)
        await self._ask(plan)
        self._look_again(plan, now_ns)

    async def _ask(self, plan: RepairPlan) -> None:
        asks = plan.asks[:AT_ONCE]
        if not asks:
            return
        await self._ledger.begin([gap for ask in asks for gap in ask.gaps])
        outcomes = await asyncio.gather(
            *(self._carry_out(ask) for ask in asks), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        now_ns = self._clock.now_ns()
        allowance = self._scene.allowance
        self._pause = pause_seconds(
            allowance.used(now_ns),
            allowance.repair_ceiling(),
            sum(ask.weight for ask in asks),
            60 - now_ns / 1e9 % 60,
        )

    def _look_again(self, plan: RepairPlan, now_ns: int) -> None:
        if len(plan.asks) > AT_ONCE:
            self._pause = max(self._pause, 0.001)
        if plan.asks or (plan.again_ns is not None and plan.again_ns < now_ns + 20 * SECOND_NS):
            self._busy_until_ns = max(self._busy_until_ns, now_ns + BUSY_FOR_NS)

    async def _carry_out(self, ask: Ask) -> None:
        try:
            repaired = await self._fetch(ask)
        except SinkUnavailableError:
            raise
        except FeederError as error:
            self._repairs.failed(ask, self._clock.now_ns())
            self._count(ask.channel, "failed", len(ask.gaps))
            throttled = isinstance(error, VenueThrottledError)
            self._scene.log.warning(
                Event.VENUE_THROTTLED if throttled else Event.REPAIR_FAILED,
                instrument_id=ask.instrument_id,
                channel=ask.channel,
                gap_count=len(ask.gaps),
                error=error,
            )
        else:
            now_ns = self._clock.now_ns()
            self._repairs.note(repaired, now_ns)
            self._tell(ask, repaired, now_ns)

    async def _fetch(self, ask: Ask) -> tuple[Repaired, ...]:
        assert self._pages is not None  # noqa: S101 - without a history nothing is asked
        taken = Findings(ask, self._venue)
        for page in self._first_pages(ask):
            async for parsed in self._pages.follow(page):
                now_ns = self._clock.now_ns()
                taken.take(parsed.rows, parsed.refused, now_ns)
                if len(taken.records) >= ROWS_A_WRITE:
                    await self._ledger.write(taken.batch(()))
        repaired = taken.judge(self._repairs.proves)
        await self._ledger.write(taken.batch(repaired))
        return repaired

    def _first_pages(self, ask: Ask) -> tuple[Page, ...]:
        assert self._pages is not None  # noqa: S101 - see above
        history, symbol = self._pages.history, parse_instrument_id(ask.instrument_id).symbol
        if ask.ids is not None:
            return (history.id_page(symbol, max(0, ask.ids[0] - 1), ask.ids[1] + 1),)
        return history.pages(symbol, ask.channel, *ask.times)

    def _find_cost(self, channel: str) -> Cost | None:
        if self._pages is None or not self._pages.history.carries(channel):
            return None
        history = self._pages.history
        if channel == ChannelKind.TRADE.value:
            weight = history.id_page("X", 1, 1).weight
        else:
            pages = history.pages("X", channel, 0, SECOND_NS)
            if not pages:
                return None
            weight = sum(page.weight for page in pages)
        return Cost(rows=history.page_rows(channel), weight=max(1, weight))

    async def _give_up(self, gaps: Sequence[tuple[Gap, str]]) -> None:
        await self._ledger.give_up(gaps)
        for gap, reason in gaps:
            self._count(gap.channel, "unfillable", 1)
            piece = Piece(gap=gap, reason=reason)
            self._scene.publisher.gaps.repair(Repaired(gap=gap, pieces=(piece,)))
            self._scene.log.info(
                Event.GAP_GIVEN_UP,
                instrument_id=gap.instrument_id,
                channel=gap.channel,
                reason=reason,
            )
        self._counts["unfillable"] += len(gaps)

    # What is left to a Backfill is compared with the tape now and then: it closes no rows itself.
    async def _look_at_large(self, large: Sequence[Gap], now_ns: int) -> None:
        known = set(large)
        self._spans = {gap: span for gap, span in self._spans.items() if gap in known}
        for gap in large[:MOST_LARGE]:
            if gap not in self._spans:
                self._spans[gap] = await self._ledger.span(gap)
        if now_ns < self._large_at_ns:
            return
        self._large_at_ns = now_ns + LARGE_EVERY_NS
        for gap, span in list(self._spans.items()):
            rows = await self._ledger.close_backfilled(gap, span)
            if rows:
                del self._spans[gap]
                piece = Piece(gap=gap, rows=rows, filled_by=BY_BACKFILL)
                ask = Ask(gaps=(gap,), weight=0)
                self._tell(ask, (Repaired(gap=gap, pieces=(piece,)),), now_ns)

    # The ledger is every process's, and a Backfill's too; what this one did is added meanwhile.
    async def _look_at_settled(self, instrument_ids: Sequence[str], now_ns: int) -> None:
        if now_ns < self._settled_at_ns:
            return
        settled = await self._ledger.settled_gaps(instrument_ids)
        self._settled_at_ns = now_ns + SETTLED_EVERY_NS
        self._scene.publisher.gaps.recount_settled(settled)

    def _recount(self, gaps: Sequence[Gap]) -> None:
        self._counts["open"] = len(gaps)
        self._scene.publisher.gaps.recount_open(gaps)
        self._scene.metrics.open_gaps.labels(self._venue, self._ledger.name).set(len(gaps))

    def _tell(self, ask: Ask, repaired: Sequence[Repaired], now_ns: int) -> None:
        pieces = [piece for each in repaired for piece in each.pieces]
        rows = sum(piece.rows for piece in pieces)
        for each in repaired:
            filled, unfillable = len(each.filled), len(each.given_up)
            self._scene.publisher.gaps.repair(each)
            self._counts.update(filled=filled, unfillable=unfillable)
            self._count(ask.channel, "filled", filled)
            self._count(ask.channel, "unfillable", unfillable)
            if each.settled and filled:
                seconds = max(0, now_ns - each.gap.detected_at) / 1e9
                self._scene.metrics.repair_seconds.labels(self._venue).observe(seconds)
        self._counts["rows"] += rows
        kind = ask.channel.partition("-")[0]
        self._scene.metrics.repaired_rows_total.labels(self._venue, kind).inc(rows)
        self._scene.log.info(
            Event.GAP_FILLED if rows else Event.GAP_LOOKED_UP,
            instrument_id=ask.instrument_id,
            channel=ask.channel,
            gap_count=len(ask.gaps),
            row_count=rows,
            open_count=sum(piece.open for piece in pieces),
        )

    def _count(self, channel: str, result: str, count: int) -> None:
        kind = channel.partition("-")[0]
        if count:
            self._scene.metrics.repairs_total.labels(self._venue, kind, result).inc(count)


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / 1e9, UTC)
