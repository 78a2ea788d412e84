from typing import Any

import pytest
from support_resources import feeder_status, mute, utc

from feedplane_api.worker import Coverage, ElectionReport, GapCount, SessionState, SinkReport
from feedplane_operator.core.observed import FeederView
from feedplane_operator.feeders import sign

BASE = FeederView(report=feeder_status())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"events_per_second": 9}, id="rate"),
        pytest.param({"lag_milliseconds": 999}, id="lag"),
        pytest.param({"time": utc()}, id="time"),
        pytest.param({"last_event_milliseconds": {"A": 5}}, id="newest event"),
        pytest.param({"reconnects": 7}, id="reconnects"),
    ],
)
def test_figures_alone_are_no_news(changes: dict[str, Any]) -> None:
    assert sign(FeederView(report=feeder_status(**changes))) == sign(BASE)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"session": SessionState.STALE}, id="session"),
        pytest.param({"problems": (mute("A"),)}, id="a channel that is mute"),
        pytest.param({"coverage": Coverage(wanted=1, live=0)}, id="coverage"),
        pytest.param({"config_hash": "new"}, id="configuration taken over"),
        pytest.param({"gaps": (GapCount(symbol="A", channel="trade", open=1),)}, id="a gap"),
        pytest.param({"sinks": (SinkReport(name="db", kind="postgres"),)}, id="sink away"),
        pytest.param({"election": ElectionReport(holder="b")}, id="another holder"),
        pytest.param({"banned_until_time": utc()}, id="ban"),
    ],
)
def test_what_a_person_would_notice_is_news(changes: dict[str, Any]) -> None:
    assert sign(FeederView(report=feeder_status(**changes))) != sign(BASE)


def test_silence_is_told_apart_from_never_asked() -> None:
    assert sign(FeederView(error="Timeout")) != sign(FeederView())
