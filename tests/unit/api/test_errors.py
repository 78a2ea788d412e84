from feedplane_api.errors import (
    FeedplaneError,
    InvalidSpecError,
    InvalidWorkerConfigError,
    Problem,
)


def test_problem_names_field_rule_and_value() -> None:
    assert str(Problem("spec.venue", "must be set")) == "spec.venue: must be set"
    assert str(Problem("spec.n", "at most 3", "4")) == "spec.n: at most 3, was 4"


def test_invalid_spec_error_lists_each_problem() -> None:
    error = InvalidSpecError("Backfill", (Problem("spec.a", "x"), Problem("spec.b", "y")))
    assert str(error) == "Expected a valid Backfill, was wrong at spec.a: x; spec.b: y"
    assert error.path == "spec.a"
    assert isinstance(error, FeedplaneError)


def test_invalid_spec_error_counts_what_it_hides() -> None:
    problems = tuple(Problem(f"spec.f{n}", "x") for n in range(8))
    assert str(InvalidSpecError("FeedSource", problems)).endswith("spec.f4: x; and 3 more")


def test_invalid_worker_config_error_names_its_field() -> None:
    error = InvalidWorkerConfigError("venue", "must be set")
    assert str(error) == "Expected a usable worker configuration, was wrong at venue: must be set"
