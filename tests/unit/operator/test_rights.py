from support_plans import parse_feed, workers_of

from feedplane_operator.core.children.rbac import build_role
from feedplane_operator.core.observed import Observed
from feedplane_operator.rights import ELECTION_RIGHTS, RIGHTS


def test_rights_have_no_wildcard_and_no_secrets() -> None:
    for right in (*RIGHTS, *ELECTION_RIGHTS):
        assert "*" not in (right.group, *right.resources, *right.verbs)
        assert "secrets" not in right.resources
        assert not any("/exec" in resource for resource in right.resources)
        assert right.reason


def test_operator_holds_all_it_grants_to_feeders() -> None:
    feed = parse_feed()
    held = {
        (right.group, resource, verb)
        for right in RIGHTS
        for resource in right.resources
        for verb in right.verbs
    }
    for rule in build_role(feed, workers_of(feed, Observed())[0])["rules"]:
        for resource in rule["resources"]:
            granted = {(rule["apiGroups"][0], resource, verb) for verb in rule["verbs"]}
            assert granted <= held
