"""Credentials: the login in a mounted folder, and its renewal while the feeder runs.

A folder holds one file per key, as Kubernetes mounts a Secret. Values never leave this module
but in the headers of requests: not into logs, nor into errors. Must not know what a venue makes
of a key; which header carries it is the adapter's word.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from feedplane_api.worker import WorkerConfig
from feedplane_feeder.core.ports import Capabilities
from feedplane_feeder.events import Event
from feedplane_feeder.judge import Judge

POLL_SECONDS: Final = 3.0
YIELD_SECONDS: Final = 10.0
"""How long another account is given to take over before the login is changed all the same."""
YIELD_POLL_SECONDS: Final = 0.5


def read_credentials(folder: Path) -> dict[str, str]:
    """Return key -> value of a folder; empty when there is none.

    Raises:
        OSError: it cannot be read.
    """
    # A mounted Secret swaps a hidden folder under the names, so hidden ones are no keys.
    if not folder.is_dir():
        return {}
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    return {path.name: path.read_text(encoding="utf-8").strip() for path in files}


class Login:
    """The headers of every handshake and request, with the login among them."""

    def __init__(
        self, folder: str | None, carriers: Mapping[str, str], headers: Mapping[str, str]
    ) -> None:
        self.headers: dict[str, str] = dict(headers)
        """Shared by all who ask the venue anything; changed in place."""
        self._folder = Path(folder) if folder else None
        self._carriers = carriers
        self._values: dict[str, str] = {}
        if self._folder is not None:
            try:
                self.adopt(read_credentials(self._folder))
            except (OSError, UnicodeDecodeError):
                # The watch reads it again, and the venue says what it makes of no login.
                self._values = {}

    @property
    def watched(self) -> bool:
        """Whether there is a folder that may change."""
        return self._folder is not None

    def read_changed(self) -> dict[str, str] | None:
        """Return the credentials when they differ from those in use, else None."""
        if self._folder is None:
            return None
        try:
            values = read_credentials(self._folder)
        except (OSError, UnicodeDecodeError):
            return None
        # Files are replaced one after the other where no Secret is mounted: an empty folder is
        # a moment, not a login.
        return values if values and values != self._values else None

    def adopt(self, values: Mapping[str, str]) -> None:
        """Send these credentials from now on."""
        self._values = dict(values)
        for carrier in self._carriers.values():
            self.headers.pop(carrier.partition(": ")[0], None)
        for key, carrier in self._carriers.items():
            if self._values.get(key):
                header, _, prefix = carrier.partition(": ")
                self.headers[header] = prefix + self._values[key]


def build_login(config: WorkerConfig, capabilities: Capabilities, version: str) -> Login:
    """Return the headers of one feeder's account."""
    headers = {
        "User-Agent": f"feedplane/{version or '0'}",
        "X-Feedplane-Account": config.account.name,
    }
    return Login(config.credentials_path, capabilities.credential_headers, headers)


class Renewal:
    """Watches the login and changes over to a new one without a hole.

    A standby reconnects, new connection first. The active account asks to be relieved before it
    does, where another one is healthy: should the new login be refused, nothing hangs on it.
    """

    def __init__(self, login: Login, judge: Judge) -> None:
        self._login = login
        self._judge = judge
        self._scene = judge.scene

    async def run(self) -> None:
        """Watch until cancelled."""
        while self._login.watched:
            await self._scene.clock.sleep(POLL_SECONDS)
            values = await asyncio.to_thread(self._login.read_changed)
            if values is not None:
                await self._renew(values)

    async def _renew(self, values: Mapping[str, str]) -> None:
        self._scene.log.info(Event.CREDENTIALS_CHANGED, keys=sorted(values))
        try:
            await self._until_relieved()
        finally:
            self._judge.renewing = False
        self._login.adopt(values)
        self._scene.standing.renewed()
        for supervisor in self._scene.supervisors.values():
            supervisor.renew()

    async def _until_relieved(self) -> None:
        for _ in range(int(YIELD_SECONDS / YIELD_POLL_SECONDS)):
            if not self._is_relievable():
                return
            self._judge.renewing = True
            self._judge.hear_refusal()
            await self._scene.clock.sleep(YIELD_POLL_SECONDS)

    def _is_relievable(self) -> bool:
        election = self._scene.election
        return election.report().active and any(
            peer.healthy and peer.fresh for peer in election.peers()
        )
