import pytest

from feedplane_cluster.machine import CAP_SYS_RESOURCE, has_capability, missing_cgroup_mounts

STATUS = "Name:\tcat\nCapPrm:\t000001ffffffffff\nCapBnd:\t{}\nCapAmb:\t0000000000000000\n"
ALL_BUT_DEVICES = "\n".join(
    f"cgroup /sys/fs/cgroup/{name} cgroup rw,relatime,{name} 0 0"
    for name in ("cpu", "cpuacct", "cpuset", "memory", "freezer", "blkio", "pids", "name=systemd")
)
ENABLED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "net_cls")


@pytest.mark.parametrize(
    ("mask", "held"),
    [("000001ffffffffff", True), ("000001fffeffffff", False), ("0000000000000000", False)],
    ids=["all of them", "all but this one", "none"],
)
def test_bounding_set_tells_capability(mask: str, held: bool) -> None:
    assert has_capability(STATUS.format(mask), CAP_SYS_RESOURCE) is held


def test_status_without_bounding_set_holds_nothing() -> None:
    assert not has_capability("Name:\tcat\n", CAP_SYS_RESOURCE)


def test_missing_controller_is_mounted() -> None:
    assert missing_cgroup_mounts(ALL_BUT_DEVICES, ENABLED) == [("devices", "devices")]


def test_joined_controllers_count_as_mounted() -> None:
    mounts = ALL_BUT_DEVICES + "\ncgroup /sys/fs/cgroup/x cgroup rw,devices,net_cls 0 0"
    assert missing_cgroup_mounts(mounts, ENABLED) == []


def test_controller_the_kernel_lacks_is_not_mounted() -> None:
    assert missing_cgroup_mounts(ALL_BUT_DEVICES, ("cpu", "memory")) == []


def test_machine_without_any_mounts_gets_systemd_hierarchy() -> None:
    missing = missing_cgroup_mounts("proc /proc proc rw 0 0", ("cpu",))
    assert missing == [("cpu", "cpu"), ("systemd", "none,name=systemd")]


def test_second_cgroup_version_needs_nothing() -> None:
    assert missing_cgroup_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", ENABLED) == []
