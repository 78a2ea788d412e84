import pytest

from feedplane_operator.core.quantities import parse_quantity, same_quantity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("0.5", "500m", id="cores and thousandths"),
        pytest.param("1Gi", "1024Mi", id="binary steps"),
        pytest.param(1, "1000m", id="a number and thousandths"),
        pytest.param("1.50", "1500m", id="a trailing zero"),
    ],
)
def test_quantity_written_two_ways_is_the_same(one: object, other: object) -> None:
    assert same_quantity(one, other)


@pytest.mark.parametrize("text", ["", "lots", "5x", "1Zi", "--1", "1KiMi"])
def test_quantity_that_is_none_parses_to_nothing(text: str) -> None:
    assert parse_quantity(text) is None
    assert not same_quantity(text, text)


def test_quantity_of_another_amount_differs() -> None:
    assert not same_quantity("1M", "1Mi")
