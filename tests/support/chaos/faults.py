"""Ways to hurt a feed: processes, nodes, networks, the API server, the database, the venue."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from release import Release, VenueAdmin

from chaos.feed import ChaosFeed

MANIFESTS: Final = "/etc/kubernetes/manifests"
API_SERVER: Final = "kube-apiserver.yaml"
OPERATOR: Final = "app.kubernetes.io/component=operator"


def kill_feeder(feed: ChaosFeed, account: str) -> None:
    """Kill -9 an account's feeder from its node; the kubelet starts the container again."""
    pod = feed.pods(account)[0]
    container = _container(pod)
    feed.release.on_node(
        pod["spec"]["nodeName"],
        *("ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container),
    )


def _container(pod: dict[str, Any]) -> str:
    states = pod["status"]["containerStatuses"]
    return str(states[0]["containerID"]).removeprefix("containerd://")


@contextmanager
def no_operator(release: Release) -> Iterator[None]:
    """Let there be no operator for as long as the block runs."""
    release.kubectl("scale", "deployment", "-l", OPERATOR, "--replicas=0")
    try:
        release.wait(lambda: not release.items("pods", OPERATOR), 60, "no operator")
        yield
    finally:
        release.kubectl("scale", "deployment", "-l", OPERATOR, "--replicas=2")
        release.kubectl(
            "rollout", "status", "deployment", "-l", OPERATOR, "--timeout=90s", timeout=120
        )


@contextmanager
def frozen_node(node: str) -> Iterator[None]:
    """Freeze a node with everything on it; its kernel still acknowledges what arrives."""
    docker("pause", node)
    try:
        yield
    finally:
        docker("unpause", node)


@contextmanager
def no_api_server(release: Release, node: str) -> Iterator[None]:
    """Stop the API server; its manifest comes back afterwards."""
    release.on_node(node, "mv", f"{MANIFESTS}/{API_SERVER}", f"/etc/kubernetes/{API_SERVER}")
    try:
        release.wait(lambda: not _runs(node, "kube-apiserver"), 60, "the API server to stop")
        yield
    finally:
        release.on_node(node, "mv", f"/etc/kubernetes/{API_SERVER}", f"{MANIFESTS}/{API_SERVER}")
        release.wait(lambda: _answers(release), 120, "the API server to answer", every=1)


def _runs(node: str, program: str) -> bool:
    argv = ["docker", "exec", node, "pgrep", "-x", program]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _answers(release: Release) -> bool:
    try:
        release.kubectl("get", "--raw", "/readyz", timeout=10)
    except (AssertionError, subprocess.TimeoutExpired):
        return False
    return True


@contextmanager
def lossy_network(feed: ChaosFeed, account: str, probability: float) -> Iterator[None]:
    """Drop a share of the packets between an account's feeder and the venue, both ways.

    Only of streams and REST: the database and the API server are reached as ever.
    """
    pod = feed.pods(account)[0]
    node = pod["spec"]["nodeName"]
    task = feed.release.on_node(node, "ctr", "-n", "k8s.io", "task", "ls")
    pid = next(line.split()[1] for line in task.splitlines() if line.startswith(_container(pod)))
    chance = ("-m", "statistic", "--mode", "random", "--probability", str(probability))
    rules = [
        ("INPUT", "-p", "tcp", "--sport", "9001", *chance, "-j", "DROP"),
        ("OUTPUT", "-p", "tcp", "--dport", "9001", *chance, "-j", "DROP"),
    ]
    inside = ("nsenter", "-t", pid, "-n", "iptables", "-w")
    for rule in rules:
        feed.release.on_node(node, *inside, "-A", *rule)
    try:
        yield
    finally:
        for rule in rules:
            undo: Sequence[str] = ("docker", "exec", node, *inside, "-D", *rule)
            # The feeder may have been replaced meanwhile, and its network with it.
            subprocess.run(undo, capture_output=True, check=False)


@contextmanager
def no_database(release: Release) -> Iterator[None]:
    """Take the database away; its volume stays."""
    database = f"{release.name}-database"
    release.kubectl("scale", "statefulset", database, "--replicas=0")
    try:
        yield
    finally:
        release.kubectl("scale", "statefulset", database, "--replicas=1")
        release.kubectl(
            "rollout", "status", f"statefulset/{database}", "--timeout=90s", timeout=120
        )


def mute(venue: VenueAdmin, account: str) -> int:
    """Let a line's sockets fall silent, pings and replies too, but stay open."""
    return _inject(venue, "stall", client=account, market="spot")


def refuse(venue: VenueAdmin, account: str, status: int) -> int:
    """End a line's sessions and refuse each further one."""
    fault = _inject(venue, "refuse", client=account, market="spot", status=status)
    _inject(venue, "drop", client=account, market="spot")
    return fault


def ban(venue: VenueAdmin, account: str, seconds: float = 20.0) -> int:
    """End a line's sessions and answer 418 to all it asks, until the ban's end."""
    return _inject(venue, "ban", client=account, market="spot", seconds=seconds)


def heal(venue: VenueAdmin) -> None:
    """End every fault of the venue."""
    venue.ask("/faults", method="DELETE")


def _inject(venue: VenueAdmin, kind: str, **fields: Any) -> int:
    return int(venue.ask("/faults", {"kind": kind, **fields})["id"])


def docker(*arguments: str) -> None:
    """Run docker; AssertionError with what it said."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"


def pause(seconds: float) -> None:
    """Let time pass while the venue trades."""
    time.sleep(seconds)
