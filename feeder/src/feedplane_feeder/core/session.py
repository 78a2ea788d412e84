"""Session: the states of one connection's life, the worst of several, and why one ends.

    DISCONNECTED -> CONNECTING -> SUBSCRIBING -> STREAMING <-> STALE
          ^______________________________________________________|

Derived, never stored: the same facts give the same state. Must not know sockets.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from feedplane_api.worker import SessionState

_WORST_FIRST: Final = (
    SessionState.DISCONNECTED,
    SessionState.CONNECTING,
    SessionState.SUBSCRIBING,
    SessionState.STALE,
    SessionState.STREAMING,
)


class Cause(StrEnum):
    """Why a connection is replaced or was lost; the `cause` label of the reconnect metric."""

    AGE = "age"
    VENUE = "venue"
    MUTE = "mute"
    DEAD = "dead"
    LOST = "lost"
    REFUSED = "refused"
    CREDENTIALS = "credentials"


SILENT: Final = (Cause.MUTE, Cause.DEAD)
"""Causes by which a connection kept to itself what nothing else tells of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What is known about one connection."""

    connecting: bool
    """A handshake is under way."""
    is_open: bool
    acknowledged: int
    """Channels the venue confirmed on this connection."""
    frames: int
    """Good frames since it opened."""
    mute: bool
    """Silent for longer than its own rate explains."""


def session_state(facts: SessionFacts) -> SessionState:
    """Return the state these facts amount to."""
    if not facts.is_open:
        return SessionState.CONNECTING if facts.connecting else SessionState.DISCONNECTED
    if facts.mute:
        return SessionState.STALE
    if facts.acknowledged == 0 and facts.frames == 0:
        return SessionState.SUBSCRIBING
    return SessionState.STREAMING


def worst_state(states: Iterable[SessionState]) -> SessionState:
    """Return the worst of them; Disconnected when there is none."""
    present = set(states)
    return next((state for state in _WORST_FIRST if state in present), SessionState.DISCONNECTED)
