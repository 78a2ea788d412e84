import pytest

from feedplane_feeder.core.retention import DAY_NS, Step, Terms, Way, plan_retention

NOW_NS = 1_000 * DAY_NS
TABLES = ("trades", "quotes")


def plan(terms: Terms, *, can_compress: bool = False, clocks: tuple[int, ...] = (NOW_NS,)) -> str:
    steps = plan_retention(terms, TABLES, {"trades"}, clocks, can_compress=can_compress)
    return " ".join(f"{step.way}:{step.table}:{step.before_ns // DAY_NS}" for step in steps)


@pytest.mark.parametrize(
    ("terms", "can_compress", "planned"),
    [
        (Terms(), True, ""),
        (Terms(retention_days=30), True, "drop:trades:970 delete:quotes:970"),
        (Terms(compress_after_days=7), True, "compress:trades:993"),
        (Terms(compress_after_days=7), False, ""),
        (
            Terms(retention_days=30, compress_after_days=7),
            True,
            "drop:trades:970 delete:quotes:970 compress:trades:993",
        ),
    ],
    ids=["nothing", "retention", "compression", "compression without the license", "both"],
)
def test_retention_plan_is_what_was_asked(terms: Terms, can_compress: bool, planned: str) -> None:
    assert plan(terms, can_compress=can_compress) == planned


def test_retention_clock_that_ran_ahead_costs_no_rows() -> None:
    clocks = (NOW_NS + 500 * DAY_NS, NOW_NS)
    assert plan(Terms(retention_days=30), clocks=clocks) == "drop:trades:970 delete:quotes:970"


def test_retention_plan_without_hypertables_deletes_rows() -> None:
    terms = Terms(retention_days=1, compress_after_days=1)
    (step,) = plan_retention(terms, ["trades"], (), [NOW_NS], can_compress=True)
    assert step == Step(way=Way.DELETE_ROWS, table="trades", before_ns=NOW_NS - DAY_NS)
