import pytest
from support_api_rules import find_rule_messages

from feedplane_api.conditions import ConditionType, Reason
from feedplane_api.crd import KINDS, build_root_schema
from feedplane_api.feed_source import FeedSource
from feedplane_api.reference import render_conditions_page, render_kind_page
from feedplane_api.resource import Resource

PAGE = render_kind_page(FeedSource, build_root_schema(FeedSource))


def row(field: str) -> str:
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{field}` |"))
    return line


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_page_states_every_rule(kind: type[Resource]) -> None:
    schema = build_root_schema(kind)
    page = render_kind_page(kind, schema)
    assert [
        message for message in find_rule_messages(schema) if f": {message}.\n" not in page
    ] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind.value)
def test_page_states_conditions_and_columns(kind: type[Resource]) -> None:
    page = render_kind_page(kind, build_root_schema(kind))
    assert all(f"- `{condition}`: " in page for condition in kind.condition_types)
    assert all(f"| {column.name.upper()} | " in page for column in kind.columns)


@pytest.mark.parametrize(
    ("field", "cells"),
    [
        ("spec.venue", "string of 1 to 32 characters"),
        ("spec.accounts", "| list of 1 to 8: object | **required** |"),
        ("spec.accounts[].name", "**required**"),
        ("spec.failover.mode", "| `Merged` or `Hot` or `Warm` or `Cold` | `Hot` |"),
        ("spec.failover.leaseDurationSeconds", "| integer, 2 to 300 | `6` |"),
        ("spec.failover", "| object |  |"),
        ("spec.feeder.nodeSelector", "| map of at most 16 strings |"),
        ("spec.feeder.resources.limits.cpu", "| quantity |"),
        ("status.failover.sinceTime", "| time |"),
        ("status.failover.epoch", "| integer from 0 | `0` |"),
        ("status.conditions[].message", "| string of at most 4096 characters |"),
        ("spec.endpoints.archive", "`^https?://[^\\s]+$`"),
        ("spec.endpoints.stream", "wss?\\|https?"),
    ],
)
def test_row_says_type_and_default(field: str, cells: str) -> None:
    assert cells in row(field)


def test_default_list_is_written_out() -> None:
    backfill = KINDS[-1]
    assert "`[Archive, Rest]`" in render_kind_page(backfill, build_root_schema(backfill))


def test_conditions_page_lists_every_word() -> None:
    page = render_conditions_page(KINDS)
    for word in (*ConditionType, *Reason):
        assert f"| `{word}` |" in page
        assert word.sentence in page
    assert "| `Accepted` | FeedSource, Subscription, Backfill |" in page
