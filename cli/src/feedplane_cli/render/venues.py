"""Venues as a table for a terminal, and as the page of the reference."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from feedplane_cli.core.venues import VenueView
from feedplane_cli.render.words import NOTHING
from feedplane_feeder.core.ports import Proof

MEANINGS: Final = {
    Proof.CONSTRUCTED: "frames and a simulator made from the venue's documentation",
    Proof.RECORDED: "besides, frames that the venue itself once sent",
    Proof.TRIED_LIVE: "besides, a connection to the venue itself",
}
_HEAD: Final = """# Venues

What each adapter declares, and how far it is proven. `feedplane venues` prints the same; a
FeedSource names one in `spec.venue`, and [how to add one](../how-to/add-a-venue.md) is short.

*Numbered* are the channels whose ids run without a hole, so that a single missing event shows;
a hole in another channel is known by time only. *History* is what a Backfill and the repair of
gaps can fetch. *Instrument list* is what globs of a selector are looked up in; a venue without one
serves named instruments only. *Credentials* are the keys of an account's Secret. *Sessions* is how
many the venue allows an account; a FeedSource has to say `limits.sessionsPerAccount: 1` for a Lease
that guards the login ([how](../how-to/switch-accounts.md#one-session-per-account)). *Proven with*
says against what the adapter has been tested:
"""


def draw_venues(views: Sequence[VenueView]) -> Group:
    """Return a block per venue."""
    return Group(*(part for view in views for part in _block(view)))


def render_page(views: Sequence[VenueView], note: str) -> str:
    """Return the page of the reference."""
    meanings = "\n".join(f"- **{proof.value}**: {text}" for proof, text in MEANINGS.items())
    table = _table(
        ("venue", "live", "channels", "numbered", "history", "sessions", "proven with"),
        [
            (
                f"[`{view.venue}`](#{view.venue})",
                view.transport,
                _list(view.channels),
                _list(view.numbered),
                _list(_kinds(view.history)),
                _sessions(view),
                view.proof,
            )
            for view in views
        ],
    )
    return "\n".join([f"<!-- {note} -->\n", _HEAD, meanings, "", table, *map(_section, views), ""])


def rows_of(view: VenueView) -> Iterator[tuple[str, str]]:
    """Return everything on a venue, line by line."""
    yield "live", view.transport
    if view.channels:
        yield "channels", _list(view.channels)
    if view.bar_intervals:
        yield "bar intervals", _list(view.bar_intervals)
        yield "quiet intervals", "have a bar" if view.dense_bars else "have no bar"
    if view.channels:
        yield "numbered", _list(view.numbered)
        yield "instrument list", view.instruments
        yield "credentials", _credentials(view)
        yield "sessions per account", _sessions(view)
    yield "history", _list(view.history)
    yield from view.limits
    if view.source:
        yield "stated in", view.source
    yield "proven with", f"{view.proof}: {MEANINGS[Proof(view.proof)]}"


def _block(view: VenueView) -> tuple[Text, Table]:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, value in rows_of(view):
        table.add_row(f"  {name}", value)
    return Text(view.venue, style="bold"), table


def _section(view: VenueView) -> str:
    lines = _table(("", ""), list(rows_of(view)))
    return f"\n## {view.venue}\n\n{lines}"


def _credentials(view: VenueView) -> str:
    keys = _list(view.credential_keys)
    if view.needs_credentials:
        return f"needed: {keys}"
    return f"sent where given: {keys}" if view.credential_keys else "none"


def _sessions(view: VenueView) -> str:
    if not view.channels:
        return NOTHING
    return "any number" if view.sessions_per_account is None else f"{view.sessions_per_account}"


# Bars of all intervals as one.
def _kinds(channels: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(channel.partition("-")[0] for channel in channels))


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or NOTHING


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruled = [titles, ["---"] * len(titles), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in ruled
    )
