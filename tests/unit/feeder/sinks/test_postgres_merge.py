"""The sink's SQL names every column and the natural key."""

import pytest

from feedplane_feeder.sinks.postgres_merge import render_statements
from feedplane_feeder.sinks.postgres_schema import BARS, TABLES, Table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_merge_names_columns_and_key(table: Table) -> None:
    merge = render_statements("tape").merge[table.name]
    key = ", ".join(f'"{column}"' for column in table.key)
    assert all(f'"{column}"' in merge for column, _ in table.columns)
    assert f"on conflict ({key})" in merge
    assert f'"tape".{table.name}' in merge
    assert ("do nothing" in merge) is (table is not BARS)


def test_statements_quote_the_schema() -> None:
    statements = render_statements('odd"name')
    assert '"odd""name".gaps' in statements.gaps
    assert all('"odd""name".' in text for text in statements.last.values())
