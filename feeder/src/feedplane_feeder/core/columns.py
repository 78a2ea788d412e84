"""Lines of bars read column by column: whole blocks of text at once, by arithmetic on words.

Eight characters are one word of 64 bits, so a handful of operations over arrays turns every number
of a thousand lines into its digits. Only what is plain is read here: lines of exactly the promised
columns, digits and single points, prices in order, times in theirs. One line that is not makes the
whole block somebody else's, who names what is wrong with it. Pure; the one module of the core
that needs numpy, for which reason nothing that feeds live imports it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from feedplane_feeder.core.history import (
    EARLIEST_US,
    LATEST_US,
    MICROSECONDS_FROM,
    BarLayout,
    without_header,
)

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

WORD: Final = 8
"""Characters of a word."""
PRICES: Final = 4
"""The first numbers of a bar: open, high, low, close."""
_PLAIN: Final = b"0123456789.,\n"
_NEWLINE, _POINT, _ZERO = b"\n.0"
_PADDING: Final = b"0" * 2 * WORD
"""In front of a block, so that two words end at its first number."""
_EVERY: Final = 2**64 - 1
_LAST: Final = np.array(
    [0, *(_EVERY << 8 * (WORD - count) & _EVERY for count in range(1, WORD + 1))], np.uint64
)
"""Masks that leave a word's last characters, by how many."""
_FIRST: Final = np.array([(1 << 8 * count) - 1 for count in range(WORD + 1)], np.uint64)
"""Masks that leave a word's first characters, by how many."""
_EIGHT_DIGITS: Final = np.uint64(10**WORD)


@dataclass(frozen=True, slots=True)
class Decimals:
    """Numbers as their digits, in groups of four; each array is of shape (rows, numbers)."""

    whole: Words
    """The last eight digits before the point: four in each half, the first four in the lower."""
    beyond: Words | None
    """The eight digits before those, where any number has them."""
    fraction: Words
    """The eight digits after the point."""
    scale: Ints
    """How many digits were printed after the point."""


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars of one instrument and interval, in order of time; arrays of one value a bar."""

    opened: Ints
    closed: Ints
    """Microseconds since the epoch, as `opened`."""
    trade_count: Ints
    numbers: Decimals
    """Open, high, low, close, volume, quote volume, taker's base volume, taker's quote volume."""

    def __len__(self) -> int:
        return len(self.opened)

    def find_between(self, bounds_us: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return which bars open from each first time up to its second: begin and end."""
        found = np.searchsorted(self.opened, np.array(bounds_us, np.int64))
        return [(int(begin), int(end)) for begin, end in found]

    def only(self, spans: Sequence[tuple[int, int]]) -> "BarColumns":
        """Return the bars of spans that do not overlap, each its begin and end."""
        if sum(end - begin for begin, end in spans) == len(self):
            return self
        keep = np.zeros(len(self), np.bool_)
        for begin, end in spans:
            keep[begin:end] = True
        numbers = self.numbers
        return BarColumns(
            self.opened[keep],
            self.closed[keep],
            self.trade_count[keep],
            Decimals(
                numbers.whole[keep],
                None if numbers.beyond is None else numbers.beyond[keep],
                numbers.fraction[keep],
                numbers.scale[keep],
            ),
        )


def read_bars(block: bytes, layout: BarLayout) -> BarColumns | None:
    """Read whole lines of bars; None where anything is other than plain.

    Args:
        block: lines that each end in a newline, perhaps a header in front.
        layout: which column holds what.
    """
    text = _Text(without_header(block), layout.columns)
    if not text.regular:
        return None
    numbers = text.read_decimals(layout.numbers)
    times = text.read_integers((layout.opened, layout.closed, layout.trade_count))
    if numbers is None or times is None:
        return None
    opened, closed, trade_count = times
    if (opened < MICROSECONDS_FROM).all():
        opened, closed = opened * 1000, closed * 1000
    lengths = closed - opened
    good = (opened >= EARLIEST_US) & (opened < LATEST_US)
    good &= (lengths > 0) & (lengths < layout.longest_us) & _in_order(numbers)
    if not good.all() or (opened[1:] < opened[:-1]).any():
        return None
    return BarColumns(opened, closed, trade_count, numbers)


class _Text:
    """A block of lines, and where its fields lie."""

    def __init__(self, block: bytes, columns: int) -> None:
        self._padded = b"".join((_PADDING, block, _PADDING))
        self._bytes = np.frombuffer(self._padded, np.uint8)[len(_PADDING) : -len(_PADDING)]
        # The word that begins at each character of the padded text.
        self._words: Words = np.ndarray(
            (len(self._padded) - WORD + 1,), np.dtype("<u8"), self._padded, strides=(1,)
        )
        self.regular = block.endswith(b"\n") and not block.translate(None, _PLAIN)
        """Whether every line has the columns that were promised, of digits and points."""
        if not self.regular:
            return
        # All that is plain and no digit comes before the digits.
        marks = np.flatnonzero(self._bytes < _ZERO)
        found = self._bytes[marks]
        is_point = found == _POINT
        ends, closing = marks[~is_point], found[~is_point]
        self.regular = len(ends) % columns == 0 and np.array_equal(
            np.flatnonzero(closing == _NEWLINE), np.arange(columns - 1, len(ends), columns)
        )
        if not self.regular:
            return
        shape = (-1, columns)
        self._ends = ends.reshape(shape)
        self._starts = np.concatenate(([0], ends[:-1] + 1)).reshape(shape)
        self._points = marks[is_point]
        # How many points stand before each field.
        passed = np.cumsum(is_point)[~is_point]
        self._before = np.concatenate(([0], passed[:-1])).reshape(shape)

    def read_decimals(self, columns: tuple[int, ...]) -> Decimals | None:
        """Return numbers of columns, each of up to sixteen digits, a point and eight more.

        None, too, where any other column has a point.
        """
        chosen = list(columns)
        starts, ends = self._starts[:, chosen], self._ends[:, chosen]
        last = len(self._points) - 1
        if last < 0:
            points = ends
        else:
            points = np.minimum(self._points[np.minimum(self._before[:, chosen], last)], ends)
            points = np.where(points < starts, ends, points)
        whole, scale = points - starts, ends - points - 1
        pointed = points < ends
        good = (whole >= 1) & (whole <= 2 * WORD) & (scale <= WORD) & ((scale >= 1) | ~pointed)
        # A number that begins with a stray zero would not be printed again.
        good &= (whole == 1) | (self._bytes[starts] != _ZERO)
        # A point that is nobody's is a second one or belongs to another column.
        if not good.all() or np.count_nonzero(pointed) != len(self._points):
            return None
        scale = np.maximum(scale, 0)
        near = np.minimum(whole, WORD)
        # Words are found by their place in the padded text.
        beyond = None
        if int(whole.max()) > WORD:
            beyond = _by_fours(self._words[points] & _LAST[whole - near])
        return Decimals(
            whole=_by_fours(self._words[points + WORD] & _LAST[near]),
            beyond=beyond,
            fraction=_by_fours(self._words[points + len(_PADDING) + 1] & _FIRST[scale]),
            scale=scale,
        )

    def read_integers(self, columns: tuple[int, ...]) -> list[Ints] | None:
        """Return whole numbers of columns, each of up to sixteen digits."""
        chosen = list(columns)
        ends = self._ends[:, chosen]
        widths = ends - self._starts[:, chosen]
        if int(widths.min()) < 1 or int(widths.max()) > 2 * WORD:
            return None
        near = np.minimum(widths, WORD)
        low = _joined(_by_fours(self._words[ends + WORD] & _LAST[near]))
        high = _joined(_by_fours(self._words[ends] & _LAST[widths - near]))
        return list((high * _EIGHT_DIGITS + low).astype(np.int64).T)


# Eight characters, as the bytes of a word, to two numbers of four digits, one in each half. What a
# mask left empty counts as zeros.
def _by_fours(words: Words) -> Words:
    digits = words & np.uint64(0x0F0F0F0F0F0F0F0F)
    pairs = (digits * np.uint64(10 << 8 | 1) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    return (pairs * np.uint64(100 << 16 | 1) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)


# Both halves to one number of eight digits.
def _joined(fours: Words) -> Words:
    return fours * np.uint64(10_000 << 32 | 1) >> np.uint64(32)


def _in_order(numbers: Decimals) -> Flags:
    if numbers.beyond is not None and numbers.beyond[:, :PRICES].any():
        return np.zeros(len(numbers.scale), np.bool_)
    prices = _joined(numbers.whole[:, :PRICES]) * _EIGHT_DIGITS
    prices += _joined(numbers.fraction[:, :PRICES])
    first, high, low, last = prices.T
    good: Flags = (low > 0) & (low <= first) & (first <= high) & (low <= last) & (last <= high)
    return good
