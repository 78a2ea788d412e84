import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from feedplane_feeder.adapters.alpaca_frames import (
    LARGEST_ID,
    decimal_text,
    decode_known,
    loose_id,
    nanoseconds,
    turnover,
)
from feedplane_feeder.errors import ImpossibleValueError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2021-02-22T15:51:44.208Z", 1614009104208000000, id="milliseconds"),
        pytest.param("2024-07-24T07:56:53.639713735Z", 1721807813639713735, id="nanoseconds"),
        pytest.param("2024-07-24T07:56:00Z", 1721807760000000000, id="no fraction"),
    ],
)
def test_moment_keeps_every_printed_digit(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "2024-07-24T07:56:53.12x", "2024-07-24T07:56:53.²Z"])
def test_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        nanoseconds(text)


@given(seconds=st.integers(0, 2**34 - 1), nanos=st.integers(0, 999_999_999))
def test_packed_moment_keeps_its_nanoseconds(seconds: int, nanos: int) -> None:
    expected = seconds * 1_000_000_000 + nanos
    assert nanoseconds(Ext(-1, struct.pack("!Q", nanos << 34 | seconds))) == expected
    assert nanoseconds(Ext(-1, struct.pack("!Iq", nanos, seconds))) == expected


def test_packed_moment_of_another_kind_is_refused() -> None:
    assert nanoseconds(Ext(-1, struct.pack("!I", 7))) == 7_000_000_000
    for strange in (Ext(5, b"1234"), Ext(-1, b"12345")):
        with pytest.raises(ValueError, match="packed"):
            nanoseconds(strange)


@given(st.integers(0, LARGEST_ID - 1), st.integers(0, LARGEST_ID - 1))
def test_loose_ids_are_below_zero_and_differ(one: int, other: int) -> None:
    ids = {loose_id(number, exchange) for number in {one, other} for exchange in "DV"}
    assert len(ids) == 2 * len({one, other})
    assert all(-(2**63) <= number < -1 for number in ids)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("135.770", "135.770", id="as printed"),
        pytest.param(136, "136", id="whole"),
        pytest.param(126.55, "126.55", id="binary"),
        pytest.param(136.0, "136", id="binary and whole"),
        pytest.param("1e-05", "0.00001", id="printed with an exponent"),
    ],
)
def test_number_becomes_plain_decimal_text(value: object, expected: str) -> None:
    assert decimal_text(value) == expected


@pytest.mark.parametrize("value", [True, None, [], float("nan"), "1e999", float("inf")])
def test_number_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ImpossibleValueError):
        decimal_text(value)


def test_turnover_is_what_the_mean_price_tells() -> None:
    assert turnover("205", "133.7") == "27408.5"


def test_packed_frame_with_an_unknown_kind_keeps_the_rest() -> None:
    time = Ext(-1, struct.pack("!Q", 208_000_000 << 34 | 1614009104))
    trade = {"T": "t", "i": 1, "S": "AAPL", "p": 1.5, "s": 2, "t": time}
    frame = msgspec.msgpack.encode([trade, {"T": "zz"}, 5, {"T": "t"}])
    messages, errors = decode_known(frame)
    assert [nanoseconds(message.time) for message in messages] == [1614009104208000000]  # type: ignore[union-attr]
    assert len(errors) == 2
