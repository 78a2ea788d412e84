import pytest

from feedplane_cli.requests import PATHS
from feedplane_cli.rights import RIGHTS, Role, rules_of

GRANTABLE = {(group.rpartition("/")[0], plural) for group, plural in PATHS.values()}


def test_rights_name_what_the_command_asks_for() -> None:
    for right in RIGHTS:
        assert (right.group, right.resource.partition("/")[0]) in GRANTABLE
        assert right.commands
        assert right.reason.endswith(".")


def test_no_right_reaches_secrets_or_creates_anything() -> None:
    assert not [right for right in RIGHTS if "secret" in right.resource or "*" in right.resource]
    assert {right.verb for right in RIGHTS} == {"get", "list", "patch"}


@pytest.mark.parametrize("role", list(Role))
def test_rules_name_each_resource_once(role: Role) -> None:
    rules = rules_of(role)
    named = [(rule["apiGroups"][0], rule["resources"][0]) for rule in rules]
    assert len(named) == len(set(named)) > 0


def test_only_the_steerer_changes_anything() -> None:
    assert {right.role for right in RIGHTS if right.verb == "patch"} == {Role.STEERER}
