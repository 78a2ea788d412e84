"""EastMoney's answers: rows of a quote list, pushed as changes, and ticks of the WebSocket.

A stream's first event holds every field of every row, the later ones what changed; so rows are
kept and each event gives whole looks again. Numbers stay the text that was printed (`fltt=2` asks
for decimals), volumes are in lots of a hundred shares.

Source: no description is published; fields as public clients read them (akshare 1.19,
efinance 0.5), read 2026-11-21.
"""

from datetime import timedelta, timezone
from typing import Final

import msgspec
from msgspec import Raw, Struct

from feedplane_feeder.core.looks import Look
from feedplane_feeder.errors import ImpossibleValueError, MalformedFrameError

SHANGHAI: Final = timezone(timedelta(hours=8))
FIELDS: Final = ("f2", "f5", "f6", "f12", "f13", "f15", "f16", "f17", "f18", "f124")
ABSENT: Final = frozenset({"", "-", "null"})
SECONDS: Final = range(10**9, 2**32)

Row = dict[str, str]
"""Field -> text."""


class _Event(Struct):
    data: Raw = Raw(b"null")
    rc: int = 0
    full: int = 0


class _Keyed(Struct):
    diff: dict[str, dict[str, Raw]]


class _Listed(Struct):
    diff: list[dict[str, Raw]]


class _Tick(Struct):
    code: str
    price: Raw = Raw(b"null")
    volume: Raw = Raw(b"null")


class RowBook:
    """The rows of one stream, as told so far."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.complete = False
        """A full event came, and nothing was lost since."""
        self.full = False
        """Whether the event just taken was a full one."""

    def lose(self) -> None:
        """Trust nothing before the next full event."""
        self.complete = False
        self._rows.clear()

    def take(self, frame: bytes) -> dict[str, Row] | None:
        """Return the rows that an event told something of, by secid; None for a sign of life.

        Raises:
            MalformedFrameError: no such event.
        """
        self.full = False
        try:
            event = msgspec.json.decode(frame, type=_Event)
            if bytes(event.data) in (b"null", b"{}"):
                self._take_empty(event, frame)
                return None
            if b'"diff":[' in frame[:4_096].replace(b" ", b""):
                listed = msgspec.json.decode(event.data, type=_Listed).diff
                keyed = {str(place): row for place, row in enumerate(listed)}
            else:
                keyed = msgspec.json.decode(event.data, type=_Keyed).diff
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedFrameError(str(error), frame) from error
        if event.full == 1:
            self._rows.clear()
            self.complete = self.full = True
        return {} if not self.complete else self._merge(keyed, frame)

    def _take_empty(self, event: _Event, frame: bytes) -> None:
        # A venue that has had enough of us says that all is well and nothing is there.
        if event.full == 1 or event.rc != 0:
            raise MalformedFrameError("no data", frame)

    def _merge(self, keyed: dict[str, dict[str, Raw]], frame: bytes) -> dict[str, Row]:
        told: dict[str, Row] = {}
        for key, fields in keyed.items():
            row = self._rows.setdefault(key, {})
            row.update((name, _text(raw)) for name, raw in fields.items())
            if "f12" not in row or "f13" not in row:
                raise MalformedFrameError("a row without code and market", frame)
            told[f"{row['f13']}.{row['f12']}"] = row
        return told


def read_row(row: Row) -> Look:
    """Return the look of a row.

    Raises:
        ImpossibleValueError: ImpossibleTime.
    """
    seconds = row.get("f124", "")
    if not (seconds.isascii() and seconds.isdecimal() and int(seconds) in SECONDS):
        raise ImpossibleValueError("ImpossibleTime")
    return Look(
        time_ns=int(seconds) * 1_000_000_000,
        last=_told(row, "f2"),
        volume=_told(row, "f5"),
        turnover=_told(row, "f6"),
        high=_told(row, "f15"),
        low=_told(row, "f16"),
        open=_told(row, "f17"),
        previous_close=_told(row, "f18"),
    )


def read_tick(frame: bytes, ts_recv: int) -> tuple[str, Look] | None:
    """Return secid and look of a WebSocket frame; None for any other object.

    The frame bears no time, so that of its arrival stands for it.

    Raises:
        MalformedFrameError: no object.
    """
    try:
        tick = msgspec.json.decode(frame, type=_Tick)
    except msgspec.ValidationError:
        if frame.lstrip()[:1] == b"{":
            return None
        raise MalformedFrameError("not an object", frame) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrameError(str(error), frame) from error
    row = {"f2": _text(tick.price), "f5": _text(tick.volume)}
    return tick.code, Look(time_ns=ts_recv, last=_told(row, "f2"), volume=_told(row, "f5"))


def secid(symbol: str) -> str:
    """Return the venue's spelling: market number, dot, code.

    A bare code is a share of Shanghai, Shenzhen or Beijing, told apart by its first digits; all
    else (indices, other places) is named with its market number.
    """
    if "." in symbol:
        return symbol
    shanghai = symbol.startswith(("5", "6", "9")) and not symbol.startswith("92")
    return f"{1 if shanghai else 0}.{symbol}"


def _text(raw: Raw) -> str:
    return bytes(raw).decode("utf-8", "replace").strip('"')


def _told(row: Row, name: str) -> str | None:
    text = row.get(name, "")
    return None if text in ABSENT else text
