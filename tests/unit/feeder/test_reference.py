from pathlib import Path

import pytest

from feedplane_feeder import events
from feedplane_feeder.core import health
from feedplane_feeder.core.health import HealthReason
from feedplane_feeder.events import Event
from feedplane_feeder.reference import main, member_docs, render_pages


def test_every_event_says_what_it_means() -> None:
    documented = member_docs(events, "Event")
    assert set(documented) == {event.name for event in Event}
    assert all(text.endswith(".") for text in documented.values())


def test_every_health_reason_says_what_it_means() -> None:
    documented = member_docs(health, "HealthReason")
    assert set(documented) == {reason.name for reason in HealthReason}


def test_pages_name_what_the_code_defines() -> None:
    pages = render_pages()
    assert "| `gap.detected` |" in pages["events.md"]
    assert "| `venue_banned` |" in pages["events.md"]
    assert "| `StreamStale` | unhealthy at once" in pages["health.md"]
    assert "| `SessionLost` | unhealthy, after" in pages["health.md"]
    assert "| 78 |" in pages["exit-codes.md"]
    assert "`feedplane_feeder_records_total` | counter | `venue`, `channel`" in pages["metrics.md"]
    assert "| `sinks[postgres].dsnPath` | string |" in pages["worker-config.md"]
    assert "| `session.staleAfterSeconds` | integer from 1 | `15` |" in pages["worker-config.md"]


def test_pages_checked_against_stale_files_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ["--folder", str(tmp_path)]
    assert main(["--check", *folder]) == 1
    assert "metrics.md is stale" in capsys.readouterr().err
    assert main(["--write", *folder]) == 0
    assert main(["--check", *folder]) == 0
    (tmp_path / "events.md").write_text("edited")
    assert main(["--check", *folder]) == 1
