import random  # noqa: TID251 - seeded below

import pytest

from feedplane_feeder.core.pulse import Pulse

SECOND = 1_000_000_000
FLOOR = 5 * SECOND
SWEEP = SECOND // 2


def test_pulse_before_any_beat_is_judged_by_the_floor() -> None:
    pulse = Pulse(0)
    assert pulse.last_ns is None
    assert not pulse.is_mute(FLOOR - 1, FLOOR)
    assert pulse.is_mute(FLOOR, FLOOR)


def test_pulse_of_a_busy_stream_is_mute_at_the_floor() -> None:
    pulse = Pulse(0)
    for sweep in range(1, 20):
        pulse.beat(50, sweep * SWEEP)
    last = 19 * SWEEP
    assert pulse.limit_ns(FLOOR) == FLOOR
    assert not pulse.is_mute(last + FLOOR - 1, FLOOR)
    assert pulse.is_mute(last + FLOOR, FLOOR)


def test_pulse_of_a_quiet_stream_is_waited_for_longer() -> None:
    pulse = Pulse(0)
    for minute in range(1, 30):
        pulse.beat(1, minute * 60 * SECOND)
    last = 29 * 60 * SECOND
    assert not pulse.is_mute(last + 120 * SECOND, FLOOR)
    assert pulse.is_mute(last + 300 * SECOND, FLOOR)


def test_pulse_of_a_regular_stream_is_mute_after_few_beats_missed() -> None:
    pulse = Pulse(0)
    for beat in range(1, 200):
        pulse.beat(1, beat * 2 * SECOND)
    assert pulse.limit_ns(SECOND) < 6 * SECOND


def test_pulse_does_not_learn_a_silence_that_was_a_fault() -> None:
    pulse = Pulse(0)
    for sweep in range(1, 20):
        pulse.beat(50, sweep * SWEEP)
    pulse.beat(1, 100 * SECOND, learn=False)
    assert pulse.limit_ns(FLOOR) == FLOOR


def test_pulse_forgets_a_long_silence_in_hours() -> None:
    pulse = Pulse(0)
    pulse.beat(1, SECOND)
    pulse.beat(1, 600 * SECOND)
    before = pulse.limit_ns(FLOOR)
    for sweep in range(1, 4 * 7_200):
        pulse.beat(5, 600 * SECOND + sweep * SWEEP)
    assert pulse.limit_ns(FLOOR) < before / 16


def test_pulse_after_start_waits_from_there() -> None:
    pulse = Pulse(0)
    pulse.beat(3, SECOND)
    pulse.start(50 * SECOND)
    assert pulse.silence_ns(52 * SECOND) == 2 * SECOND
    pulse.beat(1, 53 * SECOND)
    assert pulse.limit_ns(FLOOR) < 60 * SECOND


@pytest.mark.parametrize("mean_seconds", [0.2, 3.0, 20.0])
def test_pulse_of_a_random_stream_raises_hardly_a_false_alarm(mean_seconds: float) -> None:
    rng = random.Random(3)  # noqa: S311 - the same stream each time
    pulse = Pulse(0)
    now, alarms = 0.0, 0
    for _ in range(5_000):
        gap = rng.expovariate(1 / mean_seconds)
        alarms += pulse.is_mute(int((now + gap) * SECOND), FLOOR)
        now += gap
        pulse.beat(1, int(now * SECOND))
    assert alarms <= 4


@pytest.mark.parametrize(
    ("gap_seconds", "dense"), [(0.1, True), (0.4, True), (0.6, False), (3.0, False)]
)
def test_pulse_is_dense_by_its_longest_silence(gap_seconds: float, dense: bool) -> None:
    pulse = Pulse(0)
    assert not pulse.is_dense(5 * SECOND)
    for beat in range(1, 20):
        pulse.beat(1, int(beat * gap_seconds * SECOND))
    assert pulse.is_dense(5 * SECOND) is dense
