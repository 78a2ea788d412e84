from dataclasses import dataclass, field

import msgspec
import pytest

from feedplane_simulator.config import Market
from feedplane_simulator.faults import Fault, FaultBook, FaultKind, Frame


@dataclass(frozen=True)
class Somebody:
    market_name: Market = Market.SPOT
    number: int = 1
    names: tuple[str, ...] = field(default=("key-a", "host-1", "10.0.0.1", "agent"))


FRAME = Frame("btcusdt@trade", 5, 0.0)


@pytest.mark.parametrize(
    ("fault", "target", "hit"),
    [
        pytest.param(Fault(kind=FaultKind.MUTE), Somebody(), True, id="no selector hits all"),
        pytest.param(
            Fault(kind=FaultKind.MUTE, market=Market.USDM), Somebody(), False, id="other market"
        ),
        pytest.param(
            Fault(kind=FaultKind.MUTE, connection=2), Somebody(), False, id="other connection"
        ),
        pytest.param(
            Fault(kind=FaultKind.MUTE, client="10.0.*"), Somebody(), True, id="client's address"
        ),
        pytest.param(
            Fault(kind=FaultKind.MUTE, client="key-b"), Somebody(), False, id="other account"
        ),
        pytest.param(
            Fault(kind=FaultKind.MUTE, streams="eth*"), Somebody(), False, id="other stream"
        ),
    ],
)
def test_selector_decides_who_is_hit(fault: Fault, target: Somebody, hit: bool) -> None:
    book = FaultBook(seed=1)
    book.add(fault, 0.0)
    assert book.judge_frame(target, FRAME, 1.0).send is not hit


@pytest.mark.parametrize(
    ("kind", "field_name", "value"),
    [
        (FaultKind.SKIP, "send", False),
        (FaultKind.STALL, "send", False),
        (FaultKind.DELAY, "delay_seconds", 0.5),
        (FaultKind.DUPLICATE, "copies", 2),
        (FaultKind.REORDER, "hold", True),
        (FaultKind.CORRUPT, "corrupt", True),
    ],
)
def test_frame_fault_asks_for_its_effect(kind: FaultKind, field_name: str, value: object) -> None:
    book = FaultBook(seed=1)
    assert not book.on_frames
    book.add(Fault(kind=kind), 0.0)
    assert book.on_frames
    assert getattr(book.judge_frame(Somebody(), FRAME, 1.0), field_name) == value


def test_fault_is_spent_after_its_count() -> None:
    book = FaultBook(seed=1)
    book.add(Fault(kind=FaultKind.SKIP, count=2), 0.0)
    sent = [book.judge_frame(Somebody(), FRAME, 1.0).send for _ in range(4)]
    assert sent == [False, False, True, True]
    book.expire(1.0)
    assert not book.on_frames


def test_fault_ends_after_its_seconds() -> None:
    book = FaultBook(seed=1)
    book.add(Fault(kind=FaultKind.SKIP, seconds=5.0), 10.0)
    assert not book.judge_frame(Somebody(), FRAME, 14.9).send
    assert book.judge_frame(Somebody(), FRAME, 15.0).send


def test_cleared_fault_moves_to_the_past() -> None:
    book = FaultBook(seed=1)
    one, _other = (book.add(Fault(kind=FaultKind.MUTE), 0.0) for _ in range(2))
    assert (book.clear(one.number), book.clear(99), book.clear()) == (1, 0, 1)
    described = book.describe()
    assert (described["active"], len(described["past"])) == ([], 2)


def test_fault_until_resubscribed_spares_fresh_streams() -> None:
    book = FaultBook(seed=1)
    book.add(Fault(kind=FaultKind.MUTE, until_resubscribed=True), 10.0)
    assert not book.judge_frame(Somebody(), FRAME, 11.0).send
    assert book.judge_frame(Somebody(), FRAME._replace(subscribed_at=10.5), 11.0).send


def test_chance_everywhere_strikes_the_same_events() -> None:
    book = FaultBook(seed=1)
    book.add(Fault(kind=FaultKind.SKIP, probability=0.3, everywhere=True), 0.0)
    verdicts = [
        [
            book.judge_frame(Somebody(number=number), FRAME._replace(sequence=n), 1.0).send
            for n in range(300)
        ]
        for number in (1, 2)
    ]
    assert verdicts[0] == verdicts[1]
    assert 50 < verdicts[0].count(False) < 130


def test_event_that_happens_once_is_past_at_once() -> None:
    book = FaultBook(seed=1)
    assert book.add(Fault(kind=FaultKind.DROP), 0.0).ended
    assert book.describe()["active"] == []


def test_fault_of_a_kind_is_found_and_counted() -> None:
    book = FaultBook(seed=1)
    book.add(Fault(kind=FaultKind.REST, count=1), 0.0)
    assert book.find(FaultKind.REFUSE, Somebody(), 1.0) is None
    assert book.find(FaultKind.REST, Somebody(), 1.0) is not None
    assert book.find(FaultKind.REST, Somebody(), 1.0) is None


def test_fault_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"mute","stream":"x"}', type=Fault)


def frozen_turns(fault: Fault, target: Somebody, turns: int) -> list[bool]:
    book = FaultBook(7)
    book.add(fault, 0.0)
    return [book.freezes(target, turn * fault.delay_seconds + 0.01) for turn in range(turns)]


def test_lossy_line_stands_still_for_its_share_of_turns() -> None:
    fault = Fault(kind=FaultKind.LOSS, probability=0.5, delay_seconds=2.0)
    turns = frozen_turns(fault, Somebody(), 1_000)
    assert 450 < sum(turns) < 550
    assert turns == frozen_turns(fault, Somebody(), 1_000)
    assert turns != frozen_turns(fault, Somebody(number=2), 1_000)


def test_black_hole_spares_others_and_ends_with_its_time() -> None:
    book = FaultBook(7)
    book.add(Fault(kind=FaultKind.BLACKHOLE, client="key-a", seconds=5), 0.0)
    assert book.freezes(Somebody(), 4.9)
    assert not book.freezes(Somebody(names=("key-b",)), 4.9)
    assert not book.freezes(Somebody(), 5.0)


@pytest.mark.parametrize(
    ("fault", "status", "left"),
    [
        (Fault(kind=FaultKind.BAN, seconds=30), 418, 20.0),
        (Fault(kind=FaultKind.BAN, seconds=30, status=429), 429, 20.0),
        (Fault(kind=FaultKind.BAN, retry_after_seconds=7), 418, 7.0),
        (Fault(kind=FaultKind.REFUSE), 429, 5.0),
    ],
)
def test_refusal_says_its_status_and_when_it_ends(fault: Fault, status: int, left: float) -> None:
    active = FaultBook(7).add(fault, 100.0)
    assert (active.fault.answer_status, active.left_seconds(110.0)) == (status, left)
