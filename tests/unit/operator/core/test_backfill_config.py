from datetime import UTC, datetime
from typing import Any

from support_plans import NOW, parse_feed
from support_resources import BACKFILL

from feedplane_api.backfill import Backfill
from feedplane_operator.core.backfill_config import build_config, find_database
from feedplane_operator.core.backfill_runs import Run

WANTED: Any = ({"symbol": "BTCUSDT", "channels": ["trade"]},)


def parsed(**spec: Any) -> Backfill:
    body = {**BACKFILL["spec"], **spec}  # type: ignore[dict-item]
    return Backfill.parse({**BACKFILL, "spec": {k: v for k, v in body.items() if v is not None}})


def test_configuration_takes_over_what_the_feed_source_says() -> None:
    feed = parse_feed(
        endpoints={"rest": "http://rest", "archive": "http://archive"},
        accounts=[
            {
                "name": "a",
                "credentialsSecretRef": {"name": "login"},
                "endpoints": {"rest": "http://mine"},
            }
        ],
        limits={"requestWeightPerMinute": 600, "backfillSharePercent": 20},
    )
    config = build_config(parsed(parallelism=3), feed, WANTED, Run(name="r"), NOW)
    assert (config.endpoints.rest, config.endpoints.archive) == ("http://mine", "http://archive")
    assert config.credentials_path == "/var/run/feedplane/credentials"
    assert config.limits.backfill_share_percent == 20
    assert config.sink.dsn_path == "/var/run/feedplane/sinks/db/dsn"
    assert (config.key, config.workers) == ("default/history/r", 3)


def test_window_ends_with_the_day_the_run_began_on() -> None:
    backfill = parsed(range=None, window={"lastDays": 2})
    config = build_config(backfill, parse_feed(), WANTED, Run(name="r"), NOW)
    assert config.start == datetime(2026, 11, 19, tzinfo=UTC)
    assert config.end == datetime(2026, 11, 21, tzinfo=UTC)


def test_database_is_the_first_of_the_sinks() -> None:
    sinks = [
        {"name": "out", "file": {"path": "/data"}},
        {"name": "one", "postgres": {"dsnSecretRef": {"name": "one"}}},
        {"name": "two", "postgres": {"dsnSecretRef": {"name": "two"}}},
    ]
    found = find_database(parse_feed(sinks=sinks))
    assert found is not None
    assert found[0] == "one"
    assert find_database(parse_feed(sinks=sinks[:1])) is None
