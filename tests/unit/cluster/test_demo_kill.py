from rich.console import Console

from feedplane_cluster.demo_kill import Publisher, read_publisher, seconds_table, who_table


def rendered(table: object) -> list[str]:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_publisher_is_read_from_lease() -> None:
    lease = {
        "metadata": {"annotations": {"feedplane.dev/reason": "LeaseExpired"}},
        "spec": {"holderIdentity": "backup/pod-1", "leaseTransitions": 3},
    }
    assert read_publisher(lease) == Publisher(
        account="backup", pod="pod-1", transitions=3, reason="LeaseExpired"
    )


def test_free_lease_has_no_publisher() -> None:
    assert read_publisher({"metadata": {}}).account == ""


def test_seconds_without_rows_are_shown_as_zero() -> None:
    lines = rendered(seconds_table([(60, 4), (62, 2)], 60, 62, {61: "kill"}))
    assert [line.split()[:2] for line in lines[1:]] == [
        ["00:01:00", "4"],
        ["00:01:01", "0"],
        ["00:01:02", "2"],
    ]
    assert "kill" in lines[2]
    assert lines[1].count("█") == 2 * lines[3].count("█")


def test_publishers_stand_before_and_after() -> None:
    before = Publisher(account="main", pod="a", transitions=1, reason="Vacant")
    after = Publisher(account="backup", pod="b", transitions=2, reason="LeaseExpired")
    lines = rendered(who_table(before, after))
    assert lines[1].split() == ["before", "main", "a", "1", "Vacant"]
    assert lines[2].split() == ["after", "backup", "b", "2", "LeaseExpired"]
