"""A real TimescaleDB server, thrown away after, that can be paused, stopped and started."""

import os
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from feedplane_cluster.cache import default_cache
from feedplane_cluster.control_plane import free_ports
from feedplane_cluster.docker import Docker
from feedplane_cluster.process import Undertaker, wait_until
from feedplane_cluster.service_images import timescale_image

USER = "postgres"
PASSWORD = "feedplane"  # noqa: S105 - a throw-away server on loopback
START_SECONDS = 60.0
FREEZE_SECONDS = 10.0


class TimescaleServer:
    """A database server for as long as the `with` block runs; every write is synced to disk.

    `settings` are server settings, such as `{"max_wal_size": "8GB"}`.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self._docker = Docker(default_cache())
        self._undertaker: Undertaker | None = None
        self._made = 0
        self.port = 0
        """The TCP port on 127.0.0.1; it stays the same over stop and start."""

    @property
    def name(self) -> str:
        """The container's name."""
        return f"feedplane-timescale-{os.getpid()}-{self.port}"

    @property
    def dsn(self) -> str:
        """The address of the server's first database, with TimescaleDB in it."""
        return self._dsn("postgres")

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start the server and wait until it takes connections over TCP.

        Raises: NotReadyError with its log.
        """
        image = prepare_timescale(self._docker)
        (self.port,) = free_ports(1)
        self._undertaker = Undertaker()
        self._undertaker.entrust("docker", "rm", "--force", "--volumes", self.name)
        try:
            self._docker.run(
                *("run", "--detach", "--name", self.name, "--shm-size=512m"),
                *("--env", f"POSTGRES_PASSWORD={PASSWORD}", *self._network(), image, "postgres"),
                *(f"-c{name}={value}" for name, value in self._all_settings().items()),
            )
            self._wait_ready()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the server and its data."""
        self._docker.discard_container(self.name)
        if self._undertaker:
            self._undertaker.dismiss()
            self._undertaker = None

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        # A process that forks just then escapes the freezer, which then gives up.
        wait_until(
            lambda: self._docker.succeeds("pause", self.name),
            f"{self.name} to freeze",
            seconds=FREEZE_SECONDS,
        )

    def unpause(self) -> None:
        """Let a frozen server go on."""
        self._docker.run("unpause", self.name)

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server; with kill=True as a crash does. Its data stays."""
        self._docker.run("kill" if kill else "stop", self.name)

    def start(self) -> None:
        """Start a stopped server at the same port and wait until it is ready."""
        self._docker.run("start", self.name)
        self._wait_ready()

    def create_database(self, *, timescale: bool = True, name: str | None = None) -> str:
        """Create a database, with the TimescaleDB extension or as plain PostgreSQL: its address."""
        if name is None:
            self._made += 1
            name = f"test_{self._made}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        if timescale:
            self.execute("CREATE EXTENSION timescaledb", database=name)
        return self._dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, closing whatever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement inside the server and return its rows, columns split by `|`."""
        command = ("psql", "-qtAX", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database)
        # Over TCP to its own port: the socket's name follows the port, which differs per server.
        address = ("-h", "127.0.0.1", "-p", str(self._inner_port()))
        return self._docker.run(
            *("exec", "--env", f"PGPASSWORD={PASSWORD}", self.name),
            *(*command, *address, "-c", statement),
        ).strip()

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def _network(self) -> tuple[str, ...]:
        # The engine's forwarder would cost more per row than the server does.
        if sys.platform == "linux":
            return ("--network=host",)
        return (f"--publish=127.0.0.1:{self.port}:5432",)

    def _inner_port(self) -> int:
        return self.port if sys.platform == "linux" else 5432

    def _all_settings(self) -> dict[str, str]:
        place = {"port": str(self._inner_port())}
        if sys.platform == "linux":
            place["listen_addresses"] = "127.0.0.1"
        return {**place, **self._settings}

    def _wait_ready(self) -> None:
        probe = ("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._inner_port()))
        wait_until(
            lambda: self._docker.succeeds("exec", self.name, *probe),
            "the database ready",
            seconds=START_SECONDS,
            detail=lambda: self._docker.run("logs", "--tail", "20", self.name),
            poll_seconds=0.2,
        )


def prepare_timescale(docker: Docker | None = None) -> str:
    """Make sure that an engine runs and has the server's image, and return its name."""
    cache = default_cache()
    docker = docker or Docker(cache)
    docker.ensure()
    return timescale_image(cache, docker, pullable=docker.registry())
