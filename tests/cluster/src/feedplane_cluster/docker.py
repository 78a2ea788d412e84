"""A Docker engine that answers: the one that runs, or one we install and start."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from feedplane_cluster import runc_wrapper
from feedplane_cluster.cache import Cache, locked
from feedplane_cluster.errors import ClusterError, CommandError, MissingToolError
from feedplane_cluster.machine import (
    find_program,
    install_packages,
    lacks_sys_resource,
    may_install,
    mount_cgroups,
    processes,
    start_daemon,
)
from feedplane_cluster.process import run, succeeds, wait_until
from feedplane_cluster.progress import step
from feedplane_cluster.versions import LOCAL_NODE_IMAGE, STOCK_NODE_IMAGE

RUNTIME = "feedplane-runc"
RUN_FOLDER = Path("/var/run/docker")
PID_FILE = Path("/var/run/docker.pid")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
REGISTRY_SECONDS = 10.0
ENGINE_PROGRAMS = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
}


class Docker:
    """The engine, through its command."""

    def __init__(self, cache: Cache) -> None:
        self._folder = cache.folder("engine")
        self._registry: bool | None = None

    def ensure(self) -> None:
        """Make sure that an engine answers, starting our own where none does.

        Raises: MissingToolError when there is none and we may not install one.
        """
        if self.answers():
            self._refuse_engine_without_wrapper()
            return
        if address := os.environ.get("DOCKER_HOST"):
            raise MissingToolError(
                f"No Docker engine answers at {address}",
                "Start it, or unset DOCKER_HOST",
            )
        if not may_install():
            raise MissingToolError(
                "No Docker engine answers",
                "Start Docker, or install it (it must answer `docker version`); "
                "as root on Debian this command sets one up by itself",
            )
        with locked(self._folder / "start.lock", waiting_for="the Docker engine"):
            if not self.answers():
                self._start()

    def answers(self) -> bool:
        """Whether an engine answers now."""
        return shutil.which("docker") is not None and succeeds(
            "docker", "version", "--format", "{{.Server.Version}}", timeout_seconds=15
        )

    def stop(self) -> None:
        """Stop the engine, if it is the one we started."""
        pid = self._own_pid()
        if pid is None:
            return
        with step("Stopping the Docker engine"):
            os.kill(pid, signal.SIGTERM)
            wait_until(
                lambda: pid not in processes("dockerd"), "dockerd ended", seconds=STOP_SECONDS
            )

    def run(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run a docker command."""
        return run("docker", *arguments, stdin=stdin)

    def succeeds(self, *arguments: str | Path) -> bool:
        """Whether a docker command ends well."""
        return succeeds("docker", *arguments)

    def discard_container(self, name: str) -> None:
        """Remove a container and its volumes, whether it runs or not or is not there."""
        self.succeeds("rm", "--force", "--volumes", name)

    def image_id(self, image: str) -> str | None:
        """Return the id of an image the engine has, or None."""
        try:
            return self.run("image", "inspect", "--format", "{{.Id}}", image).strip()
        except CommandError:
            return None

    def registry(self) -> bool:
        """Whether images come from a registry here; asked once, and not where one was made."""
        if self._registry is None:
            if self.image_id(STOCK_NODE_IMAGE):
                self._registry = True
            elif self.image_id(LOCAL_NODE_IMAGE):
                self._registry = False
            else:
                look = ("docker", "manifest", "inspect", STOCK_NODE_IMAGE)
                self._registry = succeeds(*look, timeout_seconds=REGISTRY_SECONDS)
        return self._registry

    def pull(self, image: str, *, timeout_seconds: float = 300) -> bool:
        """Whether a registry gave us the image."""
        with step(f"Pulling {image}"):
            return succeeds("docker", "pull", "--quiet", image, timeout_seconds=timeout_seconds)

    def build(self, tag: str, context: Path, dockerfile: Path, *options: str) -> None:
        """Build an image from a folder, with BuildKit where it is installed."""
        buildkit = "1" if succeeds("docker", "buildx", "version") else "0"
        command = ("docker", "build", "--quiet", "--tag", tag, "--file", dockerfile)
        run(*command, *options, context, env={"DOCKER_BUILDKIT": buildkit})

    def _start(self) -> None:
        install_packages(ENGINE_PROGRAMS, "A Docker engine")
        if not shutil.which("docker"):
            install_packages({"docker": "docker.io"}, "The docker command")
        with step("Starting the Docker engine"):
            mount_cgroups()
            clear_remains()
            log = self._folder / "dockerd.log"
            start_daemon(self._command(), log)
            wait_until(
                self.answers,
                "the Docker engine answering",
                seconds=START_SECONDS,
                detail=lambda: log.read_text(errors="replace"),
                poll_seconds=0.3,
            )
            shutil.copy(PID_FILE, self._folder / "dockerd.pid")

    def _command(self) -> list[str]:
        command = [find_program("dockerd") or "dockerd", f"--pidfile={PID_FILE}"]
        if lacks_sys_resource():
            wrapper = self._folder / RUNTIME
            # The real interpreter, not the environment's link: the engine outlives environments.
            interpreter = Path(sys.executable).resolve()
            text = Path(runc_wrapper.__file__).read_text()
            wrapper.write_text(f"#!{interpreter} -IS\n{text}")
            wrapper.chmod(0o755)
            command += [f"--add-runtime={RUNTIME}={wrapper}", f"--default-runtime={RUNTIME}"]
        return command

    def _own_pid(self) -> int | None:
        try:
            pid = int((self._folder / "dockerd.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in processes("dockerd") else None

    def _refuse_engine_without_wrapper(self) -> None:
        if not may_install() or not lacks_sys_resource() or not processes("dockerd"):
            return
        runtime = self.run("info", "--format", "{{.DefaultRuntime}}").strip()
        if runtime != RUNTIME:
            raise ClusterError(
                "This machine's processes may not have CAP_SYS_RESOURCE, and the Docker engine "
                "that runs cannot start privileged containers without it. Stop that dockerd; "
                "this command then starts one that can"
            )


def clear_remains() -> None:
    """Clear what an engine that died without a goodbye left behind.

    Its own containerd may live on and hold the new engine's folders; pid files may name a
    process that is something else by now, and the new engine would believe them.
    """
    if processes("dockerd"):
        return
    for pid, words in processes("containerd").items():
        if any(str(RUN_FOLDER) in word for word in words):
            os.kill(pid, signal.SIGKILL)
    for stale in (PID_FILE, *RUN_FOLDER.glob("containerd/*.pid"), *RUN_FOLDER.glob("**/*.sock")):
        stale.unlink(missing_ok=True)


def engine_summary(docker: Docker) -> dict[str, object]:
    """Describe the engine in a few words for `status`."""
    if not docker.answers():
        return {"engine": "none"}
    document = json.loads(docker.run("info", "--format", "{{json .}}"))
    return {
        "engine": document["ServerVersion"],
        "storage": document["Driver"],
        "runtime": document["DefaultRuntime"],
        "cgroups": document["CgroupVersion"],
    }
