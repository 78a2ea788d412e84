from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from feedplane_api.backfill import Backfill
from feedplane_cluster.demo_history import backfill_manifest, ledger_table, told

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


def test_backfill_manifest_is_valid_and_ends_now() -> None:
    manifest = backfill_manifest(NOON)
    Backfill.parse(manifest)
    assert manifest["spec"]["range"] == {
        "start": "2026-11-19T00:00:00Z",
        "end": "2026-11-21T12:00:00Z",
    }


def test_condition_that_is_not_there_is_empty() -> None:
    found = {"status": {"conditions": [{"type": "Running", "reason": "Queued"}]}}
    assert told(found, "Running")["reason"] == "Queued"
    assert told(found, "Failed") == {}
    assert told({}, "Failed") == {}


def test_ledger_table_shows_each_look(tmp_path: Path) -> None:
    target = tmp_path / "table.txt"
    with target.open("w") as file:
        Console(file=file, width=100).print(
            ledger_table([(0.5, [3, 0, 0, 0, 0]), (1.0, [0, 0, 3, 0, 41])])
        )
    lines = target.read_text().splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["0.5", "s", "3", "0", "0", "0", "0"],
        ["1.0", "s", "0", "0", "3", "0", "41"],
    ]
