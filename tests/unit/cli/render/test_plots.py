from xml.etree import ElementTree as ET

import pytest

from feedplane_cli.render.plots import Cell, draw_columns, draw_heat_map, shade


@pytest.mark.parametrize(
    ("share", "rows", "name"),
    [
        (1_000_000, 5, "full"),
        (999_999, 5, "nearly"),
        (950_000, 5, "nearly"),
        (949_999, 5, "most"),
        (800_000, 5, "most"),
        (799_999, 5, "some"),
        (0, 0, "little"),
        (None, 3, "some-rows"),
        (None, 0, "no-rows"),
    ],
)
def test_cell_is_shaded_by_the_limits(share: int | None, rows: int, name: str) -> None:
    assert shade(Cell("", share, rows)) == name


def test_heat_map_has_a_field_per_cell_and_escapes_names() -> None:
    svg = draw_heat_map(["01-02"], [("<b>&", [Cell("a < b", 0, 0)]), ("B", [None])])
    tree = ET.fromstring(svg)  # noqa: S314 - ours
    fields = [node for node in tree.iter() if node.tag.endswith("rect")]
    assert len(fields) == 1
    assert "&lt;b&gt;&amp;" in svg


def test_columns_are_stacked_up_to_the_highest() -> None:
    svg = draw_columns(["a", "b"], [("open", [1, 0]), ("filled", [1, 4])], "gaps")
    tree = ET.fromstring(svg)  # noqa: S314 - ours
    tall = [float(node.get("height", "0")) for node in tree.iter() if node.tag.endswith("rect")]
    assert tall == [36.5, 36.5, 146.0]
    assert "b: 4 gaps filled" in svg


def test_columns_without_a_number_draw_an_axis_only() -> None:
    assert "<rect" not in draw_columns(["a"], [("open", [0])], "gaps")
