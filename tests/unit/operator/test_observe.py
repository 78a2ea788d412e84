from datetime import UTC, datetime
from typing import Any

import pytest
from support_plans import stored
from support_resources import JsonDict, feed_source, subscription

from feedplane_api.names import LEASE_CHANGED_REASON
from feedplane_operator.cache import Cache
from feedplane_operator.core.observed import Defaults, FeederView
from feedplane_operator.core.plan import Ref
from feedplane_operator.observe import Observer, parse_lease

FEED = ("default", "spot")


def _put(cache: Cache, manifest: JsonDict, version: int = 1, **metadata: Any) -> None:
    made = stored(manifest)
    made["metadata"] |= {"resourceVersion": str(version), **metadata}
    cache.put(made)


def _account(secret: str) -> list[JsonDict]:
    return [{"name": "a", "credentialsSecretRef": {"name": secret}}]


def test_lease_is_read_with_all_it_says() -> None:
    spec = {
        "holderIdentity": "a/pod",
        "leaseTransitions": 3,
        "acquireTime": "2026-11-21T08:00:00.000000Z",
        "renewTime": "2026-11-21T08:00:01.500000Z",
        "leaseDurationSeconds": 6,
    }
    annotations = {LEASE_CHANGED_REASON: "SessionLost"}
    lease = parse_lease({"metadata": {"annotations": annotations}, "spec": spec})
    assert (lease.account, lease.epoch, lease.duration_seconds) == ("a", 3, 6)
    assert lease.renew_time == datetime(2026, 11, 21, 8, 0, 1, 500_000, UTC)
    assert lease.reason == "SessionLost"


def test_lease_nobody_took_says_nothing() -> None:
    lease = parse_lease({"metadata": {}})
    assert (lease.holder, lease.epoch, lease.renew_time) == ("", 0, None)


def test_observed_holds_what_was_watched_and_learned() -> None:
    cache = Cache()
    observer = Observer(cache, Defaults(image="feeder:1"))
    _put(cache, feed_source("spot"))
    _put(cache, subscription("good", "spot"))
    _put(cache, subscription("bad", "spot", channels=["gossip"]))
    _put(cache, subscription("going", "spot"), deletionTimestamp="now")
    memory = observer.memory(FEED)
    memory.feeders["spot-a-0"] = FeederView(error="Timeout")
    memory.listing = {"BTCUSDT": True}
    observed = observer.observe(FEED)
    assert [entry.metadata.name for entry in observed.subscriptions] == ["good"]
    assert observed.broken_subscriptions == ("bad",)
    assert observed.subscription_names == {"good"}
    assert observed.feeders["spot-a-0"].error == "Timeout"
    assert observed.listing == {"BTCUSDT": True}
    assert observed.defaults.image == "feeder:1"
    assert observed.feed_source is not None
    observer.forget(FEED)
    assert observer.observe(FEED).feeders == {}


def test_mount_failure_is_put_on_its_pod() -> None:
    cache = Cache()
    observer = Observer(cache, Defaults())
    labels = {
        "feedplane.dev/feed-source": "spot",
        "feedplane.dev/account": "a",
        "feedplane.dev/shard": "0",
    }
    for name in ("one", "two"):
        metadata = {"name": name, "namespace": "default", "labels": labels}
        cache.put({"kind": "Pod", "metadata": metadata})
    observer.memory(FEED).mount_failures["one"] = "no secret"
    pods = observer.observe(FEED).pods["spot-a-0"]
    assert {pod.name: pod.mount_failure for pod in pods} == {"one": "no secret", "two": ""}


def test_account_belongs_to_the_feed_source_that_was_first() -> None:
    cache = Cache()
    observer = Observer(cache, Defaults())
    early, late = "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"
    _put(cache, feed_source("elder", accounts=_account("login")), creationTimestamp=early)
    _put(cache, feed_source("spot", accounts=_account("login")), creationTimestamp=late)
    _put(cache, feed_source("other", accounts=_account("else")), creationTimestamp=early)
    elsewhere = feed_source("afar", "elsewhere", accounts=_account("login"))
    _put(cache, elsewhere, creationTimestamp=early)
    assert observer.observe(FEED).account_rivals == {"a": "elder"}
    assert observer.observe(("default", "elder")).account_rivals == {}
    assert observer.observe(("default", "nowhere")).account_rivals == {}


@pytest.mark.parametrize(
    ("spec", "same"),
    [
        pytest.param({}, True, id="the same login"),
        pytest.param({"venue": "binance-usdm"}, False, id="another venue"),
        pytest.param({"endpoints": {"rest": "https://proxy.example"}}, False, id="another door"),
        pytest.param(
            {"endpoints": {"rest": "https://proxy.example"}, "limits": {"sessionsPerAccount": 1}},
            True,
            id="another door to one session",
        ),
    ],
)
def test_accounts_are_the_same_by_venue_login_and_door(spec: Any, same: bool) -> None:
    cache = Cache()
    observer = Observer(cache, Defaults())
    early, late = "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"
    _put(cache, feed_source("elder", accounts=_account("login")), creationTimestamp=early)
    _put(cache, feed_source("spot", accounts=_account("login"), **spec), creationTimestamp=late)
    assert observer.observe(FEED).account_rivals == ({"a": "elder"} if same else {})


def test_lease_of_an_account_is_no_publisher_lease() -> None:
    cache = Cache()
    observer = Observer(cache, Defaults())
    for name, shard in (("spot-publisher-0", "0"), ("spot-account-a", None)):
        labels = {"feedplane.dev/feed-source": "spot"}
        if shard is not None:
            labels["feedplane.dev/shard"] = shard
        metadata = {"name": name, "namespace": "default", "labels": labels}
        cache.put({"kind": "Lease", "metadata": metadata, "spec": {"leaseTransitions": 3}})
    assert set(observer.observe(FEED).leases) == {"spot-publisher-0"}


def test_name_found_taken_is_tried_again_in_time() -> None:
    cache = Cache()
    observer = Observer(cache, Defaults())
    ref = Ref("Service", "default", "spot-a-0")
    observer.memory(FEED).taken[ref] = -1e6
    assert observer.observe(FEED).taken_names == frozenset()
    observer.memory(FEED).taken[ref] = 1e12
    assert observer.observe(FEED).taken_names == {ref}


def test_places_in_a_rollout_are_shared_by_all_feed_sources() -> None:
    observer = Observer(Cache(), Defaults(), rollout_feeders=5)
    other = ("default", "other")
    observer.note_replacing(FEED, 2)
    observer.note_replacing(other, 3)
    observer.note_replacing(other, 1)
    assert observer.observe(FEED).rollout_slots == 4
    assert observer.observe(other).rollout_slots == 3
    observer.forget(FEED)
    assert observer.observe(other).rollout_slots == 5


def test_what_the_poller_learned_is_passed_on() -> None:
    observer = Observer(Cache(), Defaults())
    memory = observer.memory(FEED)
    memory.conflicts = {0: 2, 1: 3}
    memory.calendar_missing = True
    observed = observer.observe(FEED)
    assert observed.conflicts == {1}
    assert observed.calendar_missing
