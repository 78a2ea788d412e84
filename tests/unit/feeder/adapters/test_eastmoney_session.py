"""EastMoney's connections: a pushed list and its changes, ticks over the WebSocket."""

import json
from dataclasses import replace

import pytest

from feedplane_feeder.adapters.eastmoney import ADAPTER, LIMITS
from feedplane_feeder.adapters.eastmoney_frames import secid
from feedplane_feeder.core.ports import Channel, ConnectionPlan, ControlKind, Session
from feedplane_feeder.records import Snapshot

MOUTAI, BANK = Channel("600519", "snapshot"), Channel("000001", "snapshot")
T = 1_786_090_103
NOW = (T + 1) * 10**9
ROW = {"f2": 10.66, "f5": 100, "f6": 5.5, "f12": "600519", "f13": 1, "f15": 11, "f16": 10,
       "f17": 10.5, "f18": 10.4, "f124": T}  # fmt: skip


def opened(*channels: Channel, base: str = "https://push2") -> Session:
    (plan,) = ADAPTER.connections(
        channels, (), ADAPTER.endpoints.model_copy(update={"stream": base}), LIMITS
    )
    session = ADAPTER.session(plan, LIMITS)
    session.opened(0)
    return session


def event(rows: dict[str, object], *, full: int) -> bytes:
    return json.dumps({"rc": 0, "full": full, "data": {"diff": rows}}).encode()


def test_changes_are_merged_into_whole_snapshots() -> None:
    session = opened(MOUTAI)
    assert session.due(0).outgoing == []
    session.receive([event({"0": ROW}, full=1)], NOW)
    received = session.receive([event({"0": {"f2": 10.7, "f124": T + 1}}, full=0)], NOW)
    (snapshot,) = received.records
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.last_price, snapshot.high, snapshot.volume) == ("10.7", "11", 100)
    assert snapshot.ts_event == (T + 1) * 10**9
    assert session.frame_counts() == {MOUTAI: 2}


def test_repeated_state_is_a_sign_of_life() -> None:
    session = opened(MOUTAI)
    session.receive([event({"0": ROW}, full=1)], NOW)
    received = session.receive([event({"0": ROW}, full=1), b'{"rc":0,"data":null}'], NOW)
    assert (received.records, received.unchanged) == ([], 2)


def test_code_absent_from_the_first_event_is_refused() -> None:
    received = opened(MOUTAI, BANK).receive([event({"0": ROW}, full=1)], NOW)
    assert [refusal.channel for refusal in received.refusals] == [BANK]
    assert received.acknowledged == [MOUTAI]


def test_unreadable_event_puts_the_rows_in_doubt() -> None:
    session = opened(MOUTAI)
    session.receive([event({"0": ROW}, full=1)], NOW)
    received = session.receive([b'{"rc":0,"full":0,"da'], NOW)
    assert [control.kind for control in received.controls] == [ControlKind.RECONNECT]
    assert set(received.unreadable) == {MOUTAI}
    assert session.receive([event({"0": {"f2": 10.7}}, full=0)], NOW).records == []
    assert len(session.receive([event({"0": ROW | {"f5": 101}}, full=1)], NOW).records) == 1


def test_another_set_of_channels_is_another_address() -> None:
    session = opened(MOUTAI)
    session.want((MOUTAI,))
    assert session.due(0).outgoing == []
    session.want((MOUTAI, BANK))
    (outgoing,) = session.due(0).outgoing
    assert outgoing.text.startswith("https://push2/api/qt/ulist/sse?")
    assert outgoing.text.endswith("secids=0.000001,1.600519")
    session.resubscribe(BANK)
    session.unsubscribe_all()
    assert session.due(0).outgoing == []


def test_lists_are_placed_within_the_limit() -> None:
    wanted = [Channel(f"{600_000 + number}", "snapshot") for number in range(1_200)]
    plans = ADAPTER.connections(wanted, (), ADAPTER.endpoints, LIMITS)
    assert [len(plan.channels) for plan in plans] == [500, 500, 200]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [("600519", "1.600519"), ("000001", "0.000001"), ("300750", "0.300750"),
     ("920001", "0.920001"), ("510300", "1.510300"), ("1.000001", "1.000001")],
)  # fmt: skip
def test_bare_codes_find_their_market(symbol: str, name: str) -> None:
    assert secid(symbol) == name


def test_socket_subscribes_within_the_limit_and_reads_ticks() -> None:
    session = opened(MOUTAI, base="wss://push2")
    (outgoing,) = session.due(0).outgoing
    assert json.loads(outgoing.text) == {"cmd": "sub", "param": {"codes": ["1.600519"]}}
    frames = [b'{"code":"1.600519","price":10.66,"volume":7}', b'{"cmd":"ok"}', b"[]", b"oops"]
    received = session.receive(frames, NOW)
    (snapshot,) = received.records
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.last_price, snapshot.volume, snapshot.ts_event) == ("10.66", 7, NOW)
    assert [row.reason for row in received.quarantined] == ["MalformedFrame", "MalformedFrame"]
    tick = b'{"code":"1.600519","price":-1,"volume":7}'
    assert [row.reason for row in session.receive([tick], NOW).quarantined] == ["Negative"]


def test_socket_asks_for_new_codes_only() -> None:
    plan = ConnectionPlan(key="push-0", url="ws://venue/ws", channels=(MOUTAI,))
    session = ADAPTER.session(plan, replace(LIMITS, control_messages_per_second=1))
    session.opened(0)
    assert len(session.due(0).outgoing) == 1
    session.want((MOUTAI, BANK))
    due = session.due(1)
    assert (due.outgoing, due.again_ns) == ([], 10**9)
    (outgoing,) = session.due(10**9).outgoing
    assert json.loads(outgoing.text)["param"]["codes"] == ["0.000001"]
    session.resubscribe(MOUTAI)
    assert len(session.due(3 * 10**9).outgoing) == 1
    session.unsubscribe_all()
    assert session.frame_counts() == {}
