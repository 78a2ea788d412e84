from pathlib import Path

import pytest

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import ExitCode
from feedplane_feeder.endings import (
    LONGEST_MESSAGE,
    explain_ending,
    gravest,
    write_termination_log,
)
from feedplane_feeder.errors import SinkRefusedError, SinkUnavailableError, UnknownVenueError

UNKNOWN = UnknownVenueError("nowhere", ("somewhere",))
REFUSED = SinkRefusedError("main", "TimescaleDB 2.17.0 loses rows; 2.18.1 is needed")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        pytest.param(
            InvalidWorkerConfigError("sinks.0.path", "Field required"),
            ExitCode.CONFIG_INVALID,
            "InvalidConfig: Expected a usable worker configuration, was wrong at sinks.0.path:"
            " Field required",
            id="field that cannot be used",
        ),
        pytest.param(
            UNKNOWN,
            ExitCode.CONFIG_INVALID,
            "UnknownVenue: Expected one of the venues somewhere, was nowhere",
            id="venue without an adapter",
        ),
        pytest.param(
            REFUSED,
            ExitCode.SINK_REFUSED,
            "SinkRefused: Expected a usable sink main, was refused: TimescaleDB 2.17.0 loses rows;"
            " 2.18.1 is needed",
            id="sink that can never work",
        ),
        pytest.param(
            RuntimeError("postgresql://feed:s3cr3t@db/x is odd"),
            ExitCode.FAILURE,
            "Failed: RuntimeError: postgresql://feed:***@db/x is odd",
            id="bug with a secret in its text",
        ),
        pytest.param(KeyError(), ExitCode.FAILURE, "Failed: KeyError: KeyError", id="silent bug"),
    ],
)
def test_error_that_ends_the_process_is_explained(
    error: Exception, code: int, message: str
) -> None:
    ending = explain_ending(error)
    assert (ending.code, ending.message) == (code, message)


def test_group_of_errors_is_explained_by_its_gravest() -> None:
    group = ExceptionGroup(
        "tasks",
        [SinkUnavailableError("main", "away"), ExceptionGroup("inner", [ValueError(), REFUSED])],
    )
    assert gravest(group) is REFUSED
    assert explain_ending(group).error is REFUSED


def test_message_longer_than_the_kubelet_takes_is_cut() -> None:
    assert len(explain_ending(ValueError("x" * 5_000)).message) == LONGEST_MESSAGE


def test_termination_log_is_written_only_where_it_exists(tmp_path: Path) -> None:
    absent, present = tmp_path / "absent", tmp_path / "present"
    present.touch()
    for path in (absent, present, tmp_path):
        write_termination_log(path, "Failed: x")
    assert present.read_text() == "Failed: x"
    assert not absent.exists()
