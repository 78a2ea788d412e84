"""kind's node image, assembled from the distribution and our own binaries.

The result answers to the same `kind create cluster` as the published image; its pod network serves
any number of nodes but does not enforce NetworkPolicy.
"""

import shutil
from pathlib import Path

from feedplane_cluster import versions
from feedplane_cluster.cache import Cache, recipe_text
from feedplane_cluster.docker import Docker
from feedplane_cluster.images import Recipe, provide
from feedplane_cluster.machine import lacks_sys_resource
from feedplane_cluster.process import run, wait_until
from feedplane_cluster.rootfs import debian_root, import_image
from feedplane_cluster.toolchain import (
    COREDNS,
    HYPERKUBE_PROGRAMS,
    LOCAL_PATH_PROVISIONER,
    Toolchain,
)

SUITE = "bookworm"  # its systemd still runs on cgroup v1
NODE_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "conntrack", "iptables", "nftables", "iproute2"),
    *("ethtool", "util-linux", "mount", "kmod", "libseccomp2", "procps", "bash"),
    *("ca-certificates", "curl", "jq", "pigz", "socat"),
    *("containerd", "runc", "containernetworking-plugins"),
)
SYSTEM_PACKAGES = ("iptables", "conntrack", "kmod", "ca-certificates")
"""What the one image needs that all of the cluster's own pods run."""

ENTRYPOINT = 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]'
SYSTEM_IMAGE = "local/kubernetes-system:build"
BASE_IMAGE = "local/kind-base:build"
BUILDER = "feedplane-node-image"
IMPORT_SECONDS = 60.0


def system_tags() -> dict[str, str]:
    """Return the images kubeadm and kind expect in a node, each with its last Dockerfile line."""
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    return {
        **{f"registry.k8s.io/{name}:{versions.KUBERNETES}": "" for name in programs},
        f"registry.k8s.io/etcd:{versions.ETCD_IMAGE}": "",
        f"registry.k8s.io/coredns/coredns:{versions.COREDNS}": 'ENTRYPOINT ["/coredns"]',
        **dict.fromkeys(versions.PAUSE_IMAGES, 'ENTRYPOINT ["/pause"]'),
        versions.LOCAL_PATH_IMAGE: "",
        versions.LOCAL_PATH_HELPER_IMAGE: "",
    }


def node_image(cache: Cache, docker: Docker, toolchain: Toolchain, *, pullable: bool) -> str:
    """Make sure that the engine has a node image, and return its name."""
    stock = versions.STOCK_NODE_IMAGE
    if pullable and (docker.image_id(stock) or docker.pull(stock)):
        return stock
    recipe = Recipe(
        tag=versions.LOCAL_NODE_IMAGE,
        inputs={
            "packages": [NODE_PACKAGES, SYSTEM_PACKAGES, SUITE],
            "programs": [path.parent.name for path in _programs(toolchain)],
            "kind": versions.KIND,
            "files": [recipe_text(name) for name in ("node/setup.sh", "node/default-cni.yaml")],
            "images": system_tags(),
            "restricted": lacks_sys_resource(),
        },
        make=lambda work, label: NodeImage(cache, docker, toolchain, work).make(label),
    )
    provide(cache, docker, recipe)
    return recipe.tag


def _programs(toolchain: Toolchain) -> tuple[Path, Path, Path, Path]:
    return (
        toolchain.hyperkube() / "hyperkube",
        toolchain.program(COREDNS),
        toolchain.program(LOCAL_PATH_PROVISIONER),
        toolchain.pause(),
    )


class NodeImage:
    """One assembly, in a work folder that is removed afterwards."""

    def __init__(self, cache: Cache, docker: Docker, toolchain: Toolchain, work: Path) -> None:
        self._cache = cache
        self._docker = docker
        self._toolchain = toolchain
        self._work = work

    def make(self, label: str) -> None:
        """Build the node image with the system's images inside."""
        self._make_system_images()
        archive = self._work / "images.tar"
        self._docker.run("save", "-o", archive, *system_tags())
        self._make_base()
        self._docker.discard_container(BUILDER)
        try:
            self._import_into_base(archive, label)
        finally:
            self._docker.discard_container(BUILDER)
        # The node image keeps their layers; the names would only clutter the engine.
        self._docker.run("image", "rm", SYSTEM_IMAGE, BASE_IMAGE, *system_tags())

    def _make_system_images(self) -> None:
        # One file system with many names: a node then holds its layers once.
        root = self._work / "system"
        debian_root(self._cache, SUITE, SYSTEM_PACKAGES, root)
        hyperkube, coredns, provisioner, pause = _programs(self._toolchain)
        install_hyperkube(hyperkube, root)
        for source, place in (
            (coredns, "coredns"),
            (pause, "pause"),
            (provisioner, "usr/bin/local-path-provisioner"),
        ):
            shutil.copy(source, root / place)
        import_image(root, SYSTEM_IMAGE)
        for tag, entrypoint in system_tags().items():
            self._docker.run(
                "build", "-q", "-t", tag, "-", stdin=f"FROM {SYSTEM_IMAGE}\n{entrypoint}"
            )
        shutil.rmtree(root)

    def _make_base(self) -> None:
        root = self._work / "node"
        debian_root(self._cache, SUITE, NODE_PACKAGES, root)
        install_hyperkube(_programs(self._toolchain)[0], root)
        script = self._work / "setup.sh"
        script.write_text(recipe_text("node/setup.sh"))
        restricted = "1" if lacks_sys_resource() else "0"
        sources = self._toolchain.kind_sources()
        run("bash", script, root, sources, versions.KUBERNETES, restricted)
        network = recipe_text("node/default-cni.yaml")
        (root / "kind/manifests/default-cni.yaml").write_text(
            network.replace("LOCAL_PATH_HELPER_IMAGE", versions.LOCAL_PATH_HELPER_IMAGE)
        )
        import_image(root, BASE_IMAGE, "ENV container=docker", ENTRYPOINT)
        shutil.rmtree(root)

    def _import_into_base(self, archive: Path, label: str) -> None:
        docker = self._docker
        docker.run(
            *("run", "--detach", "--privileged", "--name", BUILDER),
            *("--entrypoint", "sleep", BASE_IMAGE, "infinity"),
        )
        docker.run("cp", archive, f"{BUILDER}:/images.tar")
        docker.run("exec", "--detach", BUILDER, "containerd")
        wait_until(
            lambda: docker.succeeds("exec", BUILDER, "ctr", "version"),
            "containerd answering",
            seconds=IMPORT_SECONDS,
        )
        importing = ("ctr", "--namespace=k8s.io", "images", "import", "--no-unpack")
        docker.run("exec", BUILDER, *importing, "/images.tar")
        docker.run("exec", BUILDER, "sh", "-c", "rm /images.tar; pkill -x containerd; sleep 1")
        changes = ("--change", ENTRYPOINT, "--change", f"LABEL {label}")
        docker.run("commit", *changes, BUILDER, versions.LOCAL_NODE_IMAGE)


def install_hyperkube(hyperkube: Path, root: Path) -> None:
    """Put the Kubernetes programs into a root file system."""
    shutil.copy(hyperkube, root / "usr/bin/hyperkube")
    for program in HYPERKUBE_PROGRAMS:
        (root / "usr/bin" / program).symlink_to("hyperkube")
    # kube-proxy's DaemonSet calls it by this place.
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/kube-proxy").symlink_to("/usr/bin/kube-proxy")
