import pytest

from feedplane_operator.errors import (
    ConflictError,
    LeadershipLostError,
    NotFoundError,
    OperatorError,
    RefusedError,
    Retry,
    SettingsError,
    UnreachableError,
)


@pytest.mark.parametrize(
    ("error", "retry", "text"),
    [
        (SettingsError("A", "a number", "x"), Retry.FATAL, "Expected A to be a number, was 'x'"),
        (LeadershipLostError(10), Retry.FATAL, "Expected to renew the Lease within 10 s"),
        (UnreachableError("GET /x", 503, "later"), Retry.RETRY, "was 503: later"),
        (ConflictError("PUT /x", 409, "changed"), Retry.RETRY, "Expected PUT /x to succeed"),
        (NotFoundError("GET /x", 404, "gone"), Retry.SKIP, "was 404: gone"),
        (RefusedError("GET /x", 422, "no"), Retry.SKIP, "was 422: no"),
    ],
)
def test_error_says_what_was_expected_and_whether_to_retry(
    error: OperatorError, retry: Retry, text: str
) -> None:
    assert error.retry is retry
    assert text in str(error)
