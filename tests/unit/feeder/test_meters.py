from msgspec import Raw
from prometheus_client import CollectorRegistry

from feedplane_api.worker import HealthReport
from feedplane_feeder.core.tape import Taken
from feedplane_feeder.meters import SECOND_NS, Meters
from feedplane_feeder.metrics import Metrics
from feedplane_feeder.records import BookDelta, Gap, Record, Trade

VENUE = "some-venue"


def meters() -> tuple[Meters, CollectorRegistry]:
    registry = CollectorRegistry()
    return Meters(Metrics(registry), VENUE), registry


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"feedplane_feeder_{name}", {"venue": VENUE, **labels})


def taken(count: int, lag_ns: int = 3_000_000) -> Taken:
    records: list[Record] = [Trade("X.Y", 0, lag_ns, n, "1", "1", "B") for n in range(count)]
    return Taken(records=records, counts={"trade": count})


def test_meters_hand_on_sums_once_flushed() -> None:
    made, registry = meters()
    made.add_frames([b"ab", b"c"], 1)
    made.add_taken(taken(2))
    assert sample(registry, "records_total", channel="trade") is None
    made.flush(0)
    assert sample(registry, "records_total", channel="trade") == 2
    assert sample(registry, "frames_total") == 2
    assert sample(registry, "bytes_total") == 3
    assert made.window() == (2, 2, 1)


def test_meters_count_what_is_rare_at_once() -> None:
    made, registry = meters()
    gap = Gap(instrument_id="X.Y", channel="bar-1m", cause="sequence", detected_at=1)
    made.add_taken(Taken(gaps=[gap], duplicates={"trade": 3}, out_of_order={"book": 1}))
    made.add_quarantined(["", "bar-5m"])
    made.add_reconnect("lost")
    made.add_rotation()
    assert sample(registry, "gaps_total", channel="bar") == 1
    assert sample(registry, "duplicates_total", channel="trade") == 3
    assert sample(registry, "out_of_order_total", channel="book") == 1
    assert sample(registry, "quarantined_total", channel="unknown") == 1
    assert sample(registry, "quarantined_total", channel="bar") == 1
    assert sample(registry, "reconnects_total", cause="lost") == 1
    assert sample(registry, "rotations_total") == 1
    assert (made.reconnects, made.rotations) == (1, 1)


def test_rate_is_over_the_last_ten_seconds() -> None:
    made, _ = meters()
    assert made.events_per_second() == 0
    for half in range(60):
        made.add_taken(taken(50))
        made.flush(half * SECOND_NS // 2)
    assert made.events_per_second() == 100


def test_lag_is_the_median_of_the_newest() -> None:
    made, registry = meters()
    assert made.lag_milliseconds() is None
    for lag_ms in (1, 2, 900):
        made.add_taken(taken(1, lag_ms * 1_000_000))
    assert made.lag_milliseconds() == 2
    delta = BookDelta("X.Y", 0, 5, 1, 1, None, Raw(b"[]"), Raw(b"[]"))
    made.add_taken(Taken(records=[delta], counts={"book": 1}))
    assert sample(registry, "lag_seconds_count", channel="book") == 1


def test_levels_are_set_as_they_stand() -> None:
    made, registry = meters()
    made.gauge(states={"live": 7}, connections=2, weight_used=30, active=True)
    assert sample(registry, "coverage_channels", state="live") == 7
    assert sample(registry, "connections") == 2
    assert sample(registry, "request_weight_used") == 30
    assert sample(registry, "active") == 1


def test_health_is_told_with_the_reason_in_force() -> None:
    made, registry = meters()
    made.set_health(HealthReport(healthy=False, reason="StreamStale"))
    assert sample(registry, "healthy") == 0
    made.set_health(HealthReport(healthy=True, reason="Healthy"))
    assert sample(registry, "healthy") == 1
    assert sample(registry, "health_reason", reason="StreamStale") == 0
    assert sample(registry, "health_reason", reason="Healthy") == 1
