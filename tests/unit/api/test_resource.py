from typing import Any

import pytest
from support_api_rules import merge_patch

from feedplane_api.errors import InvalidSpecError
from feedplane_api.feed_source import FeedSource, FeedSourceStatus
from feedplane_api.resource import condition_path
from feedplane_api.subscription import Subscription

JsonDict = dict[str, Any]

FEED_SOURCE: JsonDict = {
    "apiVersion": "feedplane.dev/v1alpha1",
    "kind": "FeedSource",
    "metadata": {"name": "feed", "namespace": "tape", "managedFields": [{}], "generation": 3},
    "spec": {
        "venue": "some-venue",
        "accounts": [{"name": "main"}],
        "sinks": [{"name": "database", "postgres": {"dsnSecretRef": {"name": "tape"}}}],
    },
}
CANARY = "hunter2-canary"
SLASHED = f"/{CANARY}"


def problems_of(patch: JsonDict) -> list[tuple[str, str, str | None]]:
    with pytest.raises(InvalidSpecError) as caught:
        FeedSource.parse(merge_patch(FEED_SOURCE, patch))
    return [(problem.path, problem.rule, problem.seen) for problem in caught.value.problems]


def test_parse_reads_metadata_and_fills_defaults() -> None:
    feed = FeedSource.parse(FEED_SOURCE)
    assert (feed.metadata.name, feed.metadata.namespace) == ("feed", "tape")
    assert feed.metadata.generation == 3
    assert feed.spec.failover.lease_duration_seconds == 6
    assert feed.status == FeedSourceStatus()


def test_parse_reads_a_status() -> None:
    feed = FeedSource.parse({**FEED_SOURCE, "status": {"activeAccount": "main", "newer": {}}})
    assert feed.status.active_account == "main"


def test_parse_takes_an_unreadable_status_for_absent() -> None:
    feed = FeedSource.parse({**FEED_SOURCE, "status": {"accounts": "all of them"}})
    assert feed.status == FeedSourceStatus()


def test_parse_reports_spec_beside_unreadable_status() -> None:
    assert problems_of({"spec": {"venue": None}, "status": {"accounts": "all"}}) == [
        ("spec.venue", "must be set", None)
    ]


def test_parse_names_the_path_rule_and_value() -> None:
    ((path, rule, seen),) = problems_of({"spec": {"venue": "Some Venue"}})
    assert (path, seen) == ("spec.venue", "'Some Venue'")
    assert rule.startswith("String should match pattern")


def test_parse_names_an_entry_by_its_place() -> None:
    accounts = [{"name": "main"}, {"name": "No"}]
    ((path, _, seen),) = problems_of({"spec": {"accounts": accounts}})
    assert (path, seen) == ("spec.accounts[1].name", "'No'")


def test_parse_blames_the_field_of_a_rule() -> None:
    patch = {"spec": {"failover": {"leaseDurationSeconds": 4}}}
    assert problems_of(patch) == [
        (
            "spec.failover.leaseDurationSeconds",
            "leaseDurationSeconds must be more than renewDeadlineSeconds",
            None,
        )
    ]


def test_parse_cuts_a_long_value() -> None:
    ((_, _, seen),) = problems_of({"spec": {"venue": "v" * 500}})
    assert seen is not None
    assert len(seen) < 80
    assert seen.endswith("...")


def test_parse_without_spec_says_so() -> None:
    with pytest.raises(InvalidSpecError, match="spec: must be set"):
        FeedSource.parse({"metadata": {"name": "feed"}})


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param({"accounts": [{"name": "main", "password": CANARY}]}, id="unknown field"),
        pytest.param({"accounts": [{"name": "main", "credentialsSecretRef": CANARY}]}, id="ref"),
        pytest.param(
            {"accounts": [{"name": "main", "credentialsSecretRef": {"name": f"!{CANARY}"}}]},
            id="name of a Secret",
        ),
        pytest.param(
            {"sinks": [{"name": "d", "postgres": {"dsnSecretRef": {"name": "t", "key": SLASHED}}}]},
            id="key of a Secret",
        ),
        pytest.param({"endpoints": {"stream": f"redis://user:{CANARY}@host"}}, id="address"),
        pytest.param({"endpoints": {"stream": f"user:{CANARY}@host"}}, id="address without scheme"),
        pytest.param({"endpoints": [CANARY]}, id="list in the wrong place"),
    ],
)  # fmt: skip
def test_parse_never_shows_a_secret(patch: JsonDict) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        FeedSource.parse(merge_patch(FEED_SOURCE, {"spec": patch}))
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_render_leaves_defaults_out_and_reads_back() -> None:
    feed = FeedSource.parse(FEED_SOURCE)
    rendered = feed.render()
    assert rendered["spec"] == FEED_SOURCE["spec"]
    assert rendered["metadata"] == {"name": "feed", "namespace": "tape"}
    assert FeedSource.parse(rendered).spec == feed.spec


def test_render_names_the_kind() -> None:
    subscription = Subscription.parse(
        {
            "metadata": {"name": "majors"},
            "spec": {
                "feedSourceRef": {"name": "feed"},
                "instruments": ["A"],
                "channels": ["trade"],
            },
        }
    )
    rendered = subscription.render()
    assert (rendered["apiVersion"], rendered["kind"]) == ("feedplane.dev/v1alpha1", "Subscription")


def test_condition_path_is_what_columns_want() -> None:
    assert condition_path("Ready", "status") == '.status.conditions[?(@.type=="Ready")].status'
