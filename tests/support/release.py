"""A Helm release of the shipped chart on a cluster, as an end-to-end test sees it.

Everything goes through kubectl and helm, as a person would do it; the simulator's admin port and
the database are reached through port-forwards of their own.
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/feedplane"
T = TypeVar("T")


class Release:
    """One installed chart in one namespace."""

    def __init__(
        self, kubectl: Path, helm: Path, kubeconfig: Path, namespace: str, name: str = "feedplane"
    ) -> None:
        self._kubectl = str(kubectl)
        self._helm = str(helm)
        self.kubeconfig = str(kubeconfig)
        self.namespace = namespace
        self.name = name

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 90) -> str:
        """Run kubectl in the namespace; its output, or AssertionError with what it said."""
        argv = [self._kubectl, "--kubeconfig", self.kubeconfig, "-n", self.namespace, *args]
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr or done.stdout}"
        return done.stdout

    def feedplane(self, *args: str, timeout: float = 90) -> str:
        """Run the command `feedplane` in the namespace."""
        argv = [sys.executable, "-m", "feedplane_cli", *args]
        argv += ["--kubeconfig", self.kubeconfig, "--namespace", self.namespace]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def helm(self, *args: str, timeout: float = 300) -> str:
        """Run helm in the namespace."""
        argv = [self._helm, "--kubeconfig", self.kubeconfig, "-n", self.namespace, *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def exists(self) -> bool:
        """Tell whether the namespace is there."""
        return bool(self.kubectl("get", "namespace", self.namespace, "--ignore-not-found"))

    def clear(self) -> None:
        """Delete the namespace with everything in it: what an earlier run left there."""
        self.kubectl(
            *("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=180s"),
            timeout=200,
        )

    def install(self, settings: Mapping[str, Any]) -> None:
        """Make the namespace (Pod Security restricted) and install the chart."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": self.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        sets = [f"--set={key}={value}" for key, value in settings.items()]
        self.helm("upgrade", "--install", self.name, str(CHART), "--wait", "--timeout=240s", *sets)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply manifests."""
        # Not YAML: readers differ on what `09988` is.
        listed = {"apiVersion": "v1", "kind": "List", "items": manifests}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        args = ["-l", selector] if selector else []
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *args))[
            "items"
        ]
        return found

    def nodes(self) -> tuple[str, ...]:
        """Return the names of the cluster's nodes."""
        return tuple(
            self.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
        )

    def condition(self, kind: str, name: str, condition: str) -> str:
        """Return the status of one condition, or an empty string."""
        for found in self.get(kind, name).get("status", {}).get("conditions", []):
            if found["type"] == condition:
                return str(found["status"])
        return ""

    def wait_condition(
        self, kind: str, name: str, condition: str, status: str = "True", seconds: float = 90
    ) -> None:
        """Wait for a condition, with the object shown where it does not come."""
        self.wait(
            lambda: self.condition(kind, name, condition) == status,
            seconds,
            lambda: f"{kind} {name} {condition}={status}\n{self.describe(kind, name)}",
        )

    def describe(self, kind: str, name: str) -> str:
        """Return what a person debugging would look at."""
        status = yaml.safe_dump(self.get(kind, name).get("status"))
        pods = self.kubectl("get", "pods", "-o", "wide")
        return f"{status}\n{pods}"

    def sql(self, query: str) -> str:
        """Run SQL in the demo's database; columns split by `|`."""
        return self.kubectl(
            *("exec", f"{self.name}-database-0", "-c", "database", "--", "psql", "-qtAX"),
            *("-U", "feedplane", "-v", "ON_ERROR_STOP=1", "-c", query),
        ).strip()

    def rows(self, table: str, where: str = "true") -> int:
        """Return the number of rows of a tape table; 0 before the table is there."""
        try:
            return int(self.sql(f"select count(*) from feedplane.{table} where {where}"))  # noqa: S608
        except AssertionError:
            return 0

    def on_node(self, node: str, *command: str) -> str:
        """Run a command on a kind node."""
        argv = ["docker", "exec", node, *command]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def dsn(self, port: int) -> str:
        """Return the database's address through a port-forward."""
        secret = self.get("secret", f"{self.name}-database")
        password = subprocess.run(
            ["base64", "-d"],
            input=secret["data"]["password"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return f"postgresql://feedplane:{password}@127.0.0.1:{port}/feedplane"

    @contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[int]:
        """Forward a free local port to a Service or Pod."""
        argv = [
            *(self._kubectl, "--kubeconfig", self.kubeconfig, "-n", self.namespace),
            *("port-forward", target, f":{port}"),
        ]
        with subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as child:
            assert child.stdout is not None
            try:
                line = child.stdout.readline()
                found = re.search(r"127\.0\.0\.1:(\d+)", line)
                assert found, f"port-forward said: {line!r}"
                yield int(found.group(1))
            finally:
                child.terminate()
                child.wait(10)

    @contextmanager
    def venue(self) -> Iterator["VenueAdmin"]:
        """Reach the simulator's admin port."""
        with self.port_forward(f"service/{self.name}-simulator", 9000) as port:
            yield VenueAdmin(f"http://127.0.0.1:{port}")

    def wait(
        self,
        probe: Callable[[], T],
        seconds: float,
        what: str | Callable[[], str],
        every: float = 0.5,
    ) -> T:
        """Call a probe until it answers something true; return that."""
        until = time.monotonic() + seconds
        while True:
            if found := probe():
                return found
            if time.monotonic() > until:
                text = what() if callable(what) else what
                raise AssertionError(f"waited {seconds:g} s for {text}")
            time.sleep(every)


class VenueAdmin:
    """The simulator's admin port."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Call it; a body makes it a POST."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return json.loads(answer.read())
