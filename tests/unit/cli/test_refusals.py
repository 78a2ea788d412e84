import json

import pytest

from feedplane_cli.errors import (
    ChangedError,
    CliError,
    ExitStatus,
    ForbiddenError,
    KindsMissingError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from feedplane_cli.refusals import explain_refusal
from feedplane_cli.requests import Request

FEED = Request(verb="get", kind="FeedSource", namespace="trading", name="spot")
LOG = Request(verb="get", kind="Pod", namespace="trading", name="x", subresource="log")
NAMED = json.dumps({"message": "not found", "details": {"name": "spot"}})


@pytest.mark.parametrize(
    ("request_", "status", "body", "error", "words"),
    [
        (FEED, 401, "", UnauthorizedError, "does not take the credentials"),
        (FEED, 403, "{}", ForbiddenError, "may not get feedsources of API group feedplane.dev"),
        (FEED, 404, NAMED, NotFoundError, "no FeedSource spot in namespace trading"),
        (FEED, 404, "404 page not found", KindsMissingError, "not installed"),
        (LOG, 404, '{"message": "gone"}', NotFoundError, "Pod x has no such thing: gone"),
        (FEED, 409, "{}", ChangedError, "somebody else"),
        (FEED, 422, '{"message": "testing value /x failed"}', ChangedError, "somebody else"),
        (FEED, 422, '{"message": "spec.x is wrong"}', RefusedError, "spec.x is wrong"),
        (FEED, 503, "later", UnreachableError, "cannot do it now"),
        (FEED, 429, "later", UnreachableError, "cannot do it now"),
        (FEED, 400, "[]", RefusedError, "refuses"),
    ],
)
def test_refusal_is_explained_with_advice(
    request_: Request, status: int, body: str, error: type[CliError], words: str
) -> None:
    explained = explain_refusal(request_, status, body)
    assert type(explained) is error
    assert words in str(explained)
    assert explained.status not in (ExitStatus.HEALTHY, ExitStatus.NOT_READY)


def test_pod_that_is_gone_is_named() -> None:
    pod = Request(verb="get", kind="Pod", namespace="a", name="x")
    assert "no Pod x in namespace a" in str(explain_refusal(pod, 404, NAMED))
