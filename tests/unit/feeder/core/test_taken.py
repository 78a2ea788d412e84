from feedplane_feeder.core.taken import count_in


def test_count_of_nothing_leaves_no_trace() -> None:
    counts: dict[str, int] = {}
    count_in(counts, "trade", 0)
    count_in(counts, "quote")
    count_in(counts, "quote", 2)
    assert counts == {"quote": 3}
