from feedplane_operator.core.observed import LeaseView


def test_lease_holder_names_its_account() -> None:
    assert LeaseView(holder="primary/spot-primary-0-abc").account == "primary"
    assert LeaseView().account == ""
