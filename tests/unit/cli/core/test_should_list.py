from typing import Any

from support_cli import feed, subscription

from feedplane_api.worker import FileSinkConfig, Wanted, WorkerConfig, render_worker_config
from feedplane_cli.core.should_list import build_should_list, read_configs


def config_map(*symbols: str) -> dict[str, Any]:
    config = WorkerConfig(
        venue="binance-spot",
        wanted=tuple(Wanted(symbol=symbol, channels=("trade",)) for symbol in symbols),
        sinks=(FileSinkConfig(path="-"),),
    )
    return {"data": {"worker.yaml": render_worker_config(config)}}


def test_instruments_by_name_are_wanted_in_any_case() -> None:
    should = build_should_list(subscription(), feed(), ())
    assert should.pairs == (("BTCUSDT", "trade"),)
    assert (should.venue, should.schema, should.calendar) == (
        "binance-spot",
        "feedplane",
        "AlwaysOpen",
    )


def test_globs_are_looked_up_in_what_feeders_were_told() -> None:
    wanted = subscription()
    wanted["spec"] = {
        "instruments": ["XRPBTC"],
        "selector": {"include": ["*USDT"], "exclude": ["DOGE*"], "maxInstruments": 2},
        "channels": ["trade", "quote"],
    }
    maps = [config_map("SOLUSDT", "BTCUSDT", "DOGEUSDT"), config_map("ETHUSDT"), {}]
    should = build_should_list(wanted, feed(), read_configs(maps))
    assert [pair for pair in should.pairs if pair[1] == "quote"] == [
        ("BTCUSDT", "quote"),
        ("ETHUSDT", "quote"),
        ("XRPBTC", "quote"),
    ]


def test_configuration_of_another_release_is_passed_over() -> None:
    assert read_configs([{"data": {"worker.yaml": "version: 9"}}]) == ()


def test_feed_without_a_database_has_no_schema() -> None:
    sinks = [{"name": "bus", "nats": {}}]
    assert build_should_list(subscription(), feed(sinks=sinks), ()).schema == ""
    named = [{"name": "db", "postgres": {"schema": "tape"}}]
    assert build_should_list(subscription(), feed(sinks=named), ()).schema == "tape"
