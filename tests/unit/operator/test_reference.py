from pathlib import Path

import pytest

from feedplane_operator import reference
from feedplane_operator.events import EventReason, LogEvent


@pytest.fixture
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)


@pytest.mark.usefixtures("_empty_folder")
def test_pages_written_are_up_to_date() -> None:
    assert reference.main(["--check"]) == 1
    assert reference.main(["--write"]) == 0
    assert reference.main(["--check"]) == 0


def test_pages_name_every_event_and_reason() -> None:
    page = reference.render_operator()
    assert all(f"| `{event.value}` | {event.sentence} |" in page for event in LogEvent)
    assert all(reason.sentence in page for reason in EventReason)
    assert "feedplane_operator_reconciles_total" in page
    assert "| `FEEDPLANE_FEEDER_IMAGE` | required |" in page
    assert "| `FEEDPLANE_HTTP_PORT` | `8080` |" in page


def test_unknown_argument_is_refused() -> None:
    assert reference.main([]) == 64
