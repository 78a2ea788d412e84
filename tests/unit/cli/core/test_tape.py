from feedplane_cli.core.tape import IdHole


def test_hole_counts_both_of_its_ends() -> None:
    assert IdHole("BTCUSDT.X", "trade", 300, 309, 0).size == 10
