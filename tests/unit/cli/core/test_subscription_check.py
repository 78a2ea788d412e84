from datetime import UTC, datetime
from typing import Any

import pytest
from support_resources import feeder_status, mute

from feedplane_api.worker import (
    ChannelProblem,
    ChannelState,
    ElectionReport,
    FailoverMode,
    FeederStatus,
)
from feedplane_cli.core.should_list import ShouldList
from feedplane_cli.core.subscription_check import (
    Fault,
    Feeder,
    Result,
    check_subscription,
    count_reasons,
)

BTC, ETH = ("BTCUSDT", "trade"), ("ETHUSDT", "trade")
SHOULD = ShouldList(
    subscription="majors",
    feed_source="spot",
    venue="binance-spot",
    calendar="AlwaysOpen",
    schema="feedplane",
    pairs=(BTC, ETH),
)


def feeder(account: str, *, status: FeederStatus | None, error: str = "") -> Feeder:
    return Feeder(
        account=account,
        shard=0,
        pod=f"spot-{account}-0",
        pairs=frozenset(SHOULD.pairs),
        status=status,
        error=error,
    )


def standby(**changes: Any) -> FeederStatus:
    return feeder_status(election=ElectionReport(active=False, holder="main"), **changes)


def test_what_no_feeder_names_as_a_problem_streams() -> None:
    checked = check_subscription(SHOULD, [feeder("main", status=feeder_status())], FailoverMode.HOT)
    assert (checked.good, checked.wanted, checked.streaming) == (True, 2, 2)
    assert checked.missing == ()
    assert [(one.account, one.publishes) for one in checked.feeders] == [("main", True)]


def test_mute_channel_on_the_active_account_is_missing() -> None:
    feeders = [
        feeder("main", status=feeder_status(problems=(mute("ETHUSDT"),))),
        feeder("backup", status=standby()),
    ]
    checked = check_subscription(SHOULD, feeders, FailoverMode.HOT)
    assert (checked.good, checked.streaming) == (False, 1)
    (missing,) = checked.missing
    assert (missing.instrument, missing.account, missing.error_code) == ("ETHUSDT", "main", "Mute")
    assert missing.since_time is not None


def test_fault_of_a_standby_is_told_and_keeps_the_verdict() -> None:
    feeders = [
        feeder("main", status=feeder_status()),
        feeder("backup", status=standby(problems=(mute("BTCUSDT"),))),
    ]
    checked = check_subscription(SHOULD, feeders, FailoverMode.HOT)
    assert checked.good
    assert [one.account for one in checked.missing] == ["backup"]


def test_any_line_will_do_where_all_publish() -> None:
    feeders = [
        feeder("main", status=feeder_status(problems=(mute("BTCUSDT"),))),
        feeder("backup", status=standby()),
    ]
    assert check_subscription(SHOULD, feeders, FailoverMode.MERGED).good


@pytest.mark.parametrize("mode", [FailoverMode.WARM, FailoverMode.COLD])
def test_standby_that_rests_on_purpose_is_no_fault(mode: FailoverMode) -> None:
    feeders = [
        feeder("main", status=feeder_status()),
        feeder("backup", status=None, error=Fault.NO_FEEDER.value),
    ]
    checked = check_subscription(SHOULD, feeders, mode)
    assert checked.good
    assert {one.result for one in checked.attempts if one.account == "backup"} == {Result.RESTING}


@pytest.mark.parametrize("error", ["", "FeederUnreachable"])
def test_feeder_without_an_answer_carries_nothing(error: str) -> None:
    checked = check_subscription(
        SHOULD, [feeder("main", status=None, error=error)], FailoverMode.HOT
    )
    assert checked.streaming == 0
    assert count_reasons(checked.missing) == ((error or "NoFeeder", 2),)
    (view,) = checked.feeders
    assert (view.answers, view.wanted, view.live, view.session) == (False, 2, 0, "")


def test_pair_nobody_was_told_to_carry_is_not_assigned() -> None:
    checked = check_subscription(SHOULD, [], FailoverMode.HOT)
    assert [(one.error_code, one.account) for one in checked.missing] == [("NotAssigned", "")] * 2


def test_channels_that_wait_for_their_turn_are_counted() -> None:
    waiting = ChannelProblem(
        symbol="ETHUSDT",
        channel="trade",
        state=ChannelState.PENDING,
        reason="AwaitingAcknowledgement",
        since_time=datetime(2026, 11, 21, tzinfo=UTC),
    )
    banned = datetime(2026, 11, 21, 13, tzinfo=UTC)
    status = feeder_status(
        problems=(waiting, mute("BTCUSDT")), request_weight_used=70, banned_until_time=banned
    )
    (view,) = check_subscription(SHOULD, [feeder("main", status=status)], FailoverMode.HOT).feeders
    assert (view.held_back, view.request_weight_used, view.banned_until_time) == (1, 70, banned)
