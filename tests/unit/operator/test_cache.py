from typing import Any

from feedplane_api.names import Kind
from feedplane_operator.cache import Cache, backfill_of, feed_of, parse_all, version_of
from feedplane_operator.core.plan import Ref

FEED = ("n", "spot")


def _child(version: int, kind: str = "Service", uid: str = "u", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": "spot-a-0",
            "namespace": "n",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": {"feedplane.dev/feed-source": "spot"},
            "managedFields": [{"manager": "x"}],
        },
        **fields,
    }


def _subscription(name: str, feed: str = "spot") -> dict[str, Any]:
    return {
        "kind": "Subscription",
        "metadata": {"name": name, "namespace": "n", "resourceVersion": "1"},
        "spec": {"feedSourceRef": {"name": feed}},
        "status": {"a": 1},
    }


def _pod(name: str, created: str, shard: str = "0", **metadata: Any) -> dict[str, Any]:
    labels = {
        "feedplane.dev/feed-source": "spot",
        "feedplane.dev/account": "a",
        "feedplane.dev/shard": shard,
    }
    meta = {"name": name, "namespace": "n", "creationTimestamp": created, "labels": labels}
    return {"kind": "Pod", "metadata": {**meta, **metadata}, "status": {"phase": "Running"}}


REF = Ref("Service", "n", "spot-a-0")


def test_newest_version_wins_whichever_way_it_came() -> None:
    cache = Cache()
    assert cache.put(_child(5))
    assert not cache.put(_child(4))
    assert not cache.put(_child(5))
    assert cache.put(_child(6))
    assert version_of(cache.children(FEED)[REF]) == 6


def test_object_is_kept_without_what_nobody_asks_for() -> None:
    cache = Cache()
    cache.put(_child(1, status={"big": 1}))
    kept = cache.children(FEED)[REF]
    assert "managedFields" not in kept["metadata"]
    assert "status" not in kept


def test_object_deleted_late_takes_no_successor_along() -> None:
    cache = Cache()
    cache.put(_child(5, uid="old"))
    cache.put(_child(9, uid="new"))
    assert not cache.drop(REF, "old")
    assert cache.drop(REF, "new")
    assert not cache.drop(REF)
    assert cache.children(FEED) == {}


def test_subscriptions_are_found_by_their_feed() -> None:
    cache = Cache()
    cache.put(_subscription("z"))
    cache.put(_subscription("b"))
    cache.put(_subscription("c", feed="other"))
    found = cache.referring(FEED, Kind.SUBSCRIPTION)
    assert [entry["metadata"]["name"] for entry in found] == ["b", "z"]
    assert found[0]["status"] == {"a": 1}
    cache.drop(Ref("Subscription", "n", "b"))
    assert len(cache.referring(FEED, Kind.SUBSCRIPTION)) == 1
    assert cache.counts() == {"Subscription": 2}
    assert cache.refs("Subscription") == (
        Ref("Subscription", "n", "z"),
        Ref("Subscription", "n", "c"),
    )


def test_pods_come_by_worker_and_youngest_first() -> None:
    cache = Cache()
    cache.put(_pod("old", "2026-11-21T08:00:00Z"))
    cache.put(_pod("new", "2026-11-21T09:00:00Z"))
    cache.put(_pod("going", "2026-11-21T10:00:00Z", deletionTimestamp="now"))
    assert not cache.put(_pod("new", "2026-11-21T09:00:00Z"))
    assert [pod.name for pod in cache.pods(FEED)["spot-a-0"]] == ["new", "old", "going"]
    for name in ("old", "new", "going"):
        cache.drop_pod(_pod(name, ""))
    assert cache.pods(FEED) == {}


def test_pod_of_no_worker_is_not_kept() -> None:
    cache = Cache()
    assert not cache.put(_pod("x", "2026-11-21T08:00:00Z", shard="none"))
    stranger = {"kind": "Pod", "metadata": {"name": "y", "namespace": "n"}}
    assert not cache.put(stranger)
    cache.drop_pod(stranger)
    assert cache.pods(FEED) == {}


def test_object_of_no_feed_belongs_to_none() -> None:
    assert feed_of({"kind": "FeedSource", "metadata": {"name": "spot"}}) is None
    assert feed_of({"kind": "Service", "metadata": {"name": "x"}}) is None
    assert feed_of({"kind": "Subscription", "metadata": {"name": "x"}}) is None


def test_listed_objects_learn_their_kind() -> None:
    (lease,) = parse_all([{"metadata": {}}], "Lease", "coordination.k8s.io/v1")
    assert (lease["kind"], lease["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")


def test_object_missing_from_a_newer_list_is_gone() -> None:
    cache = Cache()
    cache.put(_child(5))
    cache.put(_child(5, kind="Role"))
    assert cache.drop_missing("Service", "elsewhere", set(), 9) == []
    assert cache.drop_missing("Service", "n", {REF}, 9) == []
    # Made after the list was read, so not missing from it.
    assert cache.drop_missing("Service", "", set(), 4) == []
    (gone,) = cache.drop_missing("Service", "", set(), 5)
    assert gone["metadata"]["name"] == "spot-a-0"
    assert set(cache.children(FEED)) == {Ref("Role", "n", "spot-a-0")}


def test_pod_missing_from_a_newer_list_is_gone() -> None:
    cache = Cache()
    for name, version in (("listed", "3"), ("gone", "3"), ("young", "8")):
        cache.put(_pod(name, "2026-11-21T08:00:00Z", resourceVersion=version))
    cache.drop_missing("Pod", "", {Ref("Pod", "n", "listed")}, 5)
    assert {pod.name for pod in cache.pods(FEED)["spot-a-0"]} == {"listed", "young"}


def test_pod_of_an_older_version_changes_nothing() -> None:
    cache = Cache()
    cache.put(_pod("x", "2026-11-21T08:00:00Z", resourceVersion="5"))
    older = {**_pod("x", "2026-11-21T08:00:00Z", resourceVersion="4"), "status": {}}
    assert not cache.put(older)
    assert cache.pods(FEED)["spot-a-0"][0].phase == "Running"


def _of_backfill(kind: str, version: int, **fields: Any) -> dict[str, Any]:
    found = _child(version, kind, **fields)
    found["metadata"]["labels"]["feedplane.dev/backfill"] = "history"
    return found


def test_child_of_a_backfill_is_none_of_the_feed_source() -> None:
    cache = Cache()
    made = _of_backfill("ConfigMap", 1)
    assert cache.put(made)
    assert (feed_of(made), backfill_of(made)) == (None, ("n", "history"))
    assert cache.children(FEED) == {}
    assert list(cache.owned(("n", "history"))) == [Ref("ConfigMap", "n", "spot-a-0")]
    assert cache.drop(Ref("ConfigMap", "n", "spot-a-0"))
    assert cache.owned(("n", "history")) == {}


def test_workers_of_jobs_are_counted_while_they_run() -> None:
    cache, owner = Cache(), ("n", "history")
    spec = {"completions": 3, "parallelism": 2}
    cache.put(_of_backfill("Job", 1, spec=spec))
    assert cache.running_workers() == {owner: 2}
    cache.put(_of_backfill("Job", 2, spec={**spec, "suspend": True}))
    assert cache.running_workers() == {}
    done = {"conditions": [{"type": "Complete", "status": "True"}]}
    cache.put(_of_backfill("Job", 3, spec=spec))
    cache.put(_of_backfill("Job", 4, spec=spec, status=done))
    assert cache.running_workers() == {}
    assert cache.owned(owner)[Ref("Job", "n", "spot-a-0")]["status"] == done


def test_pods_of_a_backfill_stand_apart() -> None:
    cache, owner = Cache(), ("n", "history")
    pod = _pod("history-0-x", "2026-11-21T08:00:00Z", resourceVersion="2")
    pod["metadata"]["labels"]["feedplane.dev/backfill"] = "history"
    assert cache.put(pod)
    assert not cache.put(pod)
    older = {**pod, "metadata": {**pod["metadata"], "resourceVersion": "1"}, "status": {}}
    assert not cache.put(older)
    assert cache.pods(FEED) == {}
    assert [found.name for found in cache.backfill_pods()[owner]] == ["history-0-x"]
    cache.drop_missing("Pod", "n", set(), 1)
    assert len(cache.pods_of_backfill(owner)) == 1
    cache.drop_missing("Pod", "n", set(), 5)
    assert cache.pods_of_backfill(owner) == ()
    cache.put(pod)
    cache.drop_pod(pod)
    assert cache.pods_of_backfill(owner) == ()
