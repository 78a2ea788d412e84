"""Polled Hong Kong services: which polls are planned, and what their answers mean."""

import json

import pytest

from feedplane_feeder.adapters.fushu import ADAPTERS, FUSHU, SINA, TENCENT, FushuAdapter
from feedplane_feeder.core.polling import AnswerHead, PollPlan, frame_answer, parse_plan
from feedplane_feeder.core.ports import Channel, Received, Session, VenueLimits

SECOND_NS = 10**9
NOW = 1_786_090_105 * SECOND_NS
TENCENT_KEYS = [f"batch-{number}" for number in range(50)]


def snapshots(*symbols: str) -> tuple[Channel, ...]:
    return tuple(Channel(symbol, "snapshot") for symbol in symbols)


def opened(
    adapter: FushuAdapter, channels: tuple[Channel, ...], limits: VenueLimits | None = None
) -> Session:
    limits = limits or adapter.capabilities.limits
    (plan,) = adapter.connections(channels, (), adapter.endpoints, limits)
    session = adapter.session(plan, limits)
    session.opened(0)
    return session


def planned(session: Session) -> PollPlan:
    (outgoing,) = session.due(0).outgoing
    return parse_plan(outgoing.text)


def answer(*symbols: str, price: float = 10.5, poll: str = "batch-0") -> bytes:
    rows = [
        {"symbol": f"{symbol}.HK", "price": price, "timestamp": "2026-08-07T16:08:23+08:00"}
        for symbol in symbols
    ]
    return frame_answer(AnswerHead(poll), json.dumps({"data": rows}).encode())


def take(session: Session, *symbols: str, **fields: float) -> Received:
    return session.receive([answer(*symbols, **fields)], NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("adapter", "url"),
    [
        (FUSHU, "https://api.fushu.com/v1/tick?symbols=00005.HK,00700.HK"),
        (SINA, "https://hq.sinajs.cn/list=rt_hk00005,rt_hk00700"),
        (TENCENT, "https://qt.gtimg.cn/q=r_hk00005,r_hk00700"),
    ],
    ids=lambda value: getattr(value, "venue", "url"),
)
def test_each_service_is_asked_in_its_own_words(adapter: FushuAdapter, url: str) -> None:
    session = opened(adapter, snapshots("00005", "00700"))
    assert [poll.url for poll in planned(session).polls] == [url]
    assert session.due(0).outgoing == []


def test_opening_asks_for_one_symbol_alone() -> None:
    (plan,) = FUSHU.connections(
        snapshots("00005", "00700"), (), FUSHU.endpoints, FUSHU.capabilities.limits
    )
    assert plan.url == "https://api.fushu.com/v1/tick?symbols=00005.HK"


def test_three_thousand_symbols_are_batches_within_the_rate() -> None:
    session = opened(TENCENT, snapshots(*(f"{number:05d}" for number in range(3_000))))
    plan = planned(session)
    assert [poll.key for poll in plan.polls] == TENCENT_KEYS
    assert plan.spacing_ns == SECOND_NS // TENCENT.capabilities.limits.control_messages_per_second
    assert plan.period_ns == len(plan.polls) * plan.spacing_ns == 10 * SECOND_NS


def test_new_symbol_moves_no_other_batch() -> None:
    first = [f"{number:05d}" for number in range(120)]
    session = opened(TENCENT, snapshots(*first))
    before = {poll.key: poll.url for poll in planned(session).polls}
    session.want(snapshots(*first, "00000A"))
    after = {poll.key: poll.url for poll in planned(session).polls}
    assert {key: after[key] for key in before} == before
    assert len(after) == 3


def test_symbol_missing_from_two_answers_is_refused_once() -> None:
    session = opened(FUSHU, snapshots("00700", "99999"))
    refused = [[r.channel.symbol for r in take(session, "00700").refusals] for _ in range(5)]
    assert refused == [[], ["99999"], [], [], []]


def test_refused_symbol_is_live_with_its_first_row() -> None:
    session = opened(FUSHU, snapshots("00700", "99999"))
    for _ in range(3):
        take(session, "00700")
    received = take(session, "00700", "99999")
    assert received.acknowledged == list(snapshots("99999"))
    assert len(received.records) == 1


def test_symbol_that_was_there_before_is_not_refused() -> None:
    session = opened(FUSHU, snapshots("00700"))
    take(session, "00700")
    assert [take(session).refusals for _ in range(5)] == [[]] * 5


def test_answer_of_a_batch_that_is_gone_refuses_nothing() -> None:
    session = opened(FUSHU, snapshots("00700"))
    late = frame_answer(AnswerHead("batch-9", late=2), b'{"data":[]}')
    received = session.receive([late, late, late], NOW)
    assert (received.refusals, received.late_polls) == ([], 6)


def test_channel_asked_for_again_is_confirmed_by_the_next_answer() -> None:
    session = opened(FUSHU, snapshots("00700"))
    take(session, "00700")
    session.resubscribe(Channel("00700", "snapshot"))
    session.resubscribe(Channel("09988", "snapshot"))
    received = take(session, "00700")
    assert (received.acknowledged, received.records) == (list(snapshots("00700")), [])
    assert session.frame_counts() == {Channel("00700", "snapshot"): 2}


def test_leaving_plans_no_polls_at_all() -> None:
    session = opened(FUSHU, snapshots("00700"))
    session.unsubscribe_all()
    assert planned(session).polls == ()
    assert session.frame_counts() == {}


def test_unreadable_answer_leaves_every_channel_in_doubt() -> None:
    session = opened(FUSHU, snapshots("00700", "09988"))
    received = session.receive([frame_answer(AnswerHead("batch-0"), b"<html>")], NOW)
    assert set(received.unreadable) == set(snapshots("00700", "09988"))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: str(adapter.venue))
def test_empty_text_is_no_answer(adapter: FushuAdapter) -> None:
    session = opened(adapter, snapshots("00700"))
    received = session.receive([frame_answer(AnswerHead("batch-0"), b"")], NOW)
    assert [row.reason for row in received.quarantined] == ["MalformedFrame"]
