"""One kind cluster by name: made, found whole, or repaired by making it anew."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feedplane_cluster.cache import Cache, locked
from feedplane_cluster.docker import Docker
from feedplane_cluster.errors import CommandError, NotReadyError
from feedplane_cluster.process import run, succeeds, wait_until
from feedplane_cluster.progress import note, step
from feedplane_cluster.toolchain import KIND, Toolchain

CREATE_SECONDS = 300.0
READY_SECONDS = 120.0
REVIVAL_SECONDS = 25.0
CONTROLLER_PATCH = """kind: ClusterConfiguration
controllerManager: {extraArgs: {node-monitor-grace-period: 12s, node-monitor-period: 2s}}
"""
KUBELET_PATCH = """kind: KubeletConfiguration
nodeStatusUpdateFrequency: 3s
"""
"""With these two a dead node is noticed in 14 s instead of 51."""
UNTAINTED_PATCH = """kind: InitConfiguration
nodeRegistration: {taints: []}
"""
"""Let the control plane's node run Pods beside workers, as it does where it is alone."""
SERVICE_SUBNET = "10.96.0.0/16"
UNMAPPED_RULE = f"FORWARD --destination {SERVICE_SUBNET} --jump REJECT"
GUARD_SCRIPT = f"iptables -w --check {UNMAPPED_RULE} || iptables -w --insert {UNMAPPED_RULE}"
"""While kube-proxy maps a Service anew, a Pod's first packet may pass unmapped. It would leave
the node for whatever answers there, and the connection would stay there; refused, it is tried
again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node's container as the engine sees it."""

    name: str
    image: str
    running: bool


def render_kind_config(nodes: int) -> str:
    """Render the cluster's configuration: one control plane, the rest workers, all run Pods."""
    # Of a single node kind itself takes the taint away, and fails where there is none.
    patches = [UNTAINTED_PATCH] if nodes > 1 else []
    first = {"role": "control-plane", "kubeadmConfigPatches": patches}
    document = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [first, *[{"role": "worker"}] * (nodes - 1)],
        "kubeadmConfigPatches": [CONTROLLER_PATCH, KUBELET_PATCH],
        "networking": {"serviceSubnet": SERVICE_SUBNET},
    }
    return json.dumps(document, indent=2)


def missing_images(wanted: Iterable[tuple[str, str]], held: Iterable[str]) -> list[str]:
    """Name the images a node does not hold under that name and with that content.

    Shape: wanted is (tag, image id) each; held is what `ctr images ls -q` prints.
    """
    names = set(held)
    return [tag for tag, image in wanted if qualified_name(tag) not in names or image not in names]


def qualified_name(tag: str) -> str:
    """Spell a tag as containerd does: with the registry and the folder that Docker leaves out."""
    first, slash, _ = tag.partition("/")
    if not slash:
        return f"docker.io/library/{tag}"
    if "." in first or ":" in first or first == "localhost":
        return tag
    return f"docker.io/{tag}"


class KindCluster:
    """A kind cluster of ours and its kubeconfig."""

    def __init__(self, cache: Cache, docker: Docker, toolchain: Toolchain, name: str) -> None:
        self.name = name
        self.kubeconfig = cache.folder(f"clusters/{name}") / "kubeconfig"
        self._docker = docker
        self._toolchain = toolchain

    def ensure(self, image: str, nodes: int) -> None:
        """Have the cluster run with this image and as many nodes, made anew where it is not whole.

        Raises: CommandError or NotReadyError with what kind or the nodes said.
        """
        with locked(self.kubeconfig.parent / "lock", waiting_for=f"cluster {self.name}"):
            if reason := self.flaw(image, nodes):
                if self.nodes():
                    note(f"cluster {self.name} is made anew: {reason}")
                    self.delete()
                self._create(image, nodes)
            for node in self.nodes():
                self._docker.run("exec", node.name, "sh", "-c", GUARD_SCRIPT)

    def flaw(self, image: str, nodes: int) -> str | None:
        """Say what is wrong with the cluster, or None where it is as wanted and works."""
        found = self.nodes()
        if not found:
            return "it does not exist"
        if len(found) != nodes:
            return f"it has {len(found)} nodes, wanted {nodes}"
        if stopped := [node.name for node in found if not node.running]:
            return f"{', '.join(stopped)} does not run"
        wanted = self._docker.image_id(image)
        if any(node.image != wanted for node in found):
            return f"its nodes were made from another image than {image}"
        self._export_kubeconfig()
        try:
            # The engine may have just started the node again; that takes it a while.
            wait_until(self._ready, "the node", seconds=REVIVAL_SECONDS, poll_seconds=1)
        except NotReadyError:
            return "its API server or a node is not ready"
        return None

    def exists(self) -> bool:
        """Whether the engine answers and holds the cluster, in whatever state."""
        return self._docker.answers() and bool(self.nodes())

    def nodes(self) -> list[Node]:
        """Return the cluster's nodes, running or not."""
        answer = self._docker.run(
            *("ps", "--all", "--no-trunc", "--filter", f"label=io.x-k8s.kind.cluster={self.name}"),
            *("--format", "{{.Names}}"),
        )
        if not (names := answer.split()):
            return []
        documents = json.loads(self._docker.run("container", "inspect", *names))
        return [
            Node(
                name=document["Name"].removeprefix("/"),
                image=document["Image"],
                running=document["State"]["Running"] and not document["State"]["Paused"],
            )
            for document in documents
        ]

    def delete(self) -> None:
        """Remove the cluster and its kubeconfig, in whatever state it is."""
        with step(f"Removing cluster {self.name}"):
            self._kind("delete", "cluster", "--name", self.name)
            for node in self.nodes():  # what kind did not see
                self._docker.discard_container(node.name)
        self.kubeconfig.unlink(missing_ok=True)

    def load(self, tags: Sequence[str]) -> None:
        """Put images of the engine into the nodes that lack them: one archive for all."""
        wanted = [(tag, self._docker.image_id(tag) or "") for tag in tags]
        nodes = [node.name for node in self.nodes()]
        lacking = {node: missing_images(wanted, self._held(node)) for node in nodes}
        missing = sorted({tag for needed in lacking.values() for tag in needed})
        if not missing:
            return
        targets = [node for node, needed in lacking.items() if needed]
        with step(f"Loading {', '.join(missing)} into {len(targets)} node(s)"):
            self._kind(
                *("load", "docker-image", "--name", self.name),
                *("--nodes", ",".join(targets), *missing),
            )

    def alias(self, tag: str, alias: str) -> None:
        """Give an image in every node a second name."""
        for node in self.nodes():
            self._docker.run(
                *("exec", node.name, "ctr", "--namespace=k8s.io", "images", "tag", "--force"),
                *(qualified_name(tag), qualified_name(alias)),
            )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl against this cluster."""
        command = (self._toolchain.kubectl(), "--kubeconfig", self.kubeconfig)
        return run(*command, *arguments, stdin=stdin)

    def _held(self, node: str) -> list[str]:
        listing = ("ctr", "--namespace=k8s.io", "images", "ls", "-q")
        return self._docker.run("exec", node, *listing).split()

    def _create(self, image: str, nodes: int) -> None:
        config = self.kubeconfig.with_name("kind.yaml")
        config.write_text(render_kind_config(nodes))
        self.kubeconfig.unlink(missing_ok=True)
        with step(f"Creating cluster {self.name} with {nodes} node(s)"):
            self._kind(
                *("create", "cluster", "--name", self.name, "--image", image, "--config"),
                *(config, "--kubeconfig", self.kubeconfig),
            )
            wait_until(
                self._ready,
                f"cluster {self.name} ready",
                seconds=READY_SECONDS,
                detail=self._describe,
                poll_seconds=0.5,
            )

    def _export_kubeconfig(self) -> None:
        self._kind("export", "kubeconfig", "--name", self.name, "--kubeconfig", self.kubeconfig)

    def _kind(self, *arguments: str | Path) -> None:
        run(self._toolchain.program(KIND), *arguments, timeout_seconds=CREATE_SECONDS)

    def _ready(self) -> bool:
        kubectl = (self._toolchain.kubectl(), "--kubeconfig", self.kubeconfig)
        condition = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
        try:
            answer = run(
                *(*kubectl, "--request-timeout=5s", "get", "nodes", "-o", f"jsonpath={condition}")
            )
        except CommandError:
            return False
        # Pods are refused until the controller has made their namespace's account.
        return set(answer.split()) == {"True"} and succeeds(
            *kubectl, "--request-timeout=5s", "get", "serviceaccount", "default"
        )

    def _describe(self) -> str:
        try:
            return self.kubectl("get", "nodes,pods", "--all-namespaces", "-o", "wide")
        except CommandError as error:
            return str(error)
