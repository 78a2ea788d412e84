from feedplane_simulator.violations import Rule, Violation, ViolationLog


def violation(time: int) -> Violation:
    return Violation(
        time=time, market="spot", connection=1, client="a", rule=Rule.NO_PONG, detail="late"
    )


def test_log_keeps_the_newest_and_counts_all() -> None:
    log = ViolationLog(keep=2)
    for time in range(3):
        log.add(violation(time))
    assert [entry["time"] for entry in log.list_all()] == [1, 2]
    assert log.counts == {"no-pong": 3}
    log.clear()
    assert (log.list_all(), dict(log.counts)) == ([], {})
