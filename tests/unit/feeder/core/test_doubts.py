from feedplane_api.worker import ChannelState
from feedplane_feeder.core.doubts import Doubts
from feedplane_feeder.core.ports import Channel

A = Channel("A", "trade")
B = Channel("B", "trade")


def stale(_channel: Channel) -> ChannelState | None:
    return ChannelState.STALE


def doubted(*channels: Channel) -> Doubts:
    doubts = Doubts()
    for channel in channels:
        doubts.add(channel, 10)
    return doubts


def test_doubted_channels_are_asked_for_once_each() -> None:
    doubts = doubted(A, B)
    assert doubts.take(stale, {}, 11) == [A, B]
    assert doubts.take(stale, {}, 12) == []


def test_doubts_wait_for_a_connection_that_carried_something_before() -> None:
    doubts = doubted(A)
    assert doubts.take(stale, {}, 10) == []
    doubts.add(A, 30)
    assert doubts.take(stale, {}, 11) == [A]


def test_connection_that_never_carried_anything_is_not_waited_for() -> None:
    assert doubted(A).take(stale, {}, 0) == [A]


def test_channel_that_came_back_or_was_granted_since_is_left_alone() -> None:
    assert doubted(A).take(lambda _: None, {}, 11) == []
    doubts = doubted(A, B)
    assert doubts.take(stale, {A: 11, B: 9}, 12) == [B]
    assert doubts.take(stale, {}, 13) == []
