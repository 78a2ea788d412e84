"""Which versions may hold the tape, and that columns, encoder and keys agree."""

import pytest

from feedplane_feeder.sinks.postgres_schema import TABLES, Features, Table, check_features


@pytest.mark.parametrize(
    ("timescale", "word"),
    [
        pytest.param(None, None, id="plain PostgreSQL"),
        pytest.param("2.18.1", None, id="the first good one"),
        pytest.param("2.19.3", None, id="what distributions ship"),
        pytest.param("3.0.0-dev", None, id="a later major"),
        pytest.param("2.18.0", "2.18.1", id="the last bad one"),
        pytest.param("2.9.1", "2.18.1", id="compared by number, not by text"),
        pytest.param("1.7.5", "2.18.1", id="an old major"),
    ],
)
def test_check_features_refuses_versions_that_lose_rows(
    timescale: str | None, word: str | None
) -> None:
    reason = check_features(Features(postgres=170_000, timescale=timescale, license="apache"))
    if word is None:
        assert reason is None
    else:
        assert reason is not None
        assert word in reason
        assert str(timescale) in reason


def test_check_features_refuses_old_postgres() -> None:
    reason = check_features(Features(postgres=120_022, timescale=None, license=None))
    assert reason == "PostgreSQL 12 is older than 13"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_keys_are_columns_and_never_null(table: Table) -> None:
    names = [name for name, _ in table.columns]
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert not set(table.key) & set(table.nullable)
    if table.partition is not None:
        assert table.partition in table.key, "a hypertable's unique key holds its time"
