from support_plans import parse_subscription
from support_resources import feeder_status, mute, subscription

from feedplane_api.conditions import Reason
from feedplane_api.worker import ChannelState, HealthReport
from feedplane_operator.core.coverage import AWAITING_FEEDER, ShardView, judge_pairs
from feedplane_operator.core.wanted import expand_subscription

WANTED = parse_subscription(
    subscription("s", "f", instruments=["A", "B"], channels=["trade", "quote"])
)
EXPANSION = expand_subscription(WANTED, None, ())
BOTH = {"A": 0, "B": 0}


def test_pairs_without_a_problem_are_live() -> None:
    shards = {0: ShardView(reports=(feeder_status(last_event_milliseconds={"A": 5, "B": 9}),))}
    pairs = judge_pairs(WANTED, EXPANSION, BOTH, shards)
    assert (pairs.wanted, pairs.live, pairs.missing) == (4, 4, ())
    assert pairs.last_event_milliseconds == 9
    assert not pairs.undecided


def test_pair_that_is_mute_is_named_alone() -> None:
    shards = {0: ShardView(reports=(feeder_status(problems=(mute("B"),)),))}
    pairs = judge_pairs(WANTED, EXPANSION, BOTH, shards)
    assert [(entry.pair, entry.reason) for entry in pairs.missing] == [(("B", "trade"), "Mute")]
    assert pairs.count(ChannelState.STALE) == 1
    assert pairs.live == 3


def test_pair_that_one_publisher_has_is_live() -> None:
    both = (feeder_status(problems=(mute("A"), mute("B"))), feeder_status(problems=(mute("B"),)))
    pairs = judge_pairs(WANTED, EXPANSION, BOTH, {0: ShardView(reports=both)})
    assert [entry.pair for entry in pairs.missing] == [("B", "trade")]


def test_instrument_in_no_configuration_yet_is_awaited() -> None:
    shards = {0: ShardView(reports=(feeder_status(),))}
    pairs = judge_pairs(WANTED, EXPANSION, {"A": 0, "B": 7}, shards)
    assert {entry.pair[0] for entry in pairs.missing} == {"B"}
    assert {entry.reason for entry in pairs.missing} == {AWAITING_FEEDER}
    assert pairs.count(ChannelState.PENDING) == 2


def test_feeder_in_trouble_is_the_reason_for_all_it_carries() -> None:
    trouble = (Reason.FEEDER_UNREACHABLE, "Pod x does not answer")
    pairs = judge_pairs(WANTED, EXPANSION, BOTH, {0: ShardView(trouble=trouble)})
    assert pairs.live == 0
    assert {entry.reason for entry in pairs.missing} == {"FeederUnreachable"}
    assert pairs.trouble == trouble


def test_feeder_not_asked_or_behind_leaves_all_undecided() -> None:
    unasked = {0: ShardView(unasked=True)}
    behind = {0: ShardView(reports=(feeder_status(),), current=False)}
    assert judge_pairs(WANTED, EXPANSION, BOTH, unasked).undecided
    assert judge_pairs(WANTED, EXPANSION, BOTH, behind).undecided


def test_shard_that_carries_none_of_it_does_not_matter() -> None:
    shards = {0: ShardView(reports=(feeder_status(),)), 1: ShardView(unasked=True)}
    assert not judge_pairs(WANTED, EXPANSION, BOTH, shards).undecided


def test_channels_that_wait_for_their_market_say_nothing() -> None:
    waiting = mute("B").model_copy(update={"state": ChannelState.PENDING})
    closed = HealthReport(healthy=True, reason="MarketClosed")
    resting = {0: ShardView(reports=(feeder_status(problems=(waiting,), health=closed),))}
    assert judge_pairs(WANTED, EXPANSION, BOTH, resting).undecided
    whole = {0: ShardView(reports=(feeder_status(health=closed),))}
    assert not judge_pairs(WANTED, EXPANSION, BOTH, whole).undecided
