from support_plans import children_of, parse_feed

from feedplane_operator.core.observed import Observed

CHILDREN = children_of(parse_feed(), Observed())


def test_role_names_exactly_two_objects() -> None:
    rules = CHILDREN["Role/spot-a-0"]["rules"]
    assert [(rule["resources"], rule["resourceNames"]) for rule in rules] == [
        (["configmaps"], ["spot-a-0"]),
        (["leases"], ["spot-publisher-0"]),
    ]
    assert [rule["verbs"] for rule in rules] == [["list", "watch"], ["get", "update", "patch"]]


def test_single_session_adds_the_lease_of_the_own_account_alone() -> None:
    accounts = [{"name": "a"}, {"name": "b"}]
    feed = parse_feed(accounts=accounts, limits={"sessionsPerAccount": 1})
    rules = children_of(feed, Observed())["Role/spot-b-0"]["rules"]
    assert rules[1]["resourceNames"] == ["spot-publisher-0", "spot-account-b"]


def test_role_is_bound_to_the_feeders_account_alone() -> None:
    binding = CHILDREN["RoleBinding/spot-a-0"]
    assert binding["roleRef"]["name"] == "spot-a-0"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "spot-a-0", "namespace": "default"}
    ]


def test_service_account_mounts_no_token_by_itself() -> None:
    account = CHILDREN["ServiceAccount/spot-a-0"]
    assert account["automountServiceAccountToken"] is False
