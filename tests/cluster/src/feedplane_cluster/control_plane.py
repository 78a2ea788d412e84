"""A real API server without nodes: etcd and kube-apiserver on loopback ports, thrown away after."""

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from feedplane_cluster.cache import default_cache
from feedplane_cluster.errors import NotReadyError
from feedplane_cluster.kubeconfig import render_kubeconfig
from feedplane_cluster.process import Undertaker, run, wait_until
from feedplane_cluster.toolchain import Toolchain

ADMIN = "feedplane-admin"
ISSUER = "https://kubernetes.default.svc"
START_SECONDS = 60.0
TOKEN_SECONDS = 6 * 3600


class ControlPlane:
    """An API server with RBAC on, for as long as the `with` block runs.

    With `controllers=True` kube-controller-manager runs too: garbage collection, and the objects
    that Deployments and Jobs make. Nothing schedules or runs pods.
    """

    def __init__(self, *, controllers: bool = False) -> None:
        self._controllers = controllers
        self._children: list[subprocess.Popen[bytes]] = []
        self._undertaker: Undertaker | None = None
        self._token = secrets.token_hex(16)
        self._folder = Path()
        self.server = ""
        """The API server's address."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._folder / "kubeconfig"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the programs and wait until the API server is ready.

        Raises: NotReadyError with the tail of its log.
        """
        programs = control_plane_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="feedplane-control-plane-"))
        self._undertaker = Undertaker()
        try:
            self._start_in(programs)
            self._undertaker.entrust("rm", "-rf", self._folder)
        except BaseException:
            self.stop()
            raise

    def _start_in(self, programs: Path) -> None:
        etcd_port, peer_port, api_port = free_ports(3)
        etcd = f"http://127.0.0.1:{etcd_port}"
        self.server = f"https://127.0.0.1:{api_port}"
        self._write_credentials()
        self._spawn(programs / "etcd", etcd_flags(self._folder, etcd, peer_port))
        self._spawn(programs / "kube-apiserver", api_server_flags(self._folder, etcd, api_port))
        self.kubeconfig.write_text(self._render(self._token, ADMIN))
        wait_until(self._ready, "the API server ready", seconds=START_SECONDS, detail=self._logs)
        if self._controllers:
            self._spawn(
                programs / "kube-controller-manager",
                controller_flags(self._folder, free_ports(1)[0]),
            )

    def stop(self) -> None:
        """Stop the programs and remove every trace of them."""
        for child in self._children:
            child.kill()  # nothing of theirs is worth a graceful end
            child.wait()
        self._children.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._undertaker:
            self._undertaker.dismiss()
            self._undertaker = None

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Return the kubeconfig of a ServiceAccount, made if it is not there, with a real token."""
        self.ensure(f"/api/v1/namespaces/{namespace}", "v1", "Namespace", namespace)
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        self.ensure(account, "v1", "ServiceAccount", name)
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        token = self.request("POST", f"{account}/token", wanted)["status"]["token"]
        path = self._folder / f"kubeconfig.{namespace}.{name}"
        path.write_text(self._render(token, f"{namespace}.{name}", namespace))
        return path

    def ensure(self, path: str, api_version: str, kind: str, name: str) -> None:
        """Create a bare object unless it exists."""
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
        try:
            self.request("POST", path.rsplit("/", 1)[0], body)
        except urllib.error.HTTPError as error:
            if error.code != 409:  # AlreadyExists
                raise

    def request(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> dict[str, dict[str, str]]:
        """Send one request as the administrator.

        Raises: urllib.error.HTTPError on a refusal.
        """
        request = urllib.request.Request(  # noqa: S310 - always our own https address
            self.server + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        tls = ssl.create_default_context(cafile=str(self._folder / "apiserver.crt"))
        with urllib.request.urlopen(request, context=tls, timeout=10) as answer:  # noqa: S310
            text = answer.read()
        if not text.startswith(b"{"):
            return {}
        document: dict[str, dict[str, str]] = json.loads(text)
        return document

    def _write_credentials(self) -> None:
        # The first column is the token, then name, uid and groups.
        tokens = self._folder / "tokens.csv"
        tokens.write_text(f'{self._token},{ADMIN},{ADMIN},"system:masters"\n')
        tokens.chmod(0o600)
        run("openssl", "genrsa", "-out", self._folder / "accounts.key", "2048")

    def _spawn(self, program: Path, flags: list[str]) -> None:
        with (self._folder / f"{program.name}.log").open("wb") as log:
            child = subprocess.Popen(
                [str(program), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        if self._undertaker:
            self._undertaker.entrust("kill", "-9", str(child.pid))

    def _ready(self) -> bool:
        if any(child.poll() is not None for child in self._children):
            raise NotReadyError("etcd and kube-apiserver running", 0, self._logs())
        try:
            self.request("GET", "/readyz")
        except OSError:
            return False
        return True

    def _logs(self) -> str:
        return "\n".join(
            "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            for log in sorted(self._folder.glob("*.log"))
        )

    def _render(self, token: str, user: str, namespace: str = "default") -> str:
        return render_kubeconfig(
            self.server,
            token,
            certificate_authority=str(self._folder / "apiserver.crt"),
            user=user,
            namespace=namespace,
        )


def control_plane_programs() -> Path:
    """Return the folder with etcd and kube-apiserver: KUBEBUILDER_ASSETS, or the cache's own."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / "kube-apiserver").exists():
        return Path(assets)
    return Toolchain(default_cache()).hyperkube()


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def etcd_flags(folder: Path, client_url: str, peer_port: int) -> list[str]:
    """Build etcd's flags: one member, and no fsync, for nothing outlives the test."""
    peer_url = f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_flags(folder: Path, etcd: str, port: int) -> list[str]:
    """Build kube-apiserver's flags: loopback only, tokens and RBAC, ServiceAccount tokens."""
    key = folder / "accounts.key"
    return [
        f"--etcd-servers={etcd}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--cert-dir={folder}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
    ]


def controller_flags(folder: Path, port: int) -> list[str]:
    """Build kube-controller-manager's flags: every default controller, no election."""
    return [
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--service-account-private-key-file={folder / 'accounts.key'}",
        "--use-service-account-credentials=false",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'controllers'}",
    ]
