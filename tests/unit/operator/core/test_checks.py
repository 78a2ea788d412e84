from support_plans import children_of, parse_feed, running_pod

from feedplane_api.conditions import Reason
from feedplane_operator.core.checks import (
    check_feed_source,
    check_names,
    check_pods,
    check_sessions,
    is_owned,
)
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Ref, ref_of


def test_good_feed_source_passes_every_check() -> None:
    assert check_feed_source(parse_feed(), Observed()) is None


def test_sink_of_a_later_release_is_refused_by_its_path() -> None:
    sinks = [
        {"name": "disk", "file": {"path": "/data"}},
        {"name": "bus", "nats": {"servers": ["nats://n:4222"]}},
    ]
    refusal = check_feed_source(parse_feed(sinks=sinks), Observed())
    assert refusal is not None
    assert refusal[0] is Reason.UNSUPPORTED_SINK
    assert refusal[1].startswith("spec.sinks[1].nats:")


def test_account_of_an_older_feed_source_is_refused_by_its_path() -> None:
    feed = parse_feed(
        accounts=[{"name": "a"}, {"name": "b", "credentialsSecretRef": {"name": "login"}}]
    )
    refusal = check_feed_source(feed, Observed(account_rivals={"b": "elder"}))
    assert refusal is not None
    assert refusal[0] is Reason.ACCOUNT_IN_USE
    assert refusal[1].startswith("spec.accounts[1].credentialsSecretRef: FeedSource elder")


def test_calendar_nobody_knows_is_refused_by_its_path() -> None:
    feed = parse_feed(session={"calendar": "XXXX"})
    refusal = check_feed_source(feed, Observed(calendar_missing=True))
    assert refusal == (Reason.INVALID_SPEC, "spec.session.calendar: no such calendar: XXXX")


def test_child_of_another_owner_is_a_conflict() -> None:
    child = children_of(parse_feed(), Observed())["Service/spot-a-0"]
    ref = ref_of(child)
    observed = Observed(children={ref: child})
    assert check_names(parse_feed(), (ref,), observed) is None
    stranger = parse_feed().model_copy(
        update={"metadata": parse_feed().metadata.model_copy(update={"uid": "other"})}
    )
    refusal = check_names(stranger, (ref,), observed)
    assert refusal == (Reason.NAME_CONFLICT, "Service spot-a-0 belongs to something else")


def test_name_found_taken_is_a_conflict() -> None:
    ref = Ref("Service", "default", "spot-a-0")
    refusal = check_names(parse_feed(), (ref,), Observed(taken_names=frozenset({ref})))
    assert refusal is not None
    assert refusal[0] is Reason.NAME_CONFLICT


def test_pod_that_blames_the_spec_is_heard() -> None:
    fine = (running_pod("spot-a-0"),)
    blames = (running_pod("spot-b-0", ready=False, exit_code=78, exit_message="UnknownVenue: no"),)
    assert check_pods(Observed(pods={"spot-a-0": fine, "spot-z-0": ()})) is None
    refusal = check_pods(Observed(pods={"spot-a-0": fine, "spot-b-0": blames}))
    assert refusal == (Reason.UNKNOWN_VENUE, "UnknownVenue: no")


def test_pod_that_fails_by_itself_blames_no_spec() -> None:
    crashed = (running_pod("spot-a-0", ready=False, waiting_reason="CrashLoopBackOff"),)
    assert check_pods(Observed(pods={"spot-a-0": crashed})) is None


def test_object_without_controller_is_owned_by_nobody() -> None:
    assert not is_owned({"metadata": {"ownerReferences": [{"uid": "uid-1"}]}}, "uid-1")
    assert not is_owned({"metadata": {}}, "uid-1")


def test_single_session_feeds_one_shard_only() -> None:
    feed = parse_feed(limits={"sessionsPerAccount": 1}, sharding={"maxInstrumentsPerShard": 1})
    assert check_sessions(feed, 1) is None
    assert check_sessions(parse_feed(), 2) is None
    refusal = check_sessions(feed, 2)
    assert refusal is not None
    assert refusal[0] is Reason.INVALID_SPEC
    assert refusal[1].startswith("spec.limits.sessionsPerAccount: ")


def test_single_session_is_not_shared_by_two_accounts() -> None:
    login = {"credentialsSecretRef": {"name": "login"}}
    accounts = [
        {"name": "a", **login},
        {"name": "b", **login, "endpoints": {"rest": "https://other.example"}},
        {"name": "c"},
    ]
    refusal = check_sessions(parse_feed(accounts=accounts, limits={"sessionsPerAccount": 1}), 1)
    assert refusal is not None
    assert refusal[0] is Reason.ACCOUNT_IN_USE
    assert refusal[1].startswith("spec.accounts[1].credentialsSecretRef: ")
