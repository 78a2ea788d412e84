"""Every figure in a document stands in a result file with the same value."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


render_results = load(ROOT / "tests/bench/render_results.py")


def result(**changes: Any) -> dict[str, Any]:
    return {
        "figure": "rows-per-second",
        "value": 123456.7,
        "unit": "rows/s",
        "goal": 100000,
        "met": True,
        "command": "python -m tests.bench.copy",
        "commit": "0123456789abcdef",
        "date": "2026-11-21T10:00:00Z",
        "machine": "2 cores",
        "runs": [1, 2, 3],
        "details": {},
        **changes,
    }


def test_documents_quote_only_what_was_measured() -> None:
    assert render_results.problems(ROOT) == []


@pytest.mark.parametrize(
    ("page", "problems"),
    [
        ("no figure at all", []),
        ("**123,457**<!-- figure: rows-per-second --> rows", []),
        (
            "**200,000**<!-- figure: rows-per-second -->",
            ["rows-per-second: page says 200,000, measured 123,457"],
        ),
        ("**1**<!-- figure: other -->", ["other: no such result"]),
        (
            "123,457<!-- figure: rows-per-second -->",
            ["a figure mark without a bold number directly before it"],
        ),
    ],
    ids=["none", "right", "embellished", "invented", "not bold"],
)
def test_misquotes_are_found_in_a_page(page: str, problems: list[str]) -> None:
    assert list(render_results.misquotes(page, {"rows-per-second": result()})) == problems


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (123456, "123,456"), (123456.7, "123,457"), (12.345, "12.3"), (0.0123, "0.0123")],
)
def test_numbers_are_written_without_false_digits(value: float, text: str) -> None:
    assert render_results.render_number(value) == text


def test_unmet_goal_stands_out_in_the_table() -> None:
    assert "| **no** |" in render_results.render_row(result(met=False))


def trial_round(**changes: Any) -> dict[str, Any]:
    return {
        "delivered_per_second": 5000,
        "lost": 0,
        "lost_unnamed": 0,
        "doubled": 0,
        "stall_seconds": 2.5,
        "failovers": 1,
        **changes,
    }


def test_trials_are_summed_over_their_rounds() -> None:
    rounds = [trial_round(lost=2), trial_round(stall_seconds=7.25, takeover_seconds=1.5)]
    row = render_results.render_trial({"trial": "kill", "broken": ["lost 2"], "rounds": rounds})
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells == ["2", "5,000", "2", "0", "0", "7.25, 7.25", "1.5", "2", "**no**"]


def test_result_file_lacking_a_field_is_refused(tmp_path: Path) -> None:
    broken = {key: value for key, value in result().items() if key != "goal"}
    (tmp_path / "rows-per-second.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="goal"):
        render_results.load_results(tmp_path)
