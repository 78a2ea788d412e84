"""The chart's manifests in each of its modes, and what its schema refuses."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from feedplane_api.backfill import Backfill
from feedplane_api.feed_source import FeedSource
from feedplane_api.subscription import Subscription
from feedplane_cluster import versions
from feedplane_cluster.errors import CommandError
from feedplane_operator.rights import ELECTION_RIGHTS, NOTIFICATION_RIGHT, RIGHTS

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

CHART = Path(__file__).parents[3] / "charts" / "feedplane"
NAMESPACED = 'watch.namespaces=["a","b"]'
DEMO = "demo.enabled=true"
EVERYTHING = (
    DEMO,
    'demo.database.storage.kind="PersistentVolumeClaim"',
    'demo.simulator.recordingsClaim="tape"',
)
MODELS = {"FeedSource": FeedSource, "Subscription": Subscription, "Backfill": Backfill}


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [m for m in of_kind(manifests, kind) if m["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif manifest["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield name, manifest["spec"]["template"]["spec"]


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def operator_env(manifests: list[Manifest]) -> dict[str, str]:
    pod = named(manifests, "Deployment", "feedplane-operator")["spec"]["template"]["spec"]
    return {entry["name"]: entry.get("value", "") for entry in pod["containers"][0]["env"]}


def operator_rules(manifests: list[Manifest], kind: str) -> list[Manifest]:
    rules: list[Manifest] = named(manifests, kind, "feedplane-operator")["rules"]
    return rules


@pytest.mark.parametrize(
    "settings",
    [(), (DEMO,), EVERYTHING, (NAMESPACED,), ("operator.replicas=1",)],
    ids=["as it comes", "with the demo", "with a claim", "namespaced", "one replica"],
)
def test_chart_in_each_mode_lints(helm: Callable[..., str], settings: tuple[str, ...]) -> None:
    words = [word for setting in settings for word in ("--set-json", setting)]
    text = helm(f"lint --strict --kube-version {versions.KUBERNETES} {CHART}", *words)
    assert "0 chart(s) failed" in text


@pytest.mark.parametrize("settings", [EVERYTHING, (NAMESPACED,)], ids=["cluster", "namespaced"])
def test_every_pod_meets_pod_security_restricted(render: Render, settings: tuple[str, ...]) -> None:
    specs = dict(pod_specs(render(*settings)))
    assert "Deployment/feedplane-operator" in specs
    for name, spec in specs.items():
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] > 0, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["enableServiceLinks"] is False, name
        for container in containers(spec):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in context, name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume} - {"name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim"}, name


def test_only_the_operator_gets_a_token(render: Render) -> None:
    tokens = {
        name: spec["automountServiceAccountToken"] for name, spec in pod_specs(render(*EVERYTHING))
    }
    assert [name for name, token in tokens.items() if token] == ["Deployment/feedplane-operator"]


def test_every_container_states_resources_and_pull_policy(render: Render) -> None:
    for name, spec in pod_specs(render(*EVERYTHING)):
        for container in containers(spec):
            assert container["resources"]["requests"]["memory"], name
            assert container["resources"]["limits"]["memory"], name
            assert container["imagePullPolicy"] == "IfNotPresent", name
            assert not container["image"].endswith(":latest"), name


def test_namespaced_mode_has_no_cluster_wide_rights(render: Render) -> None:
    manifests = render(NAMESPACED)
    assert not of_kind(manifests, "ClusterRole", "ClusterRoleBinding")
    roles = [m for m in of_kind(manifests, "Role") if m["metadata"]["name"] == "feedplane-operator"]
    assert [role["metadata"]["namespace"] for role in roles] == ["a", "b"]
    assert operator_env(manifests)["FEEDPLANE_NAMESPACES"] == "a,b"


def test_both_modes_give_equal_rights(render: Render) -> None:
    cluster = operator_rules(render(), "ClusterRole")
    assert operator_rules(render('watch.namespaces=["a"]'), "Role") == cluster


def granted(rules: list[Manifest]) -> set[tuple[str, str, str]]:
    """Spell rules out, one right each, so that their grouping does not matter."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_chart_grants_what_the_operator_says_it_needs(render: Render) -> None:
    manifests = render()
    rights = granted([right.rule() for right in RIGHTS])
    assert granted(operator_rules(manifests, "ClusterRole")) == rights
    leader = named(manifests, "Role", "feedplane-operator-leader")["rules"]
    assert granted(leader) == granted([right.rule() for right in ELECTION_RIGHTS])


def test_operator_rights_have_no_wildcard_secret_or_exec(render: Render) -> None:
    for rule in operator_rules(render(), "ClusterRole"):
        words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        assert not words & {"*", "secrets", "pods/exec", "escalate", "bind", "impersonate"}, rule


def test_secrets_of_webhooks_may_be_read_by_their_names_alone(render: Render) -> None:
    manifests = render('notifications.secretNames=["hook"]', "notifications.ports=[8443]")
    rules = [r for r in operator_rules(manifests, "ClusterRole") if "secrets" in r["resources"]]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in rules] == [(["hook"], ["get"])]
    assert NOTIFICATION_RIGHT.verbs == ("get",)
    policy = named(manifests, "NetworkPolicy", "feedplane-operator")
    assert {"port": 8443, "protocol": "TCP"} in policy["spec"]["egress"][-1]["ports"]
    assert "8443" not in str(named(render(), "NetworkPolicy", "feedplane-operator"))


def test_operator_is_told_how_many_feeders_to_replace(render: Render) -> None:
    environment = operator_env(render("feeders.rollout.feeders=3"))
    assert environment["FEEDPLANE_ROLLOUT_FEEDERS"] == "3"
    assert environment["FEEDPLANE_ROLLOUT_DEADLINE_SECONDS"] == "180"


def test_leader_role_names_the_lease_the_operator_is_told(render: Render) -> None:
    manifests = render()
    rules = named(manifests, "Role", "feedplane-operator-leader")["rules"]
    names = [rule["resourceNames"] for rule in rules if "create" not in rule["verbs"]]
    assert names == [[operator_env(manifests)["FEEDPLANE_LEASE_NAME"]]]


@pytest.mark.parametrize(
    ("role", "into"),
    [
        ("viewer", {"view", "edit", "admin"}),
        ("editor", {"edit", "admin"}),
        ("admin", {"admin"}),
    ],
)
def test_access_roles_aggregate_into_the_clusters_own(
    render: Render, role: str, into: set[str]
) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    labels = named(render(), "ClusterRole", f"feedplane-{role}")["metadata"]["labels"]
    assert {key.removeprefix(prefix) for key in labels if key.startswith(prefix)} == into


def test_services_and_policies_select_the_pods_they_mean(render: Render) -> None:
    manifests = render(*EVERYTHING)
    templates = [
        m["spec"]["template"]["metadata"]["labels"]
        for m in of_kind(manifests, "Deployment", "StatefulSet")
    ]
    templates += [m["metadata"]["labels"] for m in of_kind(manifests, "Pod")]
    for manifest in of_kind(manifests, "Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec = manifest["spec"]
        match manifest["kind"]:
            case "Service":
                selector = spec["selector"]
            case "NetworkPolicy":
                selector = spec["podSelector"]["matchLabels"]
            case _:
                selector = spec["selector"]["matchLabels"]
        hits = [labels for labels in templates if selector.items() <= labels.items()]
        assert len(hits) == 1, manifest["metadata"]["name"]


def test_network_policy_denies_what_it_does_not_name(render: Render) -> None:
    spec = named(render(), "NetworkPolicy", "feedplane-operator")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["ports"] for rule in spec["egress"])
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {
        53,
        443,
        6443,
        8000,
    }


@pytest.mark.parametrize(
    ("settings", "budgets"), [((), 1), (("operator.replicas=1",), 0)], ids=["two", "one"]
)
def test_disruption_budget_is_made_for_two_replicas(
    render: Render, settings: tuple[str, ...], budgets: int
) -> None:
    assert len(of_kind(render(*settings), "PodDisruptionBudget")) == budgets


def test_definitions_are_kept_unless_told_otherwise(render: Render) -> None:
    kept = of_kind(render(), "CustomResourceDefinition")
    assert len(kept) == len(MODELS)
    policies = {m["metadata"]["annotations"]["helm.sh/resource-policy"] for m in kept}
    assert policies == {"keep"}
    dropped = of_kind(render("crds.keep=false"), "CustomResourceDefinition")
    assert not any("helm.sh/resource-policy" in str(m["metadata"]) for m in dropped)
    assert not of_kind(render("crds.enabled=false"), "CustomResourceDefinition")


def test_helm_test_hook_makes_resources_the_models_take(render: Render) -> None:
    hooks = [m for m in render() if "helm.sh/hook" in m["metadata"].get("annotations", {})]
    kinds = [m["kind"] for m in hooks]
    assert sorted(kinds) == ["FeedSource", "Pod", "Secret", "Service", "Subscription"]
    for manifest in of_kind(hooks, *MODELS):
        MODELS[manifest["kind"]].parse(manifest)


def test_demo_parts_are_absent_by_default(render: Render) -> None:
    plain = {(m["kind"], m["metadata"]["name"]) for m in render()}
    demo = {(m["kind"], m["metadata"]["name"]) for m in render(DEMO)}
    assert demo - plain == {
        ("Deployment", "feedplane-simulator"),
        ("Service", "feedplane-simulator"),
        ("StatefulSet", "feedplane-database"),
        ("Service", "feedplane-database"),
        ("Secret", "feedplane-database"),
    }


def test_demo_secret_holds_the_password_in_its_dsn(render: Render) -> None:
    secret = named(render(DEMO), "Secret", "feedplane-database")["stringData"]
    service = "feedplane-database.feeds.svc:5432"
    assert re.fullmatch(r"[A-Za-z0-9]{24}", secret["password"])
    assert secret["dsn"] == f"postgresql://feedplane:{secret['password']}@{service}/feedplane"


def test_demo_replay_mounts_the_folder_read_only(render: Render) -> None:
    manifests = render(DEMO, 'demo.simulator.recordingsClaim="tape"')
    deployment = named(manifests, "Deployment", "feedplane-simulator")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert "--recordings=/recordings" in container["args"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["recordings"]["readOnly"] is True


@pytest.mark.parametrize(
    "setting",
    [
        "oprator.replicas=2",
        "operator.replica=2",
        "operator.replicas=0",
        'operator.replicas="two"',
        'operator.logFormat="xml"',
        'watch.namespaces="feeds"',
        'watch.namespaces=["Not_A_Name"]',
        'images.feeder.tag="has space"',
        'images.feeder.pullPolicy="Sometimes"',
        'demo.database.storage.kind="Tape"',
        "networkPolicy.apiServerPorts=[]",
        "serviceAccount.create=false",
        'operator.resources.limits.memory="lots"',
        'operator.tolerations=[{"kee":"x"}]',
    ],
)
def test_schema_refuses_values_it_does_not_know(render: Render, setting: str) -> None:
    with pytest.raises(CommandError, match="values don't meet the specifications"):
        render(setting)


def test_schema_closes_every_object_and_knows_every_value() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    assert not list(open_objects(schema, "values"))
    assert unknown(values, schema["properties"], schema["definitions"]) == []


def open_objects(schema: Manifest, path: str) -> Iterator[str]:
    """Objects with named properties that take others too."""
    if "properties" in schema and schema.get("additionalProperties") is not False:
        yield path
    for key, part in schema.items():
        if isinstance(part, dict) and key not in {"if", "then"}:
            yield from open_objects(part, f"{path}.{key}")


def unknown(values: Manifest, properties: Manifest, definitions: Manifest) -> list[str]:
    """Properties of the schema that values.yaml does not show."""
    missing = []
    for name, part in properties.items():
        resolved = definitions[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part
        if name not in values:
            missing.append(name)
        elif "properties" in resolved and "$ref" not in part:
            missing += unknown(values[name], resolved["properties"], definitions)
    return [name for name in missing if name != "global"]
