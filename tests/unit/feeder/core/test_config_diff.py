import pytest

from feedplane_api.worker import (
    LIVE_FIELDS,
    FileSinkConfig,
    Limits,
    SessionConfig,
    Wanted,
    WorkerConfig,
)
from feedplane_feeder.core.config_diff import ConfigDifference, adopt_live, compare_configs
from feedplane_feeder.core.ports import Channel

BASE = WorkerConfig(
    venue="some-venue",
    wanted=(Wanted(symbol="BTCUSDT", channels=("trade", "quote")),),
    sinks=(FileSinkConfig(path="-"),),
)


def changed(**fields: object) -> WorkerConfig:
    return BASE.model_copy(update=fields)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        pytest.param(BASE, ConfigDifference(), id="nothing changed"),
        pytest.param(
            changed(
                wanted=(
                    Wanted(symbol="BTCUSDT", channels=("trade",)),
                    Wanted(symbol="ETHUSDT", channels=("trade",)),
                )
            ),
            ConfigDifference(
                live=("wanted",),
                added=(Channel("ETHUSDT", "trade"),),
                removed=(Channel("BTCUSDT", "quote"),),
            ),
            id="instruments are taken over",
        ),
        pytest.param(
            changed(limits=Limits(streams_per_connection=5), session=SessionConfig()),
            ConfigDifference(live=("limits",)),
            id="limits are taken over",
        ),
        pytest.param(
            changed(venue="another-venue", shard=1, session=SessionConfig(stale_after_seconds=3)),
            ConfigDifference(live=("session",), restart=("shard", "venue")),
            id="what a process cannot change is named apart",
        ),
    ],
)
def test_configs_compared_name_each_changed_field(
    new: WorkerConfig, expected: ConfigDifference
) -> None:
    assert compare_configs(BASE, new) == expected


def test_config_adopting_live_fields_keeps_all_others() -> None:
    new = changed(venue="another-venue", limits=Limits(streams_per_connection=5))
    adopted = adopt_live(BASE, new)
    assert adopted.venue == BASE.venue
    assert adopted.limits == new.limits
    assert set(compare_configs(BASE, adopted).live) <= LIVE_FIELDS
    assert compare_configs(BASE, adopted).restart == ()
