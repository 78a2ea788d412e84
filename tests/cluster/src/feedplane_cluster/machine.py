"""What this machine has and lacks: rights, packages, control groups."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from feedplane_cluster.cache import locked
from feedplane_cluster.errors import CommandError, MissingToolError
from feedplane_cluster.process import run
from feedplane_cluster.progress import step

CAP_SYS_RESOURCE = 24
"""The bit's number in linux/capability.h."""

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_V1_CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
)
APT_TRIES = 3
APT_LOCK = Path("/run/feedplane-apt.lock")
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
# 101 tells a package's install script that it may not start its service: we start it ourselves.
REFUSE_START = "#!/bin/sh\nexit 101\n"


def has_capability(status: str, capability: int) -> bool:
    """Whether the bounding set in the text of /proc/self/status holds a capability."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            return bool(int(value, 16) >> capability & 1)
    return False


def lacks_sys_resource() -> bool:
    """Whether no process here may raise resource limits, which containers take for granted."""
    return not has_capability(Path("/proc/self/status").read_text(), CAP_SYS_RESOURCE)


def may_install() -> bool:
    """Whether this is Debian and we are root."""
    return Path("/etc/debian_version").exists() and os.geteuid() == 0


def install_packages(programs: Mapping[str, str], why: str) -> None:
    """Install the Debian packages of the programs that are missing.

    Shape: program to look for -> package it comes in.

    Raises: MissingToolError naming the packages when we may not install them.
    """
    missing = sorted({package for name, package in programs.items() if not find_program(name)})
    if not missing:
        return
    if not may_install():
        raise MissingToolError(
            f"{why} needs {', '.join(missing)}",
            "Install Docker (it must answer `docker version`), or run as root on Debian, "
            "where everything else is set up by itself",
        )
    with (
        locked(APT_LOCK, waiting_for="packages"),
        step(f"Installing {', '.join(missing)}"),
        services_not_started(),
    ):
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", *missing)


def find_program(name: str) -> str | None:
    """Find a program, also where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def apt_get(*arguments: str) -> None:
    """Run apt-get without questions; mirrors have bad moments, so more than once."""
    for attempt in range(1, APT_TRIES + 1):
        try:
            run(
                *("apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", *arguments),
                env={"DEBIAN_FRONTEND": "noninteractive"},
            )
        except CommandError:
            if attempt == APT_TRIES:
                raise
        else:
            return


class services_not_started:  # noqa: N801 - reads as the condition it holds
    """Keep packages from starting their services while the block runs."""

    def __enter__(self) -> None:
        self._ours = not SERVICE_POLICY.exists()
        if self._ours:
            SERVICE_POLICY.write_text(REFUSE_START)
            SERVICE_POLICY.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            SERVICE_POLICY.unlink(missing_ok=True)


def missing_cgroup_mounts(mounts: str, enabled: Iterable[str]) -> list[tuple[str, str]]:
    """Name the control group file systems to mount, from the text of /proc/self/mounts.

    Shape: (folder name, mount option) each; empty on cgroup v2.
    """
    mounted: set[str] = set()
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and place == str(CGROUP_ROOT):
            return []
        if kind == "cgroup":
            mounted.update(options.split(","))
    wanted = [(name, name) for name in CGROUP_V1_CONTROLLERS if name in set(enabled)]
    return [
        (folder, option)
        for folder, option in [*wanted, ("systemd", "none,name=systemd")]
        if option.removeprefix("none,") not in mounted
    ]


def mount_cgroups() -> None:
    """Mount the control groups an engine needs where nothing else has done it."""
    if not Path("/proc/cgroups").exists():
        return
    enabled = [line.split()[0] for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    missing = missing_cgroup_mounts(Path("/proc/self/mounts").read_text(), enabled)
    if missing and f" {CGROUP_ROOT} " not in Path("/proc/self/mounts").read_text():
        run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", CGROUP_ROOT)
    for folder, option in missing:
        (CGROUP_ROOT / folder).mkdir(exist_ok=True)
        run("mount", "-t", "cgroup", "-o", option, "cgroup", CGROUP_ROOT / folder)


def processes(program: str) -> dict[int, list[str]]:
    """Find the processes of a program by the name of its file: pid -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue  # it has just ended
        if words and Path(words[0]).name == program:
            found[int(entry.name)] = words
    return found


def start_daemon(command: list[str], log: Path) -> None:
    """Start a program that goes on after us, and is no child of ours."""
    with log.open("ab") as file:
        subprocess.run(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=True,
        )
