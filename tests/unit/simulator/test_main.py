from feedplane_simulator.__main__ import build_id_base

SECOND = 1000


def test_id_base_rises_faster_than_events() -> None:
    at = 1_795_000_000_000
    assert build_id_base(at + 60 * SECOND) - build_id_base(at) == 6_000_000
    assert build_id_base(at) > 0
