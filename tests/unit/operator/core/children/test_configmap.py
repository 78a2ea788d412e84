from support_plans import children_of, parse_feed, parse_subscription, workers_of
from support_resources import subscription

from feedplane_api.worker import config_hash, parse_worker_config
from feedplane_operator.core.children.configmap import (
    ANNOTATION_WORKER_HASH,
    _Unhashed,
)
from feedplane_operator.core.observed import Observed

OBSERVED = Observed(subscriptions=(parse_subscription(subscription("s", "spot")),))


def test_config_map_reads_back_as_the_feeders_configuration() -> None:
    (worker,) = workers_of(parse_feed(), OBSERVED)
    child = children_of(parse_feed(), OBSERVED)["ConfigMap/spot-a-0"]
    read = parse_worker_config(child["data"]["worker.yaml"])
    assert read == worker.config
    # The feeder reports this hash once it has taken the document over.
    assert child["metadata"]["annotations"][ANNOTATION_WORKER_HASH] == config_hash(read)


def test_rendered_text_is_told_apart_by_its_hash() -> None:
    plain, other = children_of(parse_feed(), OBSERVED), children_of(parse_feed(), Observed())
    key = "ConfigMap/spot-a-0"
    assert plain[key]["data"] != other[key]["data"]
    (worker,) = workers_of(parse_feed(), OBSERVED)
    assert _Unhashed(worker.config) != worker.config
