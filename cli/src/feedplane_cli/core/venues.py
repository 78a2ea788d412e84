"""What can be said of each venue, from what its adapter and its history declare.

One source for the command and for the page in the reference. Pure: must not know the registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from feedplane_feeder.core.history import History
from feedplane_feeder.core.ports import Adapter, Capabilities, Proof, VenueLimits
from feedplane_feeder.records import ChannelKind

UNITS: Final = "smhdwM"
HISTORY_INTERVALS: Final = ("1s", "1m", "5m", "15m", "30m", "1h", "1d", "1w", "1M")
STANDING_ONLY: Final = "none; history only"
UNLISTED: Final = "no list; names are taken on trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueView:
    """One venue."""

    venue: str
    transport: str
    """How live data reaches us; says so where there is none."""
    channels: tuple[str, ...]
    bar_intervals: tuple[str, ...]
    dense_bars: bool
    """Whether a quiet interval has a live bar, so that a missing one shows."""
    numbered: tuple[str, ...]
    """Channels in which a missing id shows."""
    history: tuple[str, ...]
    """Channels a Backfill and a repair can fetch."""
    instruments: str
    """What the venue's own list holds, in words; says so where there is none."""
    needs_credentials: bool
    credential_keys: tuple[str, ...]
    """Keys of the Secret that are read; of two spellings the one in camel case."""
    sessions_per_account: int | None
    limits: tuple[tuple[str, str], ...]
    """Names and amounts, in words."""
    source: str
    proof: str


def build_venues(
    adapters: Mapping[str, Adapter], histories: Mapping[str, History]
) -> tuple[VenueView, ...]:
    """Return every venue, by name; one with a past only is among them."""
    return tuple(
        _build(venue, adapters.get(venue), histories.get(venue))
        for venue in sorted({*adapters, *histories})
    )


def _build(venue: str, adapter: Adapter | None, history: History | None) -> VenueView:
    able = adapter.capabilities if adapter is not None else None
    proof = able.proof if able is not None else getattr(history, "proof", Proof.CONSTRUCTED)
    return VenueView(
        venue=venue,
        transport=able.transport.value if able is not None else STANDING_ONLY,
        channels=tuple(sorted(able.channels)) if able is not None else (),
        bar_intervals=_sorted(able.bar_intervals) if able is not None else (),
        dense_bars=able is not None and able.dense_bars,
        numbered=_numbered(able),
        history=_carried(history),
        instruments=_listed(able),
        needs_credentials=able is not None and able.needs_credentials,
        credential_keys=_keys(able),
        sessions_per_account=able.limits.sessions_per_account if able is not None else None,
        limits=(
            *(_limits(able.limits) if able is not None else ()),
            *(_pools(history) if history is not None else ()),
        ),
        source=able.limits.source if able is not None else "",
        proof=proof.value,
    )


def _numbered(able: Capabilities | None) -> tuple[str, ...]:
    return tuple(sorted(able.numbered & able.channels)) if able is not None else ()


def _listed(able: Capabilities | None) -> str:
    if able is None or able.instruments is None:
        return UNLISTED
    listed = able.instruments
    again = f", read every {listed.again_seconds / 3600:g} h" if listed.again_seconds else ""
    return f"{listed.holds}{again}{'' if listed.complete else '; other names are taken on trust'}"


def _keys(able: Capabilities | None) -> tuple[str, ...]:
    return tuple(key for key in able.credential_headers if "_" not in key) if able else ()


def _carried(history: History | None) -> tuple[str, ...]:
    if history is None:
        return ()
    kinds = [kind.value for kind in ChannelKind if kind is not ChannelKind.BAR]
    bars = [f"{ChannelKind.BAR.value}-{interval}" for interval in HISTORY_INTERVALS]
    return tuple(channel for channel in (*sorted(kinds), *bars) if history.carries(channel))


def _limits(limits: VenueLimits) -> tuple[tuple[str, str], ...]:
    return (
        ("control messages", f"{limits.control_messages_per_second:,} per second and connection"),
        ("channels per connection", f"{limits.streams_per_connection:,}"),
        ("connects", f"{limits.connects_per_five_minutes:,} in five minutes"),
        ("request weight", f"{limits.request_weight_per_minute:,} per minute"),
        ("connection life", f"{limits.connection_life_seconds / 3600:g} h"),
    )


def _pools(history: History) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"requests of {name}", f"{pool.requests:,} in {pool.window_ns / 1e9:g} s")
        for name, pool in sorted(history.pools.items())
    )


def _sorted(intervals: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(intervals, key=lambda one: (UNITS.index(one[-1]), int(one[:-1]))))
