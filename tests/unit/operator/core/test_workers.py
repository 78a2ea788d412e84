from datetime import UTC, datetime
from typing import Any

import pytest
from support_plans import children_of, parse_feed, parse_subscription, workers_of
from support_resources import subscription

from feedplane_api.market_hours import MarketHours, TradingHours
from feedplane_api.sinks import Sink
from feedplane_api.worker import FileSinkConfig, PostgresSinkConfig, config_hash
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import ref_of
from feedplane_operator.core.roster import RUNS
from feedplane_operator.core.workers import (
    Worker,
    plan_should,
    plan_workers,
    read_assignment,
)

TWO = [{"name": "a"}, {"name": "b"}]
CHECKED = {"checkDays": 30}


def _observed(*symbols: str, **fields: object) -> Observed:
    wanted = parse_subscription(subscription("s", "spot", instruments=list(symbols)))
    return Observed(subscriptions=(wanted,), **fields)  # type: ignore[arg-type]


def _names(workers: tuple[Worker, ...]) -> list[str]:
    return [worker.name for worker in workers]


def test_feeders_are_one_per_account_and_shard() -> None:
    feed = parse_feed(accounts=TWO, sharding={"maxInstrumentsPerShard": 1})
    workers = workers_of(feed, _observed("BTCUSDT", "ETHUSDT"))
    assert _names(workers) == ["spot-a-0", "spot-b-0", "spot-a-1", "spot-b-1"]
    assert [len(worker.config.wanted) for worker in workers] == [1, 1, 1, 1]


def test_feed_nobody_wants_anything_of_keeps_one_feeder() -> None:
    should = plan_should(parse_feed(), Observed())
    assert should.shard_numbers == (0,)
    assert should.pairs == 0


def test_account_a_person_wants_active_is_policy_and_restarts_nothing() -> None:
    plain, wanted = (parse_feed(accounts=TWO, activeAccount=name) for name in (None, "b"))
    before, after = (workers_of(feed, Observed()) for feed in (plain, wanted))
    assert [worker.config.policy.active_account for worker in after] == ["b", "b"]
    assert [config_hash(worker.config, live=False) for worker in before] == [
        config_hash(worker.config, live=False) for worker in after
    ]


@pytest.mark.parametrize(
    ("spec", "running"),
    [
        pytest.param({"failover": {"mode": "Hot"}}, [True, True], id="hot standbys run"),
        pytest.param({"failover": {"mode": "Cold"}}, [True, False], id="cold standbys are stopped"),
        pytest.param({"state": "Paused"}, [False, False], id="a paused feed runs nothing"),
    ],
)
def test_feeders_run_as_mode_and_state_say(spec: dict[str, Any], running: list[bool]) -> None:
    workers = workers_of(parse_feed(accounts=TWO, **spec), Observed())
    assert [worker.running for worker in workers] == running


def test_fronts_of_an_account_are_its_stream() -> None:
    account = {"name": "a", "fronts": ["tcp://192.0.2.1:41213", "tcp://192.0.2.2:41213"]}
    (worker,) = workers_of(parse_feed(accounts=[account]), Observed())
    assert worker.config.endpoints.stream == "tcp://192.0.2.1:41213,tcp://192.0.2.2:41213"


def test_endpoints_of_the_account_come_before_those_of_the_feed() -> None:
    account = {"name": "a", "endpoints": {"stream": "wss://mine:1"}}
    endpoints = {"stream": "wss://all:2", "rest": "https://all:3"}
    (worker,) = workers_of(parse_feed(accounts=[account], endpoints=endpoints), Observed())
    assert worker.config.endpoints.stream == "wss://mine:1"
    assert worker.config.endpoints.rest == "https://all:3"


def test_configuration_carries_what_the_spec_says() -> None:
    feed = parse_feed(
        accounts=[{"name": "a", "credentialsSecretRef": {"name": "login"}}],
        failover={"staleAfterSeconds": 7},
        limits={"streamsPerConnection": 50},
        feeder={"logLevel": "Debug"},
        sinks=[
            {
                "name": "db",
                "postgres": {
                    "dsnSecretRef": {"name": "db", "key": "url"},
                    "retentionDays": 30,
                    "compressAfterDays": 7,
                },
            },
            {"name": "disk", "file": {"path": "/data"}},
        ],
    )
    (worker,) = workers_of(feed, _observed("BTCUSDT"))
    config = worker.config
    assert config.credentials_path == "/var/run/feedplane/credentials"
    assert config.session.stale_after_seconds == 7
    assert config.limits.streams_per_connection == 50
    assert config.log_level == "DEBUG"
    database, disk = config.sinks
    assert isinstance(database, PostgresSinkConfig)
    assert database.dsn_path == "/var/run/feedplane/sinks/db/url"
    assert (database.retention_days, database.compress_after_days) == (30, 7)
    assert isinstance(disk, FileSinkConfig)
    assert disk.path == "/data"
    assert config.election is not None
    assert config.election.lease_name == "spot-publisher-0"
    assert worker.config_hash == config_hash(config)


@pytest.mark.parametrize(("kept", "checked"), [(None, 30), (100, 30), (7, 6), (1, 0)])
def test_days_that_retention_took_are_not_checked(kept: int | None, checked: int) -> None:
    database = {"dsnSecretRef": {"name": "db"}, "retentionDays": kept}
    sinks = [{"name": "db", "postgres": database}, {"name": "disk", "file": {"path": "/data"}}]
    (worker,) = workers_of(parse_feed(sinks=sinks, session=CHECKED), Observed())
    assert worker.config.session.check_days == checked


def test_tape_in_files_is_not_checked() -> None:
    feed = parse_feed(sinks=[{"name": "disk", "file": {"path": "/data"}}], session=CHECKED)
    assert workers_of(feed, Observed())[0].config.session.check_days == 0


def test_sink_that_checks_should_have_refused_is_our_bug() -> None:
    feed = parse_feed()
    nats = Sink.model_validate({"name": "bus", "nats": {"servers": ["nats://n:4222"]}})
    broken = feed.model_copy(update={"spec": feed.spec.model_copy(update={"sinks": (nats,)})})
    with pytest.raises(ValueError, match="bus"):
        plan_workers(broken, plan_should(broken, Observed()), {"a": RUNS})


def test_assignment_is_read_back_from_config_maps() -> None:
    feed = parse_feed(accounts=TWO, sharding={"maxInstrumentsPerShard": 1})
    observed = _observed("BTCUSDT", "ETHUSDT")
    children = {ref_of(child): child for child in children_of(feed, observed).values()}
    wanted, shards = read_assignment(children)
    assert set(wanted) == {"BTCUSDT", "ETHUSDT"}
    assert shards == dict(plan_should(feed, observed).shards)


def test_config_map_broken_by_hand_says_nothing() -> None:
    feed = parse_feed()
    children = {ref_of(child): child for child in children_of(feed, _observed("A")).values()}
    ref = next(ref for ref in children if ref.kind == "ConfigMap")
    broken = {**children[ref], "data": {"worker.yaml": "venue: ["}}
    assert read_assignment({ref: broken}) == ({}, {})


def test_broken_subscription_takes_nothing_away() -> None:
    feed = parse_feed()
    first = _observed("BTCUSDT")
    children = {ref_of(child): child for child in children_of(feed, first).values()}
    observed = Observed(children=children, broken_subscriptions=("s",))
    assert set(plan_should(feed, observed).wanted) == {"BTCUSDT"}
    assert not plan_should(feed, Observed(children=children)).wanted


def _hours(day: int) -> MarketHours:
    monday = datetime(2026, 11, day, tzinfo=UTC)
    opening = f"2026-11-{day}T01:30Z/2026-11-{day}T03:30Z"
    return MarketHours(since=monday, until=monday, lines=(TradingHours(openings=(opening,)),))


def test_hours_reach_feeders_live_and_stay_until_others_are_known() -> None:
    feed = parse_feed(session={"calendar": "XSHG"})
    told = workers_of(feed, Observed(hours=_hours(23)))
    assert told[0].config.session.hours == _hours(23)
    unknown = workers_of(feed, Observed())
    assert unknown[0].config.session.hours is None
    assert config_hash(told[0].config, live=False) == config_hash(unknown[0].config, live=False)
    # An operator that starts has not asked its calendar yet.
    made = children_of(feed, Observed(hours=_hours(23))).values()
    children = {ref_of(child): child for child in made}
    again = workers_of(feed, Observed(children=children))
    assert again[0].config.session.hours == _hours(23)
    later = workers_of(feed, Observed(children=children, hours=_hours(24)))
    assert later[0].config.session.hours == _hours(24)
    # A market that never closes has none, whatever was told before.
    always = workers_of(parse_feed(), Observed(children=children))
    assert always[0].config.session.hours is None


def test_look_at_the_tape_waits_for_the_hours() -> None:
    def days(calendar: str, observed: Observed) -> int:
        feed = parse_feed(session={"calendar": calendar, "checkDays": 30})
        return workers_of(feed, observed)[0].config.session.check_days

    assert days("AlwaysOpen", Observed()) == 30
    assert days("XSHG", Observed()) == 0
    assert days("XSHG", Observed(hours=_hours(23))) == 30
