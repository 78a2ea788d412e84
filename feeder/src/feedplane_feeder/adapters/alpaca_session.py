"""One Alpaca stream after its login, sans-I/O: subscriptions out, frames in.

Answers bear no number: each is the whole list of what is subscribed, or an error. So one request
is under way at a time, and what the list holds is what is acknowledged. A batch that is refused is
halved until the one symbol that is refused stands alone.

Source: docs.alpaca.markets "WebSocket Stream" (control messages, error codes), read 2026-11-21.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from feedplane_feeder.adapters.alpaca_frames import (
    UNREADABLE,
    BarMessage,
    ErrorMessage,
    Message,
    QuoteMessage,
    SubscriptionMessage,
    SuccessMessage,
    TradeMessage,
    build_bar,
    build_quote,
    build_trade,
    decode_known,
    decode_messages,
)
from feedplane_feeder.core.aside import set_aside
from feedplane_feeder.core.budget import SECOND_NS, WindowBudget
from feedplane_feeder.core.ports import (
    Channel,
    Control,
    ControlKind,
    Due,
    Outgoing,
    Received,
    Refusal,
    VenueLimits,
)
from feedplane_feeder.errors import ImpossibleValueError
from feedplane_feeder.records import Quote, Record

LISTS: Final[Mapping[str, str]] = {"trade": "trades", "quote": "quotes", "bar-1m": "bars"}
"""Channel name -> the venue's list."""
SYMBOLS_PER_MESSAGE: Final = 400
ANSWER_WITHIN_NS: Final = 5 * SECOND_NS
SYMBOL_LIMIT: Final = 405
REFUSED_CODES: Final = frozenset({400, 405, 409, 410, 413})
"""Errors that answer a subscription and leave the list as it was."""
BENIGN_CODES: Final = frozenset({403})


@dataclass(slots=True, kw_only=True)
class Request:
    """A subscription message under way."""

    action: str
    channels: tuple[Channel, ...]
    renewing: bool = False
    sent_ns: int = 0


@dataclass(slots=True)
class Route:
    """One wanted channel: who it is, how much it brought."""

    channel: Channel
    instrument_id: str
    frames: int = 0
    at_ns: int = 0
    """The newest nanosecond of its quotes."""
    same: tuple[str, ...] = ()
    """What the newest quote said."""
    further: int = 0
    """How many quotes that nanosecond had before this one."""


class AlpacaSession:
    """See `Session`."""

    def __init__(
        self,
        venue: str,
        channels: Sequence[Channel],
        limits: VenueLimits,
        instrument_id: Callable[[str], str],
    ) -> None:
        self._venue = venue
        self._instrument_id = instrument_id
        self._budget = WindowBudget(limits.control_messages_per_second, SECOND_NS)
        self._routes: dict[Channel, Route] = {}
        self._listed: set[Channel] = set()
        self._refused: set[Channel] = set()
        self._waiting: deque[Request] = deque()
        self._under_way: Request | None = None
        self._is_open = False
        self.want(channels)

    def opened(self, now_ns: int) -> None:
        """See `Session`."""
        self._is_open = True
        self._under_way = None
        self._listed.clear()
        self._refused.clear()
        self._waiting.clear()
        self._ask("subscribe", tuple(self._routes))

    def want(self, channels: Sequence[Channel]) -> None:
        """See `Session`."""
        wanted = set(channels)
        gone = tuple(channel for channel in self._routes if channel not in wanted)
        new = tuple(sorted(wanted.difference(self._routes)))
        for channel in gone:
            del self._routes[channel]
        for channel in new:
            self._routes[channel] = Route(channel, self._instrument_id(channel.symbol))
        if self._is_open:
            self._ask("unsubscribe", gone)
            self._ask("subscribe", new)

    def resubscribe(self, channel: Channel) -> None:
        """See `Session`."""
        busy = (*self._waiting, *([self._under_way] if self._under_way else []))
        if channel in self._routes and not any(channel in r.channels for r in busy):
            self._ask("unsubscribe", (channel,), renewing=True)

    def unsubscribe_all(self) -> None:
        """See `Session`."""
        self._waiting.clear()
        self._under_way = None
        self._ask("unsubscribe", tuple(self._listed))

    def frame_counts(self) -> Mapping[Channel, int]:
        """See `Session`."""
        return {channel: route.frames for channel, route in self._routes.items()}

    def due(self, now_ns: int) -> Due:
        """See `Session`."""
        due = Due()
        if not self._is_open:
            return due
        late = self._under_way
        if late is not None and late.sent_ns + ANSWER_WITHIN_NS <= now_ns:
            # Subscribing twice does no harm: the list is the same.
            self._waiting.appendleft(late)
            self._under_way = None
        if self._under_way is None and self._waiting and self._budget.take(now_ns):
            request = self._under_way = self._waiting.popleft()
            request.sent_ns = now_ns
            due.outgoing.append(Outgoing(_render(request)))
        if self._under_way is not None:
            due.again_ns = self._under_way.sent_ns + ANSWER_WITHIN_NS
        elif self._waiting:
            due.again_ns = self._budget.room_at(now_ns)
        return due

    def receive(self, frames: Sequence[bytes], ts_recv: int) -> Received:
        """See `Session`."""
        received = Received()
        for frame in frames:
            try:
                messages = decode_messages(frame)
            except UNREADABLE:
                messages = self._read_loosely(frame, ts_recv, received)
            for message in messages:
                self._take(message, frame, ts_recv, received)
        return received

    def _read_loosely(self, frame: bytes, ts_recv: int, received: Received) -> list[Message]:
        try:
            messages, errors = decode_known(frame)
        except UNREADABLE as error:
            messages, errors = [], [error]
        for wrong in errors:
            self._set_aside(frame, ts_recv, wrong, None, received)
        return messages

    def _take(self, message: Message, frame: bytes, ts_recv: int, received: Received) -> None:
        match message:
            case SubscriptionMessage():
                self._take_list(message, received)
            case ErrorMessage():
                self._take_error(message, received)
            case SuccessMessage():
                return
            case _:
                self._take_event(message, frame, ts_recv, received)

    def _take_event(
        self,
        message: TradeMessage | QuoteMessage | BarMessage,
        frame: bytes,
        ts_recv: int,
        received: Received,
    ) -> None:
        name = _NAMES[type(message)]
        route = self._routes.get(Channel(message.symbol, name))
        if route is None:
            return  # a few may still come after an unsubscription
        try:
            record = _build(message, route, ts_recv)
        except (*UNREADABLE, ImpossibleValueError) as error:
            self._set_aside(frame, ts_recv, error, route, received)
            return
        route.frames += 1
        received.records.append(record)

    # The list is everything that is subscribed, so it answers whatever was under way.
    def _take_list(self, message: SubscriptionMessage, received: Received) -> None:
        listed = {
            Channel(symbol, name) for name, key in LISTS.items() for symbol in getattr(message, key)
        }
        new = [c for c in self._routes if c in listed and c not in self._listed]
        self._listed = listed
        received.answered = True
        received.acknowledged.extend(new)
        request, self._under_way = self._under_way, None
        if request is None:
            return
        if request.renewing:
            wanted = tuple(c for c in request.channels if c in self._routes)
            received.interrupted.update((c, self._routes[c].instrument_id) for c in wanted)
            self._ask("subscribe", wanted)

    def _take_error(self, message: ErrorMessage, received: Received) -> None:
        if message.code in BENIGN_CODES:
            return
        request = self._under_way
        if request is None or message.code not in REFUSED_CODES:
            control = Control(kind=ControlKind.RECONNECT, reason=f"{message.code} {message.msg}")
            received.controls.append(control)
            return
        self._under_way = None
        received.answered = True
        channels = tuple(c for c in request.channels if c in self._routes)
        if request.action != "subscribe" or not channels:
            return
        if len(channels) > 1:
            half = len(channels) // 2
            parts = (channels[half:], channels[:half])
            self._waiting.extendleft(Request(action="subscribe", channels=p) for p in parts)
            return
        refused = [*channels]
        if message.code == SYMBOL_LIMIT:
            # Not one more is taken, so the others need not be asked for.
            later = [r for r in self._waiting if r.action == "subscribe"]
            refused += [c for r in later for c in r.channels if c in self._routes]
            self._waiting = deque(r for r in self._waiting if r.action != "subscribe")
        reason = "SymbolLimit" if message.code == SYMBOL_LIMIT else "VenueRefused"
        text = f"{message.code} {message.msg}"
        received.refusals.extend(Refusal(channel=c, reason=reason, message=text) for c in refused)

    def _ask(self, action: str, channels: tuple[Channel, ...], *, renewing: bool = False) -> None:
        for start in range(0, len(channels), SYMBOLS_PER_MESSAGE):
            part = channels[start : start + SYMBOLS_PER_MESSAGE]
            self._waiting.append(Request(action=action, channels=part, renewing=renewing))

    # A frame that cannot be read may have been any of the connection's.
    def _set_aside(
        self,
        frame: bytes,
        ts_recv: int,
        error: Exception,
        route: Route | None,
        received: Received,
    ) -> None:
        whole = self._routes.values() if route is None else (route,)
        suspects = {each.channel: each.instrument_id for each in whole}
        set_aside(received, frame, ts_recv, error, venue=self._venue, suspects=suspects)


_NAMES: Final = {TradeMessage: "trade", QuoteMessage: "quote", BarMessage: "bar-1m"}


def _build(message: TradeMessage | QuoteMessage | BarMessage, route: Route, ts_recv: int) -> Record:
    match message:
        case TradeMessage():
            return build_trade(message, route.instrument_id, ts_recv)
        case QuoteMessage():
            return _number(build_quote(message, route.instrument_id, ts_recv), route)
        case BarMessage():
            return build_bar(message, route.instrument_id, ts_recv)


# Several quotes may share a nanosecond; one that says the same is a copy.
def _number(quote: Quote, route: Route) -> Quote:
    said = (quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size)
    if quote.ts_event != route.at_ns:
        if quote.ts_event > route.at_ns:
            route.at_ns, route.same, route.further = quote.ts_event, said, 0
        return quote
    if said != route.same:
        route.same = said
        route.further += 1
    return replace(quote, sequence=quote.ts_event + route.further) if route.further else quote


def _render(request: Request) -> str:
    document: dict[str, object] = {"action": request.action}
    for name, key in LISTS.items():
        symbols = [channel.symbol for channel in request.channels if channel.name == name]
        if symbols:
            document[key] = symbols
    return msgspec.json.encode(document).decode()
