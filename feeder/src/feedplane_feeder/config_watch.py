"""New configurations as they appear: from the feeder's ConfigMap, or from its local file.

Only a document that is valid gets through; anything else is refused, said once, and the old
configuration stays. Must not know what a configuration changes.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Protocol

from feedplane_api.errors import InvalidWorkerConfigError
from feedplane_api.names import WORKER_CONFIG_KEY
from feedplane_api.worker import ConfigMapRef, WorkerConfig, parse_worker_config
from feedplane_feeder.cluster import ClusterApi, Document
from feedplane_feeder.core.backoff import Backoff, Rng
from feedplane_feeder.core.ports import Clock
from feedplane_feeder.errors import ClusterRefusedError, ClusterUnavailableError
from feedplane_feeder.events import Event
from feedplane_feeder.log import FieldLog

POLL_SECONDS: Final = 1.0
PAUSE_AFTER_WATCH_SECONDS: Final = 0.5
GONE: Final = 410


class RefusedCounter(Protocol):
    """Counts configurations that could not be used."""

    def inc(self, amount: float = 1) -> None:
        """Add to the count."""


class ConfigGate:
    """Lets a configuration through when it is valid and differs from the last one."""

    def __init__(self, running: WorkerConfig, *, log: FieldLog, refused: RefusedCounter) -> None:
        self._last = running
        self._last_text: str | None = None
        self._log = log
        self._refused = refused

    def admit(self, text: str | None) -> WorkerConfig | None:
        """Return the configuration in a document, None when there is nothing new or usable."""
        if text is None or text == self._last_text:
            return None
        self._last_text = text
        try:
            config = parse_worker_config(text)
        except InvalidWorkerConfigError as error:
            self._refused.inc()
            self._log.error(Event.CONFIG_REFUSED, error=error, path=error.path)
            return None
        if config == self._last:
            return None
        self._last = config
        return config


class ConfigMapWatch:
    """Watches the one ConfigMap this feeder was rendered into.

    The object is read again whenever a watch ends, which the server does every five minutes, so
    no lost event outlives that.
    """

    def __init__(
        self,
        ref: ConfigMapRef,
        gate: ConfigGate,
        *,
        api: ClusterApi,
        clock: Clock,
        rng: Rng,
        log: FieldLog,
    ) -> None:
        self._path = f"/api/v1/namespaces/{ref.namespace}/configmaps"
        self._params = {"fieldSelector": f"metadata.name={ref.name}"}
        self._gate = gate
        self._api = api
        self._clock = clock
        self._rng = rng
        self._log = log.bind(config_map=ref.name)
        self._backoff = Backoff()
        self._reachable = True

    async def changes(self) -> AsyncIterator[WorkerConfig]:
        """Yield each new valid configuration until cancelled."""
        while True:
            try:
                async for config in self._one_watch():
                    yield config
                pause = PAUSE_AFTER_WATCH_SECONDS
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                self._note(error)
                pause = self._backoff.delay_seconds(self._rng)
            await self._clock.sleep(pause)

    async def _one_watch(self) -> AsyncIterator[WorkerConfig]:
        listed = await self._api.get(self._path, self._params)
        for item in listed.get("items") or ():
            if config := self._gate.admit(_document(item)):
                yield config
        self._reached()
        version = str((listed.get("metadata") or {}).get("resourceVersion", ""))
        async for event in self._api.watch(
            self._path, {**self._params, "resourceVersion": version}
        ):
            # A deleted ConfigMap changes nothing: the operator makes it again, or takes us down.
            if event.get("type") in {"ADDED", "MODIFIED"} and (
                config := self._gate.admit(_document(event.get("object") or {}))
            ):
                yield config

    def _reached(self) -> None:
        self._backoff = Backoff()
        self._reachable = True

    def _note(self, error: ClusterUnavailableError | ClusterRefusedError) -> None:
        # An expired resource version is a watch's ordinary end, and of failures in a row only
        # the first is news.
        expired = isinstance(error, ClusterRefusedError) and error.status == GONE
        if self._reachable and not expired:
            self._log.warning(Event.CONFIG_UNREACHABLE, error=error)
            self._reachable = False
        else:
            self._log.debug(Event.CONFIG_UNREACHABLE, error=error)


class FileWatch:
    """Looks once a second whether the configuration file has changed."""

    def __init__(self, path: Path, gate: ConfigGate, *, clock: Clock) -> None:
        self._path = path
        self._gate = gate
        self._clock = clock

    async def changes(self) -> AsyncIterator[WorkerConfig]:
        """Yield each new valid configuration until cancelled."""
        seen = _stamp(self._path)
        while True:
            await self._clock.sleep(POLL_SECONDS)
            stamp = _stamp(self._path)
            if stamp is None or stamp == seen:
                continue
            text = _read(self._path)
            if text is not None:
                seen = stamp
            if config := self._gate.admit(text):
                yield config


def _document(config_map: Document) -> str | None:
    text = (config_map.get("data") or {}).get(WORKER_CONFIG_KEY)
    return text if isinstance(text, str) else None


def _stamp(path: Path) -> tuple[int, int] | None:
    # None while the file is being replaced.
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")  # what is no text is refused as no YAML
    except OSError:
        return None
