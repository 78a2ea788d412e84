"""Server-sent events come out of whatever pieces they arrive in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_feeder.core import event_stream
from feedplane_feeder.core.event_stream import EventStream


def read(*pieces: bytes) -> list[bytes]:
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: {}\n\n", [b"{}"]),
        (b"data:{}\r\n\r\n", [b"{}"]),
        (b"data: {}\r\r", []),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": hello\nevent: quote\nid: 7\ndata: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b\n", [b"a"]),
        (b"\n\n\n", []),
        (b"data\n\n", [b""]),
    ],
)
def test_data_of_complete_events_is_returned(text: bytes, events: list[bytes]) -> None:
    assert read(text) == events


def test_line_ends_may_be_cut_in_two() -> None:
    assert read(b"data: a\r", b"\n\r", b"\ndata: b\r\r", b"x\n") == [b"a", b"b"]


@given(st.lists(st.integers(1, 12), max_size=30))
def test_pieces_of_any_size_give_the_same_events(sizes: list[int]) -> None:
    text = b'data: {"a":1}\r\n\r\n: alive\n\ndata: first\ndata: second\n\ndata: z\n\n'
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    assert read(*pieces, text[at:]) == read(text)


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_random_bytes_never_raise(pieces: list[bytes]) -> None:
    assert all(isinstance(event, bytes) for event in read(*pieces))


def test_event_without_an_end_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "LONGEST_BYTES", 20)
    stream = EventStream()
    assert stream.feed(b"data: 0123456789\n") == []
    assert not stream.broken
    stream.feed(b"data: 0123456789abc")
    assert stream.broken
