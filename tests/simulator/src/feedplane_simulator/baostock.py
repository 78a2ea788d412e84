"""BaoStock: past bars over its own TCP protocol, one request and one answer at a time.

The past is made from the seed alone, so that a judge can ask for it again. A second session of one
address is what bans it. Option `cut_every` breaks off each so manieth answer in its middle.

Source: client package baostock 0.9.4, whose unmodified client was driven by such a server; the
real server's own bytes behind the last field are not known.
"""

import asyncio
import json
import random
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from feedplane_simulator.clock import now_ms
from feedplane_simulator.faults import ActiveFault, FaultKind
from feedplane_simulator.hosted import VenueSetup
from feedplane_simulator.violations import Rule, Violation

SOH = "\x01"
END = b"<![CDATA[]]>\n"
HEADER_LENGTH = 21
PAGE_ROWS = 2_000
HOLIDAYS = frozenset({date(2026, 10, day) for day in range(1, 8)})
LISTED = date(1999, 11, 10)
BANNED = "10001011"
BAR_ENDS = {"5": 5, "15": 15, "30": 30, "60": 60}


class BaoStockVenue:
    """See `HostedVenue`."""

    def __init__(self, setup: VenueSetup) -> None:
        self.setup = setup
        self.requests: list[tuple[str, ...]] = []
        """What was asked, type and fields."""
        self._cut_every = int(setup.options.get("cut_every", "0"))
        self._answers = 0
        self._server: asyncio.Server | None = None
        self._open: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged_in: set[int] = set()
        self._numbers = 0

    @property
    def ports(self) -> Mapping[str, int]:
        """See `HostedVenue`."""
        assert self._server is not None
        return {self.setup.name: self._server.sockets[0].getsockname()[1]}

    async def start(self) -> None:
        """See `HostedVenue`."""
        self._server = await asyncio.start_server(self._serve, self.setup.host, self.setup.port)

    async def stop(self) -> None:
        """See `HostedVenue`."""
        assert self._server is not None
        self._server.close()
        self._cut()
        await self._server.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def inject(self, active: ActiveFault) -> None:
        """See `HostedVenue`."""
        if active.fault.kind is FaultKind.DROP:
            self._cut()

    def connections(self) -> Sequence[Mapping[str, Any]]:
        """See `HostedVenue`."""
        return [{"id": number, "market": self.setup.name, "account": ""} for number in self._open]

    def _cut(self) -> None:
        for writer in self._open.values():
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._numbers += 1
        number = self._numbers
        self._open[number] = writer
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while True:
                    line = await reader.readuntil(b"\n")
                    answer = self._answer(number, line[:-1].decode())
                    self._answers += 1
                    if self._cut_every and self._answers % self._cut_every == 0:
                        writer.write(answer[: len(answer) // 2])
                        await writer.drain()
                        break
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.close()
            self._logged_in.discard(number)
            del self._open[number]
            self._tasks.discard(task)

    def _answer(self, number: int, request: str) -> bytes:
        text, _, checksum = request.rpartition(SOH)
        _, kind, rest = text.split(SOH, 2)
        length, body = int(rest[:10]), rest[10:]
        if int(checksum) != zlib.crc32(text.encode()) or length != len(body):
            self._violate(number, Rule.MALFORMED_REQUEST, request[:80])
            return _plain("04", ("10004019", "message format"))
        fields = body.split(SOH)
        self.requests.append((kind, *fields))
        if kind == "00":
            return self._log_in(number, fields)
        if number not in self._logged_in:
            return _plain("04", ("10001001", "not logged in"))
        known = {
            "02": self._log_out,
            "33": self._days,
            "35": self._symbols,
            "45": self._basics,
            "95": self._bars,
        }
        if kind not in known:
            self._violate(number, Rule.UNKNOWN_ENDPOINT, kind)
            return _plain("04", ("10004020", "message type"))
        return known[kind](fields)

    def _log_out(self, fields: list[str]) -> bytes:
        return _plain("03", ("0", "success", *fields))

    def _basics(self, fields: list[str]) -> bytes:
        rows = [[fields[4], "", LISTED.isoformat(), "", "1", "1"]]
        return _listed("46", fields, rows, fields[4:])

    def _log_in(self, number: int, fields: list[str]) -> bytes:
        if self._logged_in:
            self._violate(number, Rule.DOUBLE_LOGIN, fields[1])
            return _plain("01", (BANNED, "blacklisted", *fields[:2]))
        self._logged_in.add(number)
        return _plain("01", ("0", "success", *fields[:2]))

    def _bars(self, fields: list[str]) -> bytes:
        page, symbol, names, start, end, frequency = (fields[index] for index in (2, 4, 5, 6, 7, 8))
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        rows = [
            [bar.get(name, "") for name in names.split(",")]
            for bar in past_bars(self.setup.seed, symbol, first, last, frequency)
        ]
        at = (int(page) - 1) * PAGE_ROWS
        record = rows[at : at + PAGE_ROWS]
        text = _body(fields, record, fields[4:])
        packed = zlib.compress((text + "x").encode())
        return f"00.9.40{SOH}96{SOH}{len(packed):010d}".encode() + packed + END

    def _days(self, fields: list[str]) -> bytes:
        first, last = (date.fromisoformat(text) for text in fields[4:6])
        rows = [
            [each.isoformat(), "1" if is_trading_day(each) else "0"] for each in _dates(first, last)
        ]
        return _listed("34", fields, rows, fields[4:])

    def _symbols(self, fields: list[str]) -> bytes:
        trading = is_trading_day(date.fromisoformat(fields[4]))
        rows = [[f"sh.6{number:05d}", "1", f"share {number}"] for number in range(20)]
        return _listed("36", fields, rows if trading else [], fields[4:])

    def _violate(self, number: int, rule: Rule, detail: str) -> None:
        violation = Violation(
            time=now_ms(),
            market=self.setup.name,
            connection=number,
            client="",
            rule=rule,
            detail=detail,
        )
        self.setup.violations.add(violation)


def is_trading_day(day: date) -> bool:
    """Tell whether the market is open on a day."""
    return day.weekday() < 5 and day not in HOLIDAYS


def past_bars(
    seed: int, symbol: str, first: date, last: date, frequency: str
) -> list[dict[str, str]]:
    """Return the bars of a range of days as the venue prints them; one day in ten is suspended."""
    bars = []
    for day in _dates(first, last):
        if not is_trading_day(day) or day < LISTED:
            continue
        if frequency == "d":
            bars.append(_bar(seed, symbol, day.isoformat(), date=day.isoformat(), code=symbol))
        else:
            bars += [
                _bar(seed, symbol, time, time=time, date=day.isoformat(), code=symbol)
                for time in _bar_ends(day, BAR_ENDS[frequency])
            ]
    return bars


def _bar_ends(day: date, minutes: int) -> list[str]:
    ends = [570 + step for step in range(minutes, 121, minutes)]
    ends += [780 + step for step in range(minutes, 121, minutes)]
    return [f"{day:%Y%m%d}{end // 60:02d}{end % 60:02d}00000" for end in ends]


def _bar(seed: int, symbol: str, at: str, **named: str) -> dict[str, str]:
    rng = random.Random(f"{seed} {symbol} {at}")  # noqa: S311 - prices, not a secret
    prices = sorted(rng.randrange(80_000, 120_000) for _ in range(4))
    low, middle, other, high = (f"{price / 10_000:.4f}" for price in prices)
    suspended = rng.random() < 0.1
    if suspended:
        return {**named, "open": low, "high": low, "low": low, "close": low, "volume": "0"}
    volume = rng.randrange(1, 10_000) * 100
    return {
        **named,
        "open": middle,
        "high": high,
        "low": low,
        "close": other,
        "volume": str(volume),
        "amount": f"{volume * prices[1] / 10_000:.4f}",
    }


def _dates(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _body(fields: list[str], record: list[list[str]], echo: Sequence[str]) -> str:
    document = json.dumps({"record": record})
    head = ("0", "success", fields[0], fields[1], fields[2], fields[3])
    return SOH.join((*head, document, *echo))


def _listed(kind: str, fields: list[str], record: list[list[str]], echo: Sequence[str]) -> bytes:
    return _plain(kind, _body(fields, record, echo).split(SOH))


def _plain(kind: str, fields: Sequence[str]) -> bytes:
    body = SOH.join(fields)
    text = f"00.9.40{SOH}{kind}{SOH}{len(body):010d}{body}"
    return f"{text}{SOH}{zlib.crc32(text.encode())}".encode() + END
