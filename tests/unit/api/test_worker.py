from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.worker import (
    LIVE_FIELDS,
    ElectionConfig,
    FileSinkConfig,
    PostgresSinkConfig,
    Wanted,
    WorkerConfig,
    config_hash,
    parse_worker_config,
    render_worker_config,
)

JsonDict = dict[str, Any]

CONFIG = WorkerConfig(
    venue="some-venue",
    wanted=(Wanted(symbol="BTCUSDT", channels=("trade", "bar-1m")),),
    sinks=(PostgresSinkConfig(dsn_path="/run/dsn"), FileSinkConfig(path="-")),
    election=ElectionConfig(namespace="tape", lease_name="feed-publisher-0"),
)


def test_rendered_config_reads_back_the_same() -> None:
    assert parse_worker_config(render_worker_config(CONFIG)) == CONFIG


@given(
    symbols=st.lists(st.from_regex(r"\A[A-Za-z0-9._/-]{1,32}\Z"), max_size=5),
    stale=st.integers(1, 600),
    path=st.text("abc/:#'\" -{}", min_size=1),
)
def test_any_config_reads_back_the_same(symbols: list[str], stale: int, path: str) -> None:
    config = CONFIG.model_copy(
        update={
            "wanted": tuple(Wanted(symbol=symbol, channels=("quote",)) for symbol in symbols),
            "session": CONFIG.session.model_copy(update={"stale_after_seconds": stale}),
            "sinks": (FileSinkConfig(path=path),),
        }
    )
    assert parse_worker_config(render_worker_config(config)) == config


def test_rendered_config_leaves_defaults_out() -> None:
    document = yaml.safe_load(render_worker_config(CONFIG))
    assert document.keys() == {"version", "venue", "wanted", "sinks", "election"}
    assert [sink["kind"] for sink in document["sinks"]] == ["postgres", "file"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("venue: [", "(document)"),
        ("just words", "(document)"),
        ("venue: 2026-99-99", "(document)"),
        ("venue: some-venue", "sinks"),
        ("{venue: some-venue, sinks: [{kind: file}]}", "sinks.0.file.path"),
        ("{venue: some-venue, sinks: [{kind: file, path: '-'}], nonsense: 1}", "nonsense"),
    ],
)
def test_unusable_config_names_its_field(text: str, path: str) -> None:
    with pytest.raises(InvalidWorkerConfigError) as caught:
        parse_worker_config(text)
    assert caught.value.path == path


def test_hash_changes_with_any_field() -> None:
    other = CONFIG.model_copy(update={"shard": 1})
    assert config_hash(CONFIG) == config_hash(parse_worker_config(render_worker_config(CONFIG)))
    assert config_hash(CONFIG) != config_hash(other)


def test_hash_for_rollouts_passes_over_live_fields() -> None:
    live = CONFIG.model_copy(update={"wanted": ()})
    rolled = CONFIG.model_copy(update={"http_port": 9000})
    assert config_hash(live, live=False) == config_hash(CONFIG, live=False)
    assert config_hash(rolled, live=False) != config_hash(CONFIG, live=False)
    assert WorkerConfig.model_fields.keys() >= LIVE_FIELDS
