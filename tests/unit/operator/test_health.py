from feedplane_operator.health import BEAT_LIMIT_SECONDS, QUEUE_LIMIT_SECONDS, Health


def test_loop_that_comes_round_is_well() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    health.beat("poller")
    now[0] = BEAT_LIMIT_SECONDS
    assert health.complaints() == ()


def test_loop_that_stands_still_is_named() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    health.beat("poller")
    health.beat("leader election")
    now[0] = BEAT_LIMIT_SECONDS + 1
    health.beat("leader election")
    assert health.complaints() == ("poller stood still for 61 s",)


def test_loop_that_never_began_is_not_expected() -> None:
    assert Health(lambda: 1e9).complaints() == ()


def test_queue_nobody_works_off_is_told() -> None:
    health = Health(lambda: 0.0)
    health.watch_queue(lambda: QUEUE_LIMIT_SECONDS + 1)
    assert health.complaints() == ("the queue's head has waited for 121 s",)
