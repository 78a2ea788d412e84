import pytest

from feedplane_api.worker import SessionState
from feedplane_feeder.core.session import SessionFacts, session_state, worst_state

CLOSED = SessionFacts(connecting=False, is_open=False, acknowledged=0, frames=0, mute=False)


def facts(
    *,
    connecting: bool = False,
    is_open: bool = True,
    acknowledged: int = 0,
    frames: int = 0,
    mute: bool = False,
) -> SessionFacts:
    return SessionFacts(
        connecting=connecting,
        is_open=is_open,
        acknowledged=acknowledged,
        frames=frames,
        mute=mute,
    )


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (CLOSED, SessionState.DISCONNECTED),
        (facts(is_open=False, connecting=True), SessionState.CONNECTING),
        (facts(), SessionState.SUBSCRIBING),
        (facts(acknowledged=1), SessionState.STREAMING),
        (facts(frames=1), SessionState.STREAMING),
        (facts(acknowledged=1, frames=9, mute=True), SessionState.STALE),
    ],
)
def test_session_facts_amount_to_one_state(seen: SessionFacts, state: SessionState) -> None:
    assert session_state(seen) is state


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ([], SessionState.DISCONNECTED),
        ([SessionState.STREAMING, SessionState.STREAMING], SessionState.STREAMING),
        ([SessionState.STREAMING, SessionState.STALE], SessionState.STALE),
        ([SessionState.SUBSCRIBING, SessionState.STALE], SessionState.SUBSCRIBING),
        ([SessionState.STREAMING, SessionState.DISCONNECTED], SessionState.DISCONNECTED),
    ],
)
def test_worst_of_several_sessions_counts(states: list[SessionState], worst: SessionState) -> None:
    assert worst_state(states) is worst
