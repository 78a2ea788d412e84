"""Each rule of the definitions on a real API server: what it accepts and what it refuses."""

from typing import Any

import pytest
from support_api_rules import RuleCase, find_rule_messages, load_rule_cases
from support_api_server import Api, RefusedError

from feedplane_api.crd import KINDS, build_root_schema
from feedplane_api.errors import InvalidSpecError

CASES = load_rule_cases()
ACCEPTED = [case for case in CASES if case.accepted]
REFUSED = [case for case in CASES if not case.accepted]
# A rule about changes compares with the stored object, which only the server has.
STATELESS = [case for case in CASES if case.before is None]
MODELS = {kind.kind.value: kind for kind in KINDS}

JsonDict = dict[str, Any]


def ask_server(api: Api, case: RuleCase) -> list[JsonDict]:
    """Return the causes of the server's refusal, none where it accepts."""
    try:
        if case.before is None:
            api.create(case.manifest)
        else:
            change(api, case.before, case.manifest)
    except RefusedError as error:
        return error.causes
    return []


def ask_model(case: RuleCase) -> list[str]:
    """Return the paths of the fields that the model refuses."""
    try:
        MODELS[case.kind].parse(case.manifest)
    except InvalidSpecError as error:
        return [problem.path for problem in error.problems]
    return []


def change(api: Api, before: JsonDict, after: JsonDict) -> None:
    stored = api.create(before, store=True)
    try:
        api.update(stored, after)
    finally:
        api.delete(before)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda c: c.id)
def test_rule_accepts_what_it_should(api: Api, case: RuleCase) -> None:
    assert ask_server(api, case) == []


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: c.id)
def test_rule_refuses_with_its_message_alone(api: Api, case: RuleCase) -> None:
    (cause,) = ask_server(api, case)
    assert cause["message"].endswith(f": {case.message}")


@pytest.mark.parametrize("case", STATELESS, ids=lambda c: c.id)
def test_model_and_server_blame_the_same_field(api: Api, case: RuleCase) -> None:
    assert ask_model(case) == [cause["field"] for cause in ask_server(api, case)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_every_rule_has_accepted_and_refused_cases(kind: Any) -> None:
    messages = find_rule_messages(build_root_schema(kind))
    assert len(messages) == len(set(messages))
    for accepted in (True, False):
        cases = {c.message for c in CASES if c.kind == kind.kind and c.accepted is accepted}
        assert cases == set(messages)
