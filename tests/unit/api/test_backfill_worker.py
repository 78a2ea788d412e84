from typing import Any

import pytest
import yaml

from feedplane_api.backfill_worker import (
    LONGEST_REPORT,
    BackfillConfig,
    BackfillReport,
    ChunkProblem,
    parse_backfill_config,
    parse_termination,
    render_backfill_config,
    render_termination,
)
from feedplane_api.errors import InvalidWorkerConfigError


def make_config(**fields: Any) -> BackfillConfig:
    return BackfillConfig.model_validate(
        {
            "venue": "binance-spot",
            "wanted": [{"symbol": "BTCUSDT", "channels": ["bar-1m", "trade"]}],
            "start": "2026-10-01T00:00:00Z",
            "end": "2026-11-01T00:00:00Z",
            "sink": {"dsnPath": "/etc/dsn"},
            **fields,
        }
    )


def test_config_written_and_read_is_the_same() -> None:
    config = make_config(mode="Overwrite", sources=["Rest"], workers=8, run="2026-11-21T01:30Z")
    assert parse_backfill_config(render_backfill_config(config)) == config
    assert config.key == "local/local/2026-11-21T01:30Z"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"end": "2026-10-01T00:00:00Z"}, "end must be after start"),
        ({"start": "2026-10-01T00:00:00"}, "start"),
        ({"sources": []}, "sources"),
        ({"wanted": []}, "wanted"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_config_with_a_wrong_field_names_it(fields: dict[str, Any], told: str) -> None:
    document = yaml.safe_load(render_backfill_config(make_config())) | fields
    with pytest.raises(InvalidWorkerConfigError, match=told):
        parse_backfill_config(yaml.safe_dump(document))


def test_termination_message_fits_and_tells_the_first_failures() -> None:
    problem = ChunkProblem(
        instrument="BTCUSDT", channel="trade", day="2026-11-20", reason="BadZip", message="x" * 256
    )
    report = BackfillReport(worker=3, ended=True, chunks_failed=40, failed=(problem,) * 40)
    text = render_termination(report)
    assert len(text.encode()) <= LONGEST_REPORT
    told = parse_termination(text)
    assert told is not None
    assert (told.worker, told.chunks_failed) == (3, 40)
    assert 5 <= len(told.failed) < 40


@pytest.mark.parametrize("text", ["", "Failed: something", "{}x"])
def test_termination_message_of_another_kind_is_no_report(text: str) -> None:
    assert parse_termination(text) is None


def test_config_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(InvalidWorkerConfigError, match="not YAML"):
        parse_backfill_config("{")
