"""Two accounts of one futures feed, each a feeder process of its own, over simulated fronts.

The fronts live in this process, so that what they emitted, whom they sent it and how long the
library's callbacks took is told by them and never by a feeder. Every kill of the first account is
followed by a cut of the second one's line, so that neither account alone has the whole tape.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import asyncpg
from merged_tape import Ledger, Row, Verdict, judge
from support_feeder_cluster import LEASE, Place

from feedplane_api.worker import (
    AccountIdentity,
    BufferConfig,
    ElectionConfig,
    Endpoints,
    FailoverMode,
    FailoverPolicy,
    FeederStatus,
    PostgresSinkConfig,
    SinkConfig,
    Wanted,
    WorkerConfig,
    render_worker_config,
)
from feedplane_feeder.adapters.ctp import ADAPTER
from feedplane_simulator import ctp_shim
from feedplane_simulator.admission import Terms
from feedplane_simulator.ctp import READ_FAILED, CtpVenue
from feedplane_simulator.ctp_contracts import CHINA
from feedplane_simulator.faults import FaultBook
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.violations import ViolationLog

PRIMARY, BACKUP = "primary", "backup"
MIDNIGHT = datetime(2026, 1, 10, tzinfo=CHINA)
"""Between a Friday's night session and its second half, which belongs to Monday."""
PRODUCTS = (
    *(("rb", "SHFE"), ("sc", "INE"), ("m", "DCE")),
    *(("TA", "CZCE"), ("IF", "CFFEX"), ("lc", "GFEX")),
)
DSN_ENV = "FEEDPLANE_MERGED_DSN"
SETTLE_SECONDS = 3.0
"""What a feeder was sent is in the database by then, even on a busy machine."""
OVERLAP_SECONDS = 1.0
CATCH_UP_SECONDS = 20.0
PATIENCE_SECONDS = 120.0
PAST_MIDNIGHT_SECONDS = 2.0


class Fronts(CtpVenue):
    """Fronts with as many instruments of each exchange, and a clock that can be set."""

    def list_contracts(self, count: int) -> list[tuple[str, str]]:
        """See `CtpVenue`."""
        turns = itertools.islice(itertools.cycle(PRODUCTS), count)
        return [(f"{name}{number:04d}", venue) for number, (name, venue) in enumerate(turns)]

    def set_clock(self, at: datetime) -> None:
        """Go on from another moment, which must be a later one."""
        self._start, self._began = at, asyncio.get_running_loop().time()

    def whole_line(self, account: str) -> int:
        """Return the number of the account's newest line with every instrument on it, else 0."""
        lines = [
            one.number
            for one in self._logins.values()
            if one.account == account
            and len(one.streams) == len(self.contracts)
            and not one.writer.is_closing()
        ]
        return max(lines, default=0)

    def cut_lines(self, account: str) -> None:
        """End the account's lines, as a front does whose read failed."""
        for login in [one for one in self._logins.values() if one.account == account]:
            self.cut(login, READ_FAILED)

    def take_timings(self) -> "array[int]":
        """Return the callbacks' timings since the last call, see `took`."""
        taken, self.took = self.took, array("I")
        return taken


@dataclass(slots=True)
class Timings:
    """How long callbacks took, in tenths of a microsecond."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, nanoseconds: Iterable[int]) -> None:
        """Count some."""
        self.counts.update(each // 100 for each in nanoseconds)

    def percentile(self, percent: float) -> float:
        """Return the microseconds that so many of a hundred stay within."""
        rank, passed = self.counts.total() * percent / 100, 0
        for tenths, count in sorted(self.counts.items()):
            passed += count
            if passed >= rank:
                return (tenths + 1) / 10
        return float("nan")


@dataclass
class Line:
    """One account's feeder."""

    account: str
    config_path: Path
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    peak_mib: int = 0

    @property
    def log(self) -> Path:
        """Where its output goes, of all its lives."""
        return self.config_path.with_suffix(".log")

    async def start(self) -> None:
        """Start the process."""
        self.starts += 1
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "feedplane_feeder"),
                *("run", "--config", str(self.config_path)),
                stdout=out,
                stderr=out,
                env={
                    **os.environ,
                    **self.environment,
                    "POD_NAME": f"{self.account}-{self.starts}",
                },
            )

    async def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.note_memory()
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.process.wait()

    def note_memory(self) -> None:
        """Keep the most memory that it ever held."""
        assert self.process is not None
        with suppress(OSError):  # it may be gone by now
            status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            peaks = [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
            self.peak_mib = max(self.peak_mib, *(peak // 1024 for peak in peaks), 0)

    async def status(self) -> FeederStatus | None:
        """Ask for its status, None while it does not answer yet."""
        lines = [line for line in self.log.read_text().splitlines() if "feeder.started" in line]
        if len(lines) < self.starts:
            return None
        url = f"http://127.0.0.1:{json.loads(lines[-1])['port']}/status"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return FeederStatus.model_validate_json(await answer.read())

    def tail(self) -> str:
        """Return the last of what it said."""
        return self.log.read_text(errors="replace")[-3_000:]


@dataclass(kw_only=True)
class Setting:
    """What the feeders are given."""

    sink: Callable[[str], SinkConfig]
    """By account."""
    election: ElectionConfig | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def in_cluster(place: Place, dsn: str) -> Setting:
    """Return mode Merged: one Lease of an API server, one database."""
    host, _, port = place.address.server.removeprefix("https://").rpartition(":")
    mode = FailoverMode.MERGED
    return Setting(
        sink=lambda _account: PostgresSinkConfig(dsn_env=DSN_ENV),
        election=ElectionConfig(namespace=place.namespace, lease_name=LEASE, mode=mode),
        environment={
            DSN_ENV: dsn,
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": port,
            "FEEDPLANE_SERVICE_ACCOUNT_DIR": str(place.address.token_path.parent),
        },
    )


class MergedFeed:
    """Fronts and two feeders on them, for as long as the `async with` block runs."""

    def __init__(self, folder: Path, setting: Setting, *, symbols: int, rate: float) -> None:
        self.ledger = Ledger()
        self.violations = ViolationLog()
        self.wall, self.processor = Timings(), Timings()
        self.seconds = 0.0
        """How long the tape was to be whole."""
        self._rate = rate
        self._folder = folder
        self._setting = setting
        self._after: dict[str, int] = {}
        venue = VenueSetup(
            name="ctp",
            host="127.0.0.1",
            port=0,
            seed=7,
            symbols=symbols,
            rate=lambda: self._rate,
            truth=self.ledger,
            violations=self.violations,
            faults=FaultBook(7),
            terms=Terms(),
            options={"start": "2026-01-09T21:00:00"},
        )
        self.fronts = Fronts(venue)
        self.lines: dict[str, Line] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.fronts.start()
        self._stack.push_async_callback(self.fronts.stop)
        self._stack.push_async_callback(self._kill_all)
        for account in (PRIMARY, BACKUP):
            self.lines[account] = self._make_line(account)
            await self.lines[account].start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def play(self, seconds: float, kills: int) -> None:
        """Let the market trade for so long over midnight, and kill the first account meanwhile.

        It takes longer where the kills do.
        """
        loop = asyncio.get_running_loop()
        for account in self.lines:
            await self._until_whole(account, 0)
        await self._pass(SETTLE_SECONDS)
        self.fronts.set_clock(MIDNIGHT - timedelta(seconds=seconds / 2))
        self.fronts.take_timings()
        self._after = {symbol: len(self.ledger.tapes[symbol].volumes) for symbol in self.symbols}
        began = loop.time()
        for number in range(1, kills + 1):
            await self._pass(began + number * seconds / (kills + 1) - loop.time())
            await self._interrupt()
        await self._pass(began + seconds - loop.time())
        past = MIDNIGHT + timedelta(seconds=PAST_MIDNIGHT_SECONDS)
        await self._pass((past - self.fronts.now()).total_seconds())
        self.seconds = loop.time() - began
        self._rate = 0.0

    async def end(self) -> None:
        """Let the last snapshots arrive and end both feeders in good order."""
        await self._pass(SETTLE_SECONDS)
        codes = await asyncio.gather(*(line.end(signal.SIGTERM) for line in self.lines.values()))
        for line, code in zip(self.lines.values(), codes, strict=True):
            assert code == 0, f"{line.account} ended with {code}: {line.tail()}"

    async def until(self, account: str, happened: Callable[[FeederStatus], bool]) -> FeederStatus:
        """Wait until an account's feeder says what is waited for."""
        line, until = self.lines[account], asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (status := await line.status()) is None or not happened(status):
            assert asyncio.get_running_loop().time() < until, f"{status}\n{line.tail()}"
            await self._pass(0.5)
        return status

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every instrument."""
        return tuple(self.fronts.contracts)

    def judge(self, symbol: str, rows: Iterable[Row]) -> Verdict:
        """Judge an instrument's rows, in the order of their times."""
        sent = self.ledger.delivered[self.fronts.setup.name, "snapshot", symbol]
        windows = [(window.after or 0, window.until) for window in sent]
        return judge(self.ledger.tapes[symbol], self._after[symbol], windows, rows)

    def count_withheld(self, account: str) -> int:
        """Return how many snapshots a fault kept from an account."""
        windows = itertools.chain.from_iterable(self.ledger.delivered.values())
        return sum(each.withheld_count for each in windows if each.account == account)

    def _make_line(self, account: str) -> Line:
        secrets = self._folder / account
        secrets.mkdir()
        keys = {"brokerId": "9999", "userId": account, "password": "secret"}
        for name, value in keys.items():
            (secrets / name).write_text(value)
        ports = self.fronts.ports
        config = WorkerConfig(
            venue=ADAPTER.venue,
            account=AccountIdentity(name=account, preference=account == BACKUP),
            endpoints=Endpoints(
                stream=f"tcp://127.0.0.1:{ports['ctp']}",
                rest=f"http://127.0.0.1:{ports['ctp-list']}",
            ),
            credentials_path=str(secrets),
            wanted=tuple(Wanted(symbol=symbol, channels=("snapshot",)) for symbol in self.symbols),
            sinks=(self._setting.sink(account),),
            buffer=BufferConfig(queue_records=50_000),
            election=self._setting.election,
            policy=FailoverPolicy(accounts=(PRIMARY, BACKUP)),
            http_port=0,
        )
        path = self._folder / f"{account}.yaml"
        path.write_text(render_worker_config(config))
        return Line(account, path, {**ctp_shim.environment(), **self._setting.environment})

    # The first account's process dies; once it is back the second one's line breaks.
    async def _interrupt(self) -> None:
        primary = self.lines[PRIMARY]
        before = {account: self.fronts.whole_line(account) for account in self.lines}
        await primary.end(signal.SIGKILL)
        await primary.start()
        await self._until_whole(PRIMARY, before[PRIMARY])
        # Each instrument is sent to both for a moment, so either can vouch for the other.
        await self._pass(OVERLAP_SECONDS)
        self.fronts.cut_lines(BACKUP)
        await self._until_whole(BACKUP, before[BACKUP])
        await self._settle(primary)

    # What only the first account was sent must be written before the next kill: a process that
    # dies takes along what it holds, and after a start it may be behind for a moment.
    async def _settle(self, line: Line) -> None:
        until = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
        await self._pass(SETTLE_SECONDS)
        while asyncio.get_running_loop().time() < until:
            status = await line.status()
            if status is not None and status.sinks[0].queued_records <= self._rate:
                return
            await self._pass(0.5)

    async def _until_whole(self, account: str, after: int) -> None:
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while self.fronts.whole_line(account) <= after:
            assert asyncio.get_running_loop().time() < until, self.lines[account].tail()
            await self._pass(0.05)

    # Sleeps, looks after the feeders and keeps the list of timings short.
    async def _pass(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, 1.0))
            taken = self.fronts.take_timings()
            if self._after:
                self.wall.add(taken[::2])
                self.processor.add(taken[1::2])
            for line in self.lines.values():
                ended = line.process is not None and line.process.returncode is not None
                assert not ended, f"{line.account} ended by itself: {line.tail()}"

    async def _kill_all(self) -> None:
        for line in self.lines.values():
            if line.process is not None and line.process.returncode is None:
                await line.end(signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the database holds of a feed."""

    total: Verdict = field(default_factory=Verdict)
    by_exchange: dict[str, Verdict] = field(default_factory=dict)
    sides: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rows before and after midnight, by exchange."""
    quarantined: int = 0
    unfilled_gaps: int = 0
    sessions: int = 0
    """Times that an account took over the publishing of what only one may."""

    def add(self, exchange: str, verdict: Verdict, rows: Sequence[Row]) -> None:
        """Count an instrument in."""
        self.total.add(verdict)
        self.by_exchange.setdefault(exchange, Verdict()).add(verdict)
        midnight = int(MIDNIGHT.timestamp()) * 1_000_000_000
        early = sum(row[0] < midnight for row in rows)
        before, after = self.sides.get(exchange, (0, 0))
        self.sides[exchange] = (before + early, after + len(rows) - early)


_ROWS = """
select (extract(epoch from ts_event) * 1000)::bigint * 1000000, volume, trading_day::text
from feedplane.snapshots where instrument_id = $1 order by ts_event, volume
"""
_COUNTS = """
select (select count(*) from feedplane.quarantine) as quarantined,
    (select count(*) from feedplane.gaps where filled_at is null) as unfilled_gaps,
    (select count(*) from feedplane.feed_sessions) as sessions
"""


async def judge_database(feed: MergedFeed, dsn: str) -> Outcome:
    """Hold the table against what the fronts emitted."""
    outcome = Outcome()
    connection = await asyncpg.connect(dsn)
    try:
        for symbol, contract in feed.fronts.contracts.items():
            found = await connection.fetch(_ROWS, ADAPTER.instrument_id(symbol))
            rows = [(row[0], row[1], row[2]) for row in found]
            outcome.add(contract.exchange, feed.judge(symbol, rows), rows)
        counts = await connection.fetchrow(_COUNTS)
        assert counts is not None
        outcome.quarantined, outcome.unfilled_gaps, outcome.sessions = counts
    finally:
        await connection.close()
    return outcome
