import json
from typing import Any

from support_backfills import JOB, backfill, start
from support_plans import NOW, parse_feed

from feedplane_api.backfill import Backfill
from feedplane_operator.core.backfill_config import build_config
from feedplane_operator.core.backfill_runs import Run
from feedplane_operator.core.children.backfill import adjust_job, build_run
from feedplane_operator.core.observed import Defaults

WANTED: Any = ({"symbol": "BTCUSDT", "channels": ["trade"]},)


def built(feed: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    resource, source = Backfill.parse(backfill(**spec)), parse_feed(**(feed or {}))
    config = build_config(resource, source, WANTED, Run(name="r"), NOW)
    children = build_run(resource, source, config, 2, Defaults(image="feeder:1"))
    return {child["kind"]: child for child in children}


def pod_of(job: dict[str, Any]) -> Any:
    return job["spec"]["template"]["spec"]


def test_worker_has_no_token_and_an_account_of_its_own() -> None:
    children = built()
    spec = pod_of(children["Job"])
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == children["ServiceAccount"]["metadata"]["name"]
    assert children["ServiceAccount"]["automountServiceAccountToken"] is False


def test_worker_is_as_restricted_as_a_feeder() -> None:
    spec = pod_of(built()["Job"])
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"] == ["backfill", "--config", "/etc/feedplane/backfill.yaml"]
    assert container["image"] == "feeder:1"


def test_secrets_are_named_and_never_held() -> None:
    feed = {"accounts": [{"name": "a", "credentialsSecretRef": {"name": "login"}}]}
    children = built(feed)
    volumes = {volume["name"]: volume for volume in pod_of(children["Job"])["volumes"]}
    assert volumes["credentials"]["secret"]["secretName"] == "login"
    assert volumes["sink-db"]["secret"]["items"] == [{"key": "dsn", "path": "dsn"}]
    assert "dsn: " not in json.dumps(children["ConfigMap"])


def test_end_of_a_worker_says_what_follows() -> None:
    rules = built()["Job"]["spec"]["podFailurePolicy"]["rules"]
    codes = {
        rule["action"]: rule["onExitCodes"]["values"] for rule in rules if "onExitCodes" in rule
    }
    assert codes == {"FailJob": [64, 69, 78], "Ignore": [75]}
    moved = [rule for rule in rules if "onPodConditions" in rule]
    assert [rule["action"] for rule in moved] == ["Ignore"]


def test_job_goes_by_itself_unless_it_is_history() -> None:
    assert built()["Job"]["spec"]["ttlSecondsAfterFinished"] == 3600
    scheduled = {"range": None, "window": {"lastDays": 1}, "schedule": {"cron": "0 1 * * *"}}
    assert "ttlSecondsAfterFinished" not in built(**scheduled)["Job"]["spec"]


def test_node_choice_of_the_feed_source_holds_for_workers() -> None:
    feed = {"feeder": {"nodeSelector": {"disk": "fast"}, "priorityClassName": "low"}}
    spec = pod_of(built(feed)["Job"])
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"disk": "fast"}, "low")


def test_workers_of_all_kinds_are_found_by_label() -> None:
    job = built()["Job"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "backfill"
    assert labels["feedplane.dev/feed-source"] == "spot"
    assert labels["feedplane.dev/backfill"] == "history"


def test_job_as_it_should_be_is_left_alone() -> None:
    live = start(backfill(parallelism=2))[1].children[JOB]
    assert adjust_job(live, parallelism=2, suspended=False) is None
    changed = adjust_job(live, parallelism=1, suspended=True)
    assert changed is not None
    assert (changed["spec"]["parallelism"], changed["spec"]["suspend"]) == (1, True)
    assert changed["spec"]["completions"] == 2
