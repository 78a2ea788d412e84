"""The protocol against a seeded simulation; a failing seed says how to play it again.

FEEDPLANE_MODEL_SCHEDULES plays so many schedules in place of the ten thousand, and
FEEDPLANE_MODEL_SEED plays one.
"""

import os
from collections.abc import Iterator

import pytest
from failover_model import BrokenPromiseError, Options, play_schedule
from seat_model import play_seats

from feedplane_feeder.core.decision import LeaseAction, LeaseVerb, decide
from feedplane_feeder.core.failover import LeaseState

SCHEDULES = int(os.environ.get("FEEDPLANE_MODEL_SCHEDULES", "10000"))
ONE_SEED = os.environ.get("FEEDPLANE_MODEL_SEED")
CHUNKS = 20
SEEDS_TO_BE_CAUGHT_IN = 600


def chunk_seeds(chunk: int) -> Iterator[int]:
    if ONE_SEED is None:
        yield from range(chunk, SCHEDULES, CHUNKS)
    elif chunk == 0:
        yield int(ONE_SEED)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_failover_over_seeded_schedules_keeps_every_promise(chunk: int) -> None:
    for seed in chunk_seeds(chunk):
        play_schedule(seed)


@pytest.mark.timeout(120)
def test_seat_over_seeded_races_never_has_two_sessions() -> None:
    taken = sum(play_seats(seed) for seed in range(max(200, SCHEDULES // 25)))
    assert taken > 200


def unhealthy_takes_over(state: LeaseState, now: float) -> LeaseAction:
    action = decide(state, now)
    record = state.record
    if action.verb is LeaseVerb.WATCH and record is not None and not record.holder:
        return LeaseAction(LeaseVerb.ACQUIRE, "Vacant")
    return action


def never_waits_for_the_cooldown(state: LeaseState, now: float) -> LeaseAction:
    state.acquired_at = float("-inf")
    return decide(state, now)


def never_fails_back(state: LeaseState, now: float) -> LeaseAction:
    action = decide(state, now)
    return LeaseAction(LeaseVerb.RENEW) if action.reason == "Failback" else action


def never_takes_over(state: LeaseState, now: float) -> LeaseAction:
    action = decide(state, now)
    expired = action.reason == "LeaseExpired"
    return LeaseAction(LeaseVerb.WATCH) if expired else action


def play_until_caught(options: Options) -> None:
    for seed in range(SEEDS_TO_BE_CAUGHT_IN):
        play_schedule(seed, options)


def race_until_caught() -> None:
    for seed in range(SEEDS_TO_BE_CAUGHT_IN):
        play_seats(seed, fence=False)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("options", "broken"),
    [
        pytest.param(
            Options(decide=unhealthy_takes_over), "is unhealthy and took over", id="any takes over"
        ),
        pytest.param(
            Options(decide=never_waits_for_the_cooldown), "gave up after", id="no cooldown"
        ),
        pytest.param(
            Options(decide=never_fails_back), "the preferred account is active", id="no failback"
        ),
        pytest.param(Options(decide=never_takes_over), "active", id="no takeover"),
        pytest.param(Options(forgets_buffer=True), "not in the sink", id="no buffer"),
        pytest.param(Options(names_no_holes=True), "holes without a row", id="no ledger"),
    ],
)
def test_model_catches_a_protocol_that_is_broken(options: Options, broken: str) -> None:
    with pytest.raises(BrokenPromiseError, match=broken) as caught:
        play_until_caught(options)
    assert "FEEDPLANE_MODEL_SEED=" in str(caught.value)


def test_model_played_twice_tells_the_same_story() -> None:
    first, second = play_schedule(7), play_schedule(7)
    assert first.now == second.now
    assert first.record == second.record
    assert first.sink == second.sink


@pytest.mark.timeout(120)
def test_model_catches_seats_that_do_not_wait() -> None:
    with pytest.raises(BrokenPromiseError, match="two sessions"):
        race_until_caught()
