"""CTP as it is met: the real binding, its callbacks and ends, two accounts on one tape."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from feedplane_feeder.adapters.ctp import ADAPTER, LIMITS
from feedplane_feeder.adapters.ctp_transport import (
    BROKER_HEADER,
    PASSWORD_HEADER,
    USER_HEADER,
    CtpConnection,
    CtpTransport,
)
from feedplane_feeder.clock import SystemClock
from feedplane_feeder.core.ports import Channel, ConnectionPlan
from feedplane_feeder.core.tape import Tape
from feedplane_feeder.errors import CredentialsRefusedError, VenueUnavailableError
from feedplane_feeder.records import GapCause, Snapshot
from feedplane_simulator.ctp import READ_FAILED, CtpVenue

pytestmark = pytest.mark.timeout(180)

CHINA = timezone(timedelta(hours=8))
Begin = Callable[..., Awaitable[CtpVenue]]
Key = tuple[str, int, int]


@dataclass
class Line:
    """One account: its session, its tape, and what passed."""

    front: CtpVenue
    account: str
    kept: dict[Key, Snapshot] = field(default_factory=dict)
    quarantined: list[str] = field(default_factory=list)
    lives: int = 0

    def __post_init__(self) -> None:
        self.channels = tuple(Channel(symbol, "snapshot") for symbol in self.front.contracts)
        self.tape = Tape("ctp")
        self.clock = SystemClock()
        plan = ConnectionPlan(key="front-0", url=url_of(self.front), channels=self.channels)
        self.session = ADAPTER.session(plan, LIMITS)
        self.connection: CtpConnection | None = None

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        received = self.session.receive(frames, ts_recv)
        taken = self.tape.take(received.records, ts_recv)
        self.quarantined += [row.reason for row in (*received.quarantined, *taken.quarantined)]
        for record in taken.records:
            assert isinstance(record, Snapshot)
            self.kept[record.instrument_id, record.ts_event, record.fingerprint] = record

    async def connect(self) -> CtpConnection:
        transport = ADAPTER.transport(self.clock, AssertionError)  # type: ignore[arg-type]
        assert isinstance(transport, CtpTransport)
        headers = {USER_HEADER: self.account, PASSWORD_HEADER: "secret"}
        self.connection = await transport.connect(url_of(self.front), headers, self)
        self.session.opened(self.clock.now_ns())
        return self.connection

    async def live(self) -> None:
        """Connect, and connect again whenever the front is gone, until cancelled."""
        while True:
            connection = await self.connect()
            self.lives += 1
            running = asyncio.create_task(connection.run())
            try:
                while not running.done():
                    for outgoing in self.session.due(self.clock.now_ns()).outgoing:
                        connection.send(outgoing.text)
                    await asyncio.wait({running}, timeout=0.05)
                for channel in self.channels:
                    name = ADAPTER.instrument_id(channel.symbol)
                    now_ns = self.clock.now_ns()
                    self.tape.interrupt(channel, name, GapCause.DISCONNECT, now_ns)
            finally:
                await connection.close()
                await running


def url_of(front: CtpVenue) -> str:
    return f"tcp://127.0.0.1:{front.ports['ctp']}"


async def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 - other processes' state, no event to wait on
            await asyncio.sleep(0.03)


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _lived(line: Line, lives: int) -> Callable[[], bool]:
    return lambda: line.lives >= lives


def told(front: CtpVenue) -> dict[tuple[str, int, int], dict[str, Any]]:
    """What the front emitted, by instrument, time and volume."""
    events: dict[tuple[str, int, int], dict[str, Any]] = {}
    for symbol in front.contracts:
        for _, _, payload in front.setup.truth.events(("ctp", "snapshot", symbol)):
            facts = json.loads(payload)
            events[symbol, facts["ts_event"], facts["volume"]] = facts
    return events


async def test_two_accounts_merge_over_midnight_while_one_is_killed(begin: Begin) -> None:
    front = await begin(rate=400, start="2026-01-05T23:59:56")
    lines = [Line(front, "primary"), Line(front, "backup")]
    tasks = [asyncio.create_task(line.live()) for line in lines]
    await until(lambda: all(line.kept for line in lines))
    first_ns = max(min(key[1] for key in line.kept) for line in lines)
    for cut in range(3):
        await asyncio.sleep(0.5)
        primary = [one for one in front._logins.values() if one.account == "primary"]
        for login in primary:
            front.cut(login, READ_FAILED)
        await until(_lived(lines[0], cut + 2))
    await until(lambda: front.now() > datetime(2026, 1, 6, 0, 0, 1, tzinfo=CHINA))
    await until(lambda: len(lines[0].kept) > 100)
    last_ns = min(max(key[1] for key in line.kept) for line in lines)
    await end(*tasks)

    merged = {**lines[1].kept, **lines[0].kept}
    emitted = told(front)
    within = {key: each for key, each in emitted.items() if first_ns < key[1] < last_ns}
    kept = {
        (r.instrument_id.removesuffix(".CTP"), r.ts_event, r.volume): r for r in merged.values()
    }
    assert within.keys() <= kept.keys(), "lost, though one account or both were there"
    assert len(kept) == len(merged), "one snapshot twice"
    assert kept.keys() <= emitted.keys(), "a time or volume that never was"
    assert {line.lives for line in lines} >= {1}
    assert lines[0].lives >= 4
    assert [line.quarantined for line in lines] == [[], []]
    for symbol in front.contracts:
        rows = sorted(k[1:] for k in kept if k[0] == symbol)
        assert [volume for _, volume in rows] == sorted(volume for _, volume in rows)
    for (_, ts_event, _), record in kept.items():
        moment = datetime.fromtimestamp(ts_event / 1e9, UTC).astimezone(CHINA)
        assert abs((moment - front.now()).total_seconds()) < 300
        assert record.trading_day == "2026-01-06"
    days = {datetime.fromtimestamp(key[1] / 1e9, UTC).astimezone(CHINA).day for key in kept}
    assert days == {5, 6}


async def test_callbacks_cost_the_library_next_to_nothing(begin: Begin) -> None:
    front = await begin(rate=2_000, symbols=60)
    line = Line(front, "primary")
    task = asyncio.create_task(line.live())
    await until(lambda: len(front.took) >= 2 * 4_096)
    await end(task)
    busy = sorted(front.took[1::2])
    # 50 us is the bound on a quiet machine; this one may be shared, so ten times that.
    assert busy[len(busy) * 99 // 100] < 500_000
    assert front.setup.violations.list_all() == []


async def test_refused_login_is_told_with_the_fronts_words(begin: Begin) -> None:
    front = await begin()
    front.setup.terms.valid_keys = frozenset({"another"})
    with pytest.raises(CredentialsRefusedError, match="login error 3 CTP:不合法的登录") as caught:
        await Line(front, "primary").connect()
    assert "secret" not in str(caught.value)


async def test_login_the_library_has_no_room_for_is_refused_by_name(begin: Begin) -> None:
    front = await begin()
    transport = ADAPTER.transport(SystemClock(), AssertionError)  # type: ignore[arg-type]
    line = Line(front, "someone")
    headers = {BROKER_HEADER: "longer-than-ten", USER_HEADER: "someone", PASSWORD_HEADER: "secret"}
    with pytest.raises(CredentialsRefusedError, match="brokerId is too long") as caught:
        await transport.connect(url_of(front), headers, line)
    assert "longer-than-ten" not in str(caught.value)


async def test_second_session_is_turned_away_for_the_moment(begin: Begin) -> None:
    front = await begin()
    front.setup.terms.sessions_per_account = 1
    line = Line(front, "primary")
    task = asyncio.create_task(line.live())
    await until(lambda: bool(line.kept))
    with pytest.raises(VenueUnavailableError, match="login error 60"):
        await Line(front, "primary").connect()
    await end(task)


async def test_next_front_of_the_list_is_taken(begin: Begin) -> None:
    front = await begin()
    line = Line(front, "primary")
    transport = ADAPTER.transport(line.clock, AssertionError)  # type: ignore[arg-type]
    url = f"tcp://127.0.0.1:1,{url_of(front)}"
    connection = await transport.connect(url, {USER_HEADER: "primary"}, line)
    await connection.close()
    assert [one["account"] for one in front.connections()] in (["primary"], [])


async def test_front_that_is_gone_is_said_in_words(begin: Begin) -> None:
    front = await begin()
    connection = await Line(front, "primary").connect()
    (login,) = front._logins.values()
    front.cut(login, 8193)
    assert await connection.run() == "the front is gone: no heartbeat came (8193)"


async def test_real_library_meets_a_refused_front_cleanly(
    native: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCPATH", native["LOCPATH"])
    transport = CtpTransport(
        SystemClock(), package="openctp_ctp", depth_bytes=584, open_seconds=3.0
    )
    with pytest.raises(VenueUnavailableError):
        await transport.connect("tcp://127.0.0.1:1", {}, Listener())


async def test_missing_locale_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCPATH", "/nowhere")
    transport = CtpTransport(SystemClock(), package="openctp_ctp", depth_bytes=584)
    with pytest.raises(VenueUnavailableError, match=r"zh_CN\.GB18030"):
        await transport.connect("tcp://127.0.0.1:1", {}, Listener())


async def test_missing_binding_is_named() -> None:
    transport = CtpTransport(SystemClock(), package="no_such_binding", depth_bytes=440)
    with pytest.raises(VenueUnavailableError, match="no_such_binding is not installed"):
        await transport.connect("tcp://127.0.0.1:1", {}, Listener())


async def test_process_that_is_killed_ends_the_connection(begin: Begin) -> None:
    front = await begin()
    connection = await Line(front, "primary").connect()
    connection._child.process.send_signal(signal.SIGKILL)
    assert await connection.run() == "the native library ended"


class Listener:
    """Takes frames and forgets them."""

    def frames_received(self, frames: list[bytes], ts_recv: int) -> None:
        assert ts_recv > len(frames) - 1
