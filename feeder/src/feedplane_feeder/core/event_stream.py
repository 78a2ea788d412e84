"""Server-sent events: from pieces of a stream to the data of its events.

Only `data` is of interest here; names, ids and comments are passed over. Pure; must not know
HTTP or what the data says.

Source: HTML Living Standard, section 9.2.6 "Interpreting an event stream", read 2026-11-21.
"""

from typing import Final

LONGEST_BYTES: Final = 16 * 1024 * 1024
"""An event that does not end by then is none; the stream cannot be read on."""


class EventStream:
    """One stream of events."""

    __slots__ = ("_data", "_rest", "_size", "broken")

    def __init__(self) -> None:
        self.broken = False
        """The stream holds something endless and is of no more use."""
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece in and return the data of the events that it completes."""
        text = self._rest + piece
        # What ends with a carriage return may be half of a line's end.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        events: list[bytes] = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data:
                events.append(b"\n".join(self._data))
                self._data, self._size = [], 0
        if self._size + len(self._rest) > LONGEST_BYTES:
            self.broken = True
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
