"""EastMoney's two kinds of connection, sans-I/O: pushed lists, and the WebSocket.

A pushed list names what is subscribed in its address: a change is another address. The WebSocket
dialect is the one its project names; no public source shows that it exists.

Source: see `eastmoney_frames`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from feedplane_feeder.adapters.eastmoney_frames import (
    SHANGHAI,
    Row,
    RowBook,
    read_row,
    read_tick,
    secid,
)
from feedplane_feeder.core.aside import set_aside
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.looks import Watched, channels_of
from feedplane_feeder.core.ports import (
    Channel,
    ConnectionPlan,
    Control,
    ControlKind,
    Due,
    Outgoing,
    Received,
    Refusal,
    VenueLimits,
)
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError
from feedplane_feeder.instruments import format_instrument_id

CODES_PER_MESSAGE: Final = 100


class EastMoneySession:
    """What both kinds share: instruments, and what cannot be used."""

    def __init__(self, venue: str, plan: ConnectionPlan) -> None:
        self._venue = venue
        self._watched: dict[str, Watched] = {}
        self._is_open = False
        self._adopt(plan.channels)

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        self._is_open = True

    def frame_counts(self) -> Mapping[Channel, int]:
        """See `Session`."""
        return {
            channel: watched.frames
            for watched in self._watched.values()
            for channel in watched.channels
        }

    # Returns the secids that are new, in order.
    def _adopt(self, channels: Sequence[Channel]) -> list[str]:
        wanted: dict[str, list[Channel]] = {}
        for channel in channels:
            wanted.setdefault(channel.symbol, []).append(channel)
        by_secid = {secid(symbol): symbol for symbol in wanted}
        for gone in [name for name in self._watched if name not in by_secid]:
            del self._watched[gone]
        new = sorted(name for name in by_secid if name not in self._watched)
        for name, symbol in by_secid.items():
            if name not in self._watched:
                instrument_id = format_instrument_id(symbol, self._venue)
                self._watched[name] = Watched(instrument_id, SHANGHAI)
            self._watched[name].want(wanted[symbol])
        return new

    def _set_aside(self, frame: bytes, ts_recv: int, error: Exception, received: Received) -> None:
        suspects = channels_of(self._watched.values())
        set_aside(received, frame, ts_recv, error, venue=self._venue, suspects=suspects)


class PushSession(EastMoneySession):
    """See `Session`: rows of a list, pushed."""

    def __init__(
        self, venue: str, plan: ConnectionPlan, address: Callable[[Sequence[str]], str]
    ) -> None:
        super().__init__(venue, plan)
        self._address = address
        self._rows = RowBook()
        self._ask_again = False

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`."""
        before = set(self._watched)
        self._adopt(channels)
        self._ask_again |= set(self._watched) != before

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`; a list is one subscription, and asking often is what bans are for."""
        watched = self._watched.get(secid(channel.symbol))
        if watched is not None:
            watched.renew(channel)

    def unsubscribe_all(self) -> None:
        """See `Session`: there is nothing to say but good-bye."""
        self._adopt(())
        self._ask_again = False

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        due = Due()
        if self._ask_again and self._is_open and self._watched:
            self._ask_again = False
            due.outgoing.append(Outgoing(self._address(sorted(self._watched))))
        return due

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        for frame in frames:
            try:
                told = self._rows.take(frame)
            except MalformedFrameError as error:
                # What it would have changed is not known any more.
                self._rows.lose()
                self._set_aside(frame, ts_recv, error, received)
                control = Control(kind=ControlKind.RECONNECT, reason="RowsInDoubt")
                received.controls.append(control)
                continue
            if told is None:
                received.unchanged += 1
                continue
            for name, row in told.items():
                self._take(name, row, ts_recv, received)
            if self._rows.full:
                self._refuse_absent(told, received)
        return received

    def _take(self, name: str, row: Row, ts_recv: int, received: Received) -> None:
        watched = self._watched.get(name)
        if watched is None:
            return
        try:
            watched.take(read_row(row), ts_recv, received)
        except ImpossibleValueError as error:
            text = msgspec.json.encode(row).decode()
            watched.set_aside(self._venue, error.reason, text, ts_recv, received)

    def _refuse_absent(self, told: Mapping[str, Row], received: Received) -> None:
        for name, watched in self._watched.items():
            if name not in told:
                received.refusals.extend(
                    Refusal(channel=channel, reason="VenueRefused", message="not in the list")
                    for channel in watched.channels
                )


class SocketSession(EastMoneySession):
    """See `Session`: ticks over a WebSocket."""

    def __init__(self, venue: str, plan: ConnectionPlan, limits: VenueLimits) -> None:
        super().__init__(venue, plan)
        self._budget = WindowBudget(limits.control_messages_per_second, SECOND_NS)
        self._waiting: list[str] = []

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        super().opened(now_ns)
        self._waiting = sorted(self._watched)

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`; no message is known that takes a code back, so its ticks are ignored."""
        new = self._adopt(channels)
        if self._is_open:
            self._waiting.extend(new)

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`."""
        watched = self._watched.get(secid(channel.symbol))
        if watched is not None:
            watched.renew(channel)
            self._waiting.append(secid(channel.symbol))

    def unsubscribe_all(self) -> None:
        """See `Session`."""
        self._adopt(())
        self._waiting = []

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        due = Due()
        while self._waiting and self._is_open and self._budget.take(now_ns):
            codes, self._waiting = (
                self._waiting[:CODES_PER_MESSAGE],
                self._waiting[CODES_PER_MESSAGE:],
            )
            message = {"cmd": "sub", "param": {"codes": codes}}
            due.outgoing.append(Outgoing(msgspec.json.encode(message).decode()))
        if self._waiting and self._is_open:
            due.again_ns = self._budget.room_at(now_ns)
        return due

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        for frame in frames:
            try:
                tick = read_tick(frame, ts_recv)
            except MalformedFrameError as error:
                self._set_aside(frame, ts_recv, error, received)
                continue
            watched = self._watched.get(tick[0]) if tick else None
            if tick is None or watched is None:
                continue
            try:
                watched.take(tick[1], ts_recv, received)
            except ImpossibleValueError as error:
                text = frame.decode("utf-8", "replace")
                watched.set_aside(self._venue, error.reason, text, ts_recv, received)
        return received
