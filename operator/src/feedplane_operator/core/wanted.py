"""The should-list: Subscriptions to instruments and their channels.

Must not know shards or feeders.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from feedplane_api.selectors import expand_selector
from feedplane_api.subscription import InstrumentSelector, Repair, Subscription
from feedplane_api.worker import Wanted

_NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """One Subscription's instruments, globs looked up."""

    symbols: tuple[str, ...]
    """Named and matched instruments, sorted."""
    awaiting_listing: bool = False
    """There are globs, and no feeder has told the venue's instruments yet."""
    matching: int = 0
    """Instruments the globs match, those past the maximum included."""
    too_wide: bool = False


def expand_subscription(
    subscription: Subscription, listing: Mapping[str, bool] | None, assigned: Collection[str]
) -> Expansion:
    """Return the instruments a Subscription stands for now.

    `assigned` are the instruments feeders carry already. Until the venue's list is known the globs
    are looked up in them, and an instrument that is listed but no longer trades is kept while it
    is among them, so that its feeder reports it as retired.
    """
    spec = subscription.spec
    selector = spec.selector
    if selector is None:
        return Expansion(symbols=tuple(sorted(spec.instruments)))
    known = assigned if listing is None else _candidates(listing, assigned)
    matching = _matching(selector, known, _NO_LIMIT)
    chosen = matching[: selector.max_instruments]
    return Expansion(
        symbols=tuple(sorted({*spec.instruments, *chosen})),
        awaiting_listing=listing is None,
        matching=len(matching),
        too_wide=len(matching) > len(chosen),
    )


def merge_wanted(expansions: Iterable[tuple[Subscription, Expansion]]) -> dict[str, Wanted]:
    """Return one line per instrument with the channels of every Subscription that wants it.

    A channel's gaps are left to a person where no Subscription to it has them filled.
    """
    channels: dict[str, set[str]] = {}
    repaired: dict[str, set[str]] = {}
    for subscription, expansion in expansions:
        automatic = subscription.spec.repair is Repair.AUTOMATIC
        for symbol in expansion.symbols:
            channels.setdefault(symbol, set()).update(subscription.spec.channels)
            repaired.setdefault(symbol, set()).update(subscription.spec.channels * automatic)
    return {
        symbol: _line(symbol, channels[symbol], channels[symbol] - repaired[symbol])
        for symbol in sorted(channels)
    }


def keep_previous(
    wanted: Mapping[str, Wanted], previous: Mapping[str, Wanted]
) -> dict[str, Wanted]:
    """Return the should-list with nothing taken away from the one in force."""
    kept: dict[str, Wanted] = {}
    for symbol in sorted({*wanted, *previous}):
        lines = [line for line in (wanted.get(symbol), previous.get(symbol)) if line is not None]
        channels = {channel for line in lines for channel in line.channels}
        repaired = {
            channel for line in lines for channel in {*line.channels} - {*line.manual_repair}
        }
        kept[symbol] = _line(symbol, channels, channels - repaired)
    return kept


def _line(symbol: str, channels: set[str], manual: set[str]) -> Wanted:
    return Wanted(
        symbol=symbol,
        channels=tuple(sorted(channels)),
        manual_repair=tuple(sorted(manual)),
    )


def _candidates(listing: Mapping[str, bool], assigned: Collection[str]) -> set[str]:
    held = set(assigned)
    return {symbol for symbol, trading in listing.items() if trading or symbol in held}


def _matching(selector: InstrumentSelector, known: Iterable[str], limit: int) -> tuple[str, ...]:
    return expand_selector(selector.include, selector.exclude, limit, known)
