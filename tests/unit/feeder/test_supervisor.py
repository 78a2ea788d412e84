"""Whole lives of a connection, with a scripted transport and virtual time."""

import asyncio
from dataclasses import replace

import pytest
from support_stage import CONFIG, LIMITS, A, B, FakeSocket, Stage, running

from feedplane_api.worker import ChannelState, SessionState
from feedplane_feeder.core.budget import SECOND_NS
from feedplane_feeder.core.coverage import Reason
from feedplane_feeder.core.overlap import OVERLAP_SECONDS
from feedplane_feeder.core.ports import Channel
from feedplane_feeder.core.standing import Side
from feedplane_feeder.errors import (
    CredentialsRefusedError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.supervisor import HANDOVER_SECONDS

pytestmark = pytest.mark.looptime

CARRIED = OVERLAP_SECONDS + 0.3


async def test_connection_goes_through_its_states_to_streaming() -> None:
    async with running() as stage:
        assert stage.state() is SessionState.DISCONNECTED
        await stage.until(lambda: bool(stage.transport.sockets))
        await asyncio.sleep(0.1)
        assert stage.state() is SessionState.SUBSCRIBING
        assert stage.reasons() == [Reason.AWAITING_ACKNOWLEDGEMENT] * 2
        assert stage.socket.sent == ["subscribe"]
        stage.socket.say("ack")
        assert stage.state() is SessionState.STREAMING
        assert stage.reasons() == [Reason.AWAITING_FIRST_FRAME] * 2
        await stage.sweep(1, "A,B")
        assert stage.reasons() == ["", ""]
    assert not stage.socket.is_open


async def test_lost_connection_is_opened_again() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await stage.sweep(10, "A,B")
        stage.socket.end("closed by the venue: 1006")
        await stage.until(lambda: stage.reasons() == [Reason.AWAITING_CONNECTION] * 2, 0.1)
        waited = await stage.until(lambda: len(stage.transport.sockets) == 2)
        assert waited <= 0.6
        assert stage.supervisor.last_error == "closed by the venue: 1006"
        assert stage.meters.reconnects == 1


async def waits_until_opened(stage: Stage) -> list[float]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await stage.until(lambda: bool(stage.transport.sockets), 1_000)
        stage.supervisor.stop()
        await task
    at = stage.transport.opened_at
    return [round(later - sooner, 2) for sooner, later in zip(at, at[1:], strict=False)]  # noqa: RUF007


async def test_refused_connections_are_tried_at_growing_intervals() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503") for _ in range(8)]
    waits = await waits_until_opened(stage)
    assert waits == [0.5, 1, 2, 4, 4, 4, 4, 4]


async def test_few_refusals_are_followed_by_quick_tries() -> None:
    stage = Stage(CONFIG)
    stage.shared.connects.limit = 300
    stage.transport.errors = [VenueUnavailableError("ws://fake", "HTTP 503") for _ in range(40)]
    waits = await waits_until_opened(stage)
    assert waits[:6] == [0.5, 1, 2, 2, 2, 2]
    assert set(waits[30:]) == {4}


async def test_throttled_connection_waits_as_told() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueThrottledError("ws://fake", "HTTP 429", 40)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        waited = await stage.until(lambda: bool(stage.transport.sockets))
        stage.supervisor.stop()
        await task
    assert 40 <= waited <= 41


async def test_connects_stay_within_the_venues_window() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueUnavailableError("ws://fake", "no") for _ in range(60)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(1_500)
        stage.supervisor.stop()
        await task
    at = stage.transport.opened_at
    assert len(at) > 30
    assert all(sum(t <= other < t + 300 for other in at) <= 20 for t in at)


async def test_rotation_at_its_age_opens_the_new_one_first() -> None:
    async with running(CONFIG.model_copy(update={"rotate_after_seconds": 60})) as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await stage.sweep(50, "A,B")
        old = stage.socket
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        assert old.is_open
        await asyncio.sleep(10)
        assert old.is_open  # not before each channel was confirmed on the new one
        assert len(stage.supervisor.connections()) == 2
        stage.socket.say("ack,A,B")
        assert OVERLAP_SECONDS <= await stage.until(lambda: not old.is_open) < CARRIED
        assert (stage.meters.rotations, stage.meters.reconnects) == (1, 0)
        assert stage.reasons() == ["", ""]


async def test_announced_end_is_answered_by_rotation() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, CARRIED)
        assert stage.meters.rotations == 1


async def test_end_announced_to_a_successor_is_answered_by_another_rotation() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        stage.socket.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        successor = stage.socket
        successor.say("ack,A,B")
        successor.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 3, CARRIED)
        assert successor.is_open
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not successor.is_open, CARRIED)
        assert stage.meters.rotations == 2


async def test_successor_that_dies_leaves_the_old_one_in_place() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.end("lost")
        await stage.until(lambda: len(stage.transport.sockets) == 3)
        assert old.is_open
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, CARRIED)
        assert stage.meters.rotations == 1


async def test_old_connection_that_dies_during_rotation_interrupts_nothing() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        stage.supervisor.sweep(stage.clock.now_ns())
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack")
        await asyncio.sleep(0.2)
        old.end("closed by the venue: 1001")
        await asyncio.sleep(1)
        assert stage.reasons() == ["", ""]
        assert stage.meters.reconnects == 0


async def test_mute_connection_is_replaced_within_the_bound() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(10, "A,B")
        old = stage.socket
        silent_since = asyncio.get_running_loop().time()
        while len(stage.transport.sockets) == 1:
            await stage.sweep(0.5)
        assert stage.state() is SessionState.STALE
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, 1)
        assert asyncio.get_running_loop().time() - silent_since <= 5 + 2
        assert stage.meters.reconnects == 1


async def test_mute_market_is_not_reconnected_in_a_storm() -> None:
    async with running() as stage:
        for _ in range(1_200):
            await asyncio.sleep(0.5)
            stage.socket.last_read_ns = stage.clock.now_ns()  # pings
            if not stage.adapter.sessions[-1].resubscribed:
                stage.socket.say("ack")
                stage.adapter.sessions[-1].resubscribe(A)
            stage.supervisor.sweep(stage.clock.now_ns())
        assert 4 <= len(stage.transport.sockets) <= 10


async def test_dead_socket_is_replaced_after_the_venues_ping_time() -> None:
    async with running(CONFIG.model_copy(update={"stale_after_seconds": 9_999})) as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(59)
        assert len(stage.transport.sockets) == 1
        await stage.sweep(3)
        assert len(stage.transport.sockets) == 2


async def test_added_channel_goes_onto_the_open_connection() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        new = Channel("C", "trade")
        stage.coverage.want([A, new], 0)
        plan = replace(stage.plan, channels=(A, new))
        stage.supervisor.change(plan, LIMITS, CONFIG)
        assert stage.adapter.sessions[0].channels == {A, new}
        assert dict(stage.coverage.items())[new].reason == Reason.AWAITING_ACKNOWLEDGEMENT
        stage.socket.say("ack")
        assert dict(stage.coverage.items())[new].reason == Reason.AWAITING_FIRST_FRAME
        await asyncio.sleep(1)
        assert len(stage.transport.sockets) == 1


async def test_mute_channel_is_subscribed_again_alone() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        stage.silence(B)
        await stage.sweep(0.5)
        assert stage.adapter.sessions[0].resubscribed == [B]


async def test_mute_channel_waits_for_a_connection_that_is_stuck() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        (connection,) = stage.supervisor.connections()
        connection.heard_ns = stage.clock.now_ns()
        await asyncio.sleep(1)
        stage.silence(A)
        stage.silence(B)
        await stage.sweep(1)
        assert stage.adapter.sessions[0].resubscribed == []
        # Its network is back: one channel delivers by itself, the other is truly mute.
        connection.heard_ns = stage.clock.now_ns()
        await stage.sweep(0.5, "A")
        assert stage.adapter.sessions[0].resubscribed == [B]


async def test_new_connection_is_not_asked_twice_for_what_was_mute() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await stage.sweep(10, "A,B")
        while len(stage.transport.sockets) == 1:
            await stage.sweep(0.5)
        stage.silence(A)
        stage.silence(B)
        await stage.sweep(0.5)
        stage.socket.say("ack,B")
        await stage.sweep(1, "B")
        assert len(stage.supervisor.connections()) == 1
        assert [session.resubscribed for session in stage.adapter.sessions] == [[], []]


async def test_refused_channel_is_named_and_not_waited_for() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("refuse B")
        assert stage.coverage.state(B) is ChannelState.REFUSED
        old = stage.socket
        old.say("A,rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack,A")
        await stage.until(lambda: not old.is_open, CARRIED)


async def test_stop_while_waiting_to_reconnect_ends_at_once() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueThrottledError("ws://fake", "HTTP 429", 4_000)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(5)
        stage.supervisor.stop()
        await task
        assert asyncio.get_running_loop().time() < 6


async def opened_at(errors: list[Exception], seconds: float) -> list[float]:
    stage = Stage(CONFIG)
    stage.transport.errors = errors
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(seconds)
        stage.supervisor.stop()
        await task
    return [round(at) for at in stage.transport.opened_at]


async def test_refused_login_is_not_hammered() -> None:
    errors: list[Exception] = [CredentialsRefusedError("ws://fake", "HTTP 401") for _ in range(9)]
    assert await opened_at(errors, 700) == [0, 15, 45, 105, 225, 465]


async def test_ban_is_respected_to_the_second() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [VenueBannedError("ws://fake", "HTTP 418", 40)]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(39.9)
        assert len(stage.transport.opened_at) == 1
        assert stage.standing.banned_until_ns(Side.STREAM) == 41 * SECOND_NS
        await asyncio.sleep(0.2)
        assert len(stage.transport.opened_at) == 2
        assert stage.standing.banned_until_ns(Side.STREAM) == 0
        stage.supervisor.stop()
        await task


async def test_new_credentials_end_the_wait_after_a_refusal() -> None:
    stage = Stage(CONFIG)
    stage.transport.errors = [CredentialsRefusedError("ws://fake", "HTTP 401")]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(5)
        assert stage.standing.refusal(Side.STREAM) == "HTTP 401"
        stage.supervisor.renew()
        await asyncio.sleep(0.1)
        assert len(stage.transport.sockets) == 1
        assert stage.standing.refusal(Side.STREAM) is None
        stage.supervisor.stop()
        await task


async def test_new_credentials_replace_the_connection_new_one_first() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        stage.supervisor.renew()
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        assert old.is_open
        stage.socket.say("ack,A,B")
        await stage.until(lambda: not old.is_open, CARRIED)
        assert (stage.meters.rotations, stage.meters.reconnects) == (1, 0)


async def test_silence_lasts_over_the_connection_that_replaces_a_mute_one() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(10, "A,B")
        while len(stage.transport.sockets) == 1:
            await stage.sweep(0.5)
        stage.socket.say("ack")
        await stage.sweep(1)
        assert len(stage.supervisor.connections()) == 1
        assert stage.state() is SessionState.STALE
        stage.socket.say("A")
        await stage.sweep(0.5)
        assert stage.state() is SessionState.STREAMING


async def test_silence_of_a_busy_connection_is_told_as_soon_again() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        for _ in range(3):
            stage.socket.say("ack")
            await stage.sweep(10, "A,B")
            waited = 0.0
            while not stage.supervisor.is_silent(stage.clock.now_ns()):
                await stage.sweep(0.5)
                waited += 0.5
            assert waited <= 5
            stage.socket.say("ack")
            await stage.sweep(30)


ALONE = replace(LIMITS, sessions_per_account=1)


async def test_account_with_one_session_closes_before_it_opens() -> None:
    async with running(CONFIG.model_copy(update={"rotate_after_seconds": 60}), ALONE) as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        await stage.sweep(50, "A,B")
        await stage.until(lambda: not old.is_open)
        assert len(stage.transport.sockets) == 1
        assert stage.reasons() == [Reason.AWAITING_CONNECTION] * 2
        await stage.until(lambda: len(stage.transport.sockets) == 2, 1)
        assert stage.meters.rotations == 1


async def test_connection_waits_for_its_seat() -> None:
    stage = Stage(CONFIG)
    stage.seat.take()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(60)
        assert stage.transport.opened_at == []
        assert "held elsewhere" in stage.supervisor.last_error
        stage.seat.give()
        await stage.until(lambda: bool(stage.transport.sockets), 1)
        stage.supervisor.stop()
        await task


async def test_lost_seat_closes_the_connection_at_once() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack,A,B")
        await asyncio.sleep(10)
        stage.seat.take()
        await asyncio.sleep(0.01)
        assert not stage.socket.is_open
        await asyncio.sleep(60)
        assert len(stage.transport.sockets) == 1
        stage.seat.give()
        await stage.until(lambda: len(stage.transport.sockets) == 2, 1)


async def test_stop_while_waiting_for_the_seat_ends_at_once() -> None:
    stage = Stage(CONFIG)
    stage.seat.take()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.supervisor.run())
        await asyncio.sleep(5)
        stage.supervisor.stop()
        await task
    assert asyncio.get_running_loop().time() < 6


async def test_old_connection_is_read_until_what_was_under_way_has_come() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        stage.socket.say("ack")
        await asyncio.sleep(OVERLAP_SECONDS - 0.2)
        assert old.is_open
        old.say("A,B,B")  # late, and only the old one has it
        stage.supervisor.sweep(stage.clock.now_ns())
        assert stage.reasons() == ["", ""]
        await stage.until(lambda: not old.is_open, CARRIED)


async def test_overlap_begins_with_the_last_channel_confirmed() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        new, session = stage.socket, stage.adapter.sessions[-1]
        session.channels = {A}
        new.say("ack")
        await asyncio.sleep(OVERLAP_SECONDS + 2)
        assert old.is_open
        session.channels = {B}
        new.say("ack")
        assert OVERLAP_SECONDS <= await stage.until(lambda: not old.is_open) < CARRIED


async def test_mute_connection_is_left_without_an_overlap() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        stage.socket.say("ack")
        await stage.sweep(5, "A,B")
        old = stage.socket
        while len(stage.transport.sockets) == 1:
            await stage.sweep(0.5)
        stage.socket.say("ack")
        assert await stage.until(lambda: not old.is_open) < 0.5


async def silent(stage: Stage) -> tuple[FakeSocket, FakeSocket]:
    """Return the old socket, which brought quotes 1 and 2 and then nothing, and the new one."""
    stage.want_quotes()
    await stage.until(lambda: bool(stage.transport.sockets))
    old = stage.socket
    old.say("ack,quote 1,quote 2")
    while len(stage.transport.sockets) == 1:
        await stage.sweep(0.5)
    return old, stage.socket


async def test_line_that_wakes_up_is_heard_until_its_successor_is_confirmed() -> None:
    async with running() as stage:
        old, new = await silent(stage)
        old.say("quote 5")
        old.say("quote 6")
        new.say("ack,quote 7")
        await stage.until(lambda: not old.is_open, 1)
        new.say("quote 8")
        # Nobody knows what was kept back before 5, nor whether 7 is the next after 6.
        gaps, records = stage.take_tape()
        assert [(gap.from_ts, gap.to_ts) for gap in gaps] == [(2, 5), (2, 8)]
        assert [record.ts_event for record in records] == [1, 2, 5, 6, 7, 8]


async def test_what_a_silent_line_kept_back_is_ignored_behind_its_successor() -> None:
    async with running() as stage:
        old, new = await silent(stage)
        new.say("ack,quote 7")
        await asyncio.sleep(0.2)
        old.say("quote 3")
        new.say("quote 8")
        assert [(gap.from_ts, gap.to_ts) for gap in stage.take_gaps()] == [(2, 7)]


async def test_hole_behind_a_silent_lines_successor_that_ended_is_named() -> None:
    async with running() as stage:
        _, second = await silent(stage)
        second.say("quote 7")
        second.end()
        await stage.until(lambda: len(stage.transport.sockets) == 3)
        stage.socket.say("ack,quote 9")
        assert [(gap.from_ts, gap.to_ts) for gap in stage.take_gaps()] == [(2, 7), (2, 9)]


async def test_successor_that_is_never_confirmed_takes_over_in_the_end() -> None:
    async with running() as stage:
        await stage.until(lambda: bool(stage.transport.sockets))
        old = stage.socket
        old.say("ack,A,B")
        old.say("rotate")
        await stage.until(lambda: len(stage.transport.sockets) == 2)
        waited = await stage.until(lambda: not old.is_open)
        assert HANDOVER_SECONDS - 1 <= waited <= HANDOVER_SECONDS + 1


async def rotating(stage: Stage) -> tuple[FakeSocket, FakeSocket]:
    """Return the old socket, which brought quote 1, and the new one that is to replace it."""
    stage.want_quotes()
    await stage.until(lambda: bool(stage.transport.sockets))
    old = stage.socket
    old.say("ack,quote 1")
    old.say("rotate")
    await stage.until(lambda: len(stage.transport.sockets) == 2)
    return old, stage.socket


async def test_old_end_read_behind_the_successors_quotes_is_named() -> None:
    async with running() as stage:
        old, new = await rotating(stage)
        # The venue ended the old one first; quotes 2 to 6 went to nobody.
        new.say("ack,quote 7")
        old.end("closed by the venue: 1001")
        await asyncio.sleep(0.2)
        new.say("quote 8")
        assert [(gap.from_ts, gap.to_ts) for gap in stage.take_gaps()] == [(1, 8)]
        assert len(stage.supervisor.connections()) == 1
        assert stage.meters.reconnects == 0


async def test_old_end_after_a_long_overlap_costs_nothing() -> None:
    async with running() as stage:
        old, new = await rotating(stage)
        new.say("ack,quote 2")
        stage.adapter.sessions[-1].channels = {B}
        await asyncio.sleep(1)
        new.say("ack")
        await asyncio.sleep(OVERLAP_SECONDS - 0.5)
        old.say("quote 2")
        old.end("closed by the venue: 1001")
        await asyncio.sleep(0.2)
        new.say("quote 3")
        assert stage.take_gaps() == []


async def test_successor_that_ends_after_the_old_one_leaves_a_named_hole() -> None:
    async with running() as stage:
        old, new = await rotating(stage)
        new.say("ack,quote 2")
        old.end()
        for _ in range(9):
            await asyncio.sleep(0)  # no time passes, so it does not take over yet
        new.end()
        await stage.until(lambda: len(stage.transport.sockets) == 3)
        assert stage.reasons() == [Reason.AWAITING_ACKNOWLEDGEMENT] * 3
        stage.socket.say("ack,quote 9")
        assert [gap.to_ts for gap in stage.take_gaps()] == [9]


async def test_successors_that_end_at_once_are_not_tried_in_a_storm() -> None:
    async with running() as stage:
        old, _ = await rotating(stage)
        for _ in range(500):
            await asyncio.sleep(0.1)
            if stage.socket is not old:
                stage.socket.end()
        assert old.is_open
        assert len(stage.transport.sockets) <= 17


async def test_hole_of_an_old_connection_that_was_stuck_is_named() -> None:
    async with running() as stage:
        old, new = await rotating(stage)
        await asyncio.sleep(1)
        new.say("ack,quote 5")
        await asyncio.sleep(2)
        new.say("quote 6")
        await stage.until(lambda: not old.is_open, CARRIED)
        new.say("quote 7")
        assert [(gap.from_ts, gap.to_ts) for gap in stage.take_gaps()] == [(1, 7)]


async def test_old_connection_of_a_quiet_market_leaves_no_hole() -> None:
    async with running() as stage:
        old, new = await rotating(stage)
        await asyncio.sleep(1)
        new.say("ack")
        await stage.until(lambda: not old.is_open, CARRIED)
        new.say("quote 2")
        assert stage.take_gaps() == []


class Talkative(FakeSocket):
    """Brings a quote while it is being closed."""

    async def close(self) -> None:
        self.say("quote 2")
        await super().close()


async def test_hole_of_an_unconfirmed_channel_outlives_the_old_connection() -> None:
    async with running() as stage:
        stage.transport.socket_type = Talkative
        old, new = await rotating(stage)
        await stage.until(lambda: not old.is_open)
        stage.take_gaps()
        new.say("quote 9")
        assert [(gap.from_ts, gap.to_ts) for gap in stage.take_gaps()] == [(2, 9)]
