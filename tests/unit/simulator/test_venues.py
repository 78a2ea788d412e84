import pytest
import typer

from feedplane_simulator.__main__ import parse_venues
from feedplane_simulator.venues import VENUES


def test_hosted_venues_are_in_alphabetical_order() -> None:
    assert list(VENUES) == sorted(VENUES)


def test_further_port_of_hosted_venue_may_be_told() -> None:
    assert parse_venues(["ctp=9006", "ctp-list=9007"]) == {"ctp": 9006, "ctp-list": 9007}


@pytest.mark.parametrize("told", ["nowhere=9003", "nowhere"], ids=["with a port", "without"])
def test_hosted_venue_of_no_such_name_is_refused(told: str) -> None:
    with pytest.raises(typer.BadParameter, match="was nowhere"):
        parse_venues([told])
