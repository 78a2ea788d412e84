"""Plots as inline SVG: a heat map, stacked columns, a histogram. No script, no font, no address.

Shapes only: what they show is given as numbers and words. Colours come from the page's classes,
so that a page in the dark can have its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

CELL: Final = 16
LABEL_WIDTH: Final = 230
LABEL_EVERY: Final = 5
HEIGHT: Final = 160
COLUMN: Final = 34
LEFT: Final = 64
SHADES: Final = (
    (1_000_000, "full"),
    (950_000, "nearly"),
    (800_000, "most"),
    (1, "some"),
    (0, "little"),
)
"""From how many parts in a million on a cell has which class."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a heat map."""

    title: str
    share_ppm: int | None
    """How much of what is expected is there; None where nobody can know."""
    rows: int


def shade(cell: Cell) -> str:
    """Return the class that colours a cell."""
    if cell.share_ppm is None:
        return "some-rows" if cell.rows else "no-rows"
    return next(name for least, name in SHADES if cell.share_ppm >= least)


def draw_heat_map(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Cell | None]]]) -> str:
    """Draw rows of cells, one column per day; None leaves a field empty."""
    width = LABEL_WIDTH + CELL * len(columns) + 40
    parts = [
        _text(LABEL_WIDTH + index * CELL, 12, name)
        for index, name in enumerate(columns)
        if index % LABEL_EVERY == 0
    ]
    for line, (name, cells) in enumerate(rows):
        top = 20 + line * CELL
        parts.append(_text(LABEL_WIDTH - 6, top + 12, name, end=True))
        parts += [
            f'<rect class="{shade(cell)}" x="{LABEL_WIDTH + index * CELL}" y="{top}"'
            f' width="{CELL - 1}" height="{CELL - 1}"><title>{escape(cell.title)}</title></rect>'
            for index, cell in enumerate(cells)
            if cell is not None
        ]
    return _svg(width, 24 + len(rows) * CELL, parts)


def draw_columns(
    names: Sequence[str], layers: Sequence[tuple[str, Sequence[int]]], what: str
) -> str:
    """Draw stacked columns; each layer is a class and a number per column."""
    totals = [sum(layer[index] for _, layer in layers) for index in range(len(names))]
    highest = max(totals, default=0) or 1
    parts = [
        _text(LEFT - 6, 18, f"{highest:,}", end=True),
        _text(LEFT - 6, HEIGHT + 4, "0", end=True),
        f'<line class="axis" x1="{LEFT}" y1="{HEIGHT}" x2="{LEFT + COLUMN * len(names)}"'
        f' y2="{HEIGHT}"/>',
    ]
    for index, name in enumerate(names):
        foot = float(HEIGHT)
        for style, layer in layers:
            tall = layer[index] * (HEIGHT - 14) / highest
            foot -= tall
            if layer[index]:
                title = f"{name}: {layer[index]:,} {what} {style}".rstrip()
                parts.append(
                    f'<rect class="{escape(style)}" x="{LEFT + index * COLUMN + 2}" y="{foot:.1f}"'
                    f' width="{COLUMN - 4}" height="{max(tall, 1.0):.1f}">'
                    f"<title>{escape(title)}</title></rect>"
                )
        left = LEFT + index * COLUMN + COLUMN // 2
        parts.append(
            f'<text x="{left}" y="{HEIGHT + 14}" text-anchor="end"'
            f' transform="rotate(-40 {left} {HEIGHT + 14})">{escape(name)}</text>'
        )
    return _svg(LEFT + COLUMN * len(names) + 20, HEIGHT + 60, parts)


def _text(left: int, top: int, text: str, *, end: bool = False) -> str:
    anchor = ' text-anchor="end"' if end else ""
    return f'<text x="{left}" y="{top}"{anchor}>{escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
    )
