import re

from prometheus_client import CollectorRegistry

from feedplane_feeder.metrics import Metrics

ALLOWED_LABELS = {"venue", "channel", "cause", "state", "sink", "result", "reason", "priority"}
UNIT = re.compile(r"^feedplane_(feeder|failover)[a-z_]*$")


def test_metrics_all_follow_the_naming_rules() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    families = list(registry.collect())
    assert len(families) > 20
    for family in families:
        assert UNIT.match(family.name), family.name
        assert family.documentation.endswith("."), family.name
    labels = {
        label
        for metric in vars(Metrics(CollectorRegistry())).values()
        for label in getattr(metric, "_labelnames", ())
    }
    assert labels == ALLOWED_LABELS


def test_metrics_counting_a_batch_show_its_sum() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.records_total.labels("some-venue", "trade").inc(500)
    labels = {"venue": "some-venue", "channel": "trade"}
    assert registry.get_sample_value("feedplane_feeder_records_total", labels) == 500
