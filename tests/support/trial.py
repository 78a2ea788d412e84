"""One trial of a tape: a venue process, a feeder process, a database, and the verdict.

The venue's own account and the tables decide; the feeder is asked nothing but whether it is up.
"""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
from rig import Feeder, Venue, feeder, feeder_config, wait_for
from tape import Verdict, judge

DSN_ENV = "FEEDPLANE_TAPE_DSN"
CHANNELS = ("trade", "quote", "book", "bar-1m")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
LIVE_SECONDS = 45.0
STOP_SECONDS = 25.0


class Trial:
    """A feed of one market under test."""

    def __init__(
        self,
        venue: Venue,
        dsn: str,
        *,
        market: str = "spot",
        symbols: Sequence[str] = SYMBOLS,
        channels: Sequence[str] = CHANNELS,
        **fields: Any,
    ) -> None:
        self.venue = venue
        self.dsn = dsn
        self.market = market
        self.symbols = tuple(symbols)
        self.channels = tuple(channels)
        self.config = feeder_config(venue, DSN_ENV, symbols, channels, market=market, **fields)

    @contextmanager
    def feeder(self) -> Iterator[Feeder]:
        """Run a feeder and wait until every channel is live."""
        with feeder(self.config, {DSN_ENV: self.dsn}) as running:
            self.wait_live(running)
            yield running

    def wait_live(self, running: Feeder, seconds: float = LIVE_SECONDS) -> None:
        """Wait until the venue sends every wanted channel and the feeder calls it live."""
        wanted = len(self.config["wanted"]) * len(self.channels)

        def live() -> bool:
            assert running.program.process.poll() is None, running.program.log.read_text()[-3000:]
            # Right after a cut the feeder may not know of it yet.
            sent = {stream for each in self.connections() for stream in each["streams"]}
            return len(sent) >= wanted and bool(running.status()["coverage"]["live"] >= wanted)

        wait_for(live, seconds, f"{wanted} live channels", running.program.log)

    def run_for(self, seconds: float) -> None:
        """Let the market trade."""
        time.sleep(seconds)

    def cut(self, *, close_frame: bool) -> None:
        """End a connection at the venue, and wait until the venue has none of its number."""
        before = {each["id"] for each in self.connections()}
        self.venue.fault("drop", market=self.market, count=1, close_frame=close_frame)
        wait_for(
            lambda: not before <= {each["id"] for each in self.connections()},
            15,
            "a cut connection",
        )

    def end(self, running: Feeder) -> None:
        """Halt the venue, let the last frames arrive, and stop the feeder in good order."""
        self.venue.fault("halt", market=self.market)
        moved = [-1]

        def arrived() -> bool:
            sinks = running.status()["sinks"]
            moved.append(sum(each["recordsWritten"] + each["spilledBytes"] for each in sinks))
            return moved[-1] == moved[-2] and not any(each["queuedRecords"] for each in sinks)

        wait_for(arrived, STOP_SECONDS, "the last frames", running.program.log, every=0.5)
        status = running.program.kill(signal.SIGTERM, STOP_SECONDS)
        assert status == 0, running.program.log.read_text()[-3000:]

    def verdicts(self) -> list[Verdict]:
        """Judge every wanted channel from its first subscription on."""
        wanted = {channel: list(self.symbols) for channel in self.channels}
        suffix = f"BINANCE-{self.market.upper()}"
        return asyncio.run(
            judge(self.dsn, self.venue.admin, self.market, suffix, wanted, from_first_row=False)
        )

    def check_complete(self) -> list[Verdict]:
        """Assert that all is kept once or named, and that no rule of the venue was broken."""
        verdicts = self.verdicts()
        broken = [verdict for verdict in verdicts if not verdict.complete]
        assert not broken, [str(verdict) for verdict in broken]
        assert self.venue.ask("/violations") == []
        return verdicts

    def gaps(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Return the ledger, or one channel's part of it."""
        rows = self.fetch("select * from feedplane.gaps order by instrument_id, detected_at")
        return [row for row in rows if channel is None or row["channel"] == channel]

    def causes(self, *channels: str) -> Counter[str]:
        """Count the ledger's rows by cause, of some channels or of all."""
        return Counter(
            row["cause"] for row in self.gaps() if not channels or row["channel"] in channels
        )

    def fetch(self, statement: str) -> list[dict[str, Any]]:
        """Ask the database."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return [dict(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def connections(self) -> list[dict[str, Any]]:
        """Return the market's open connections as the venue sees them."""
        found = self.venue.ask("/connections")
        return [connection for connection in found if connection["market"] == self.market]
