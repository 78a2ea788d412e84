"""The feed under trial: two accounts of one simulated venue, and what its Lease and Pods say."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from release import Release, VenueAdmin

from chaos.referee import STREAMS, Referee

VENUE_CODE: Final = "BINANCE-SPOT"
SIMULATOR_PORT: Final = 9001
ACCOUNTS: Final = ("alpha", "beta")
"""Nobody else's names, so that the venue can be told to turn against one of them alone."""
POLICY: Final = {
    "mode": "Hot",
    "staleAfterSeconds": 5,
    "cooldownSeconds": 5,
    "failback": "Manual",
}
CANDIDATE_PREFIX: Final = "candidate.feedplane.dev/"
ADOPTED_SECONDS: Final = 60.0
"""A new operator waits for the Lease of the one before it."""
UNREVERTED_SECONDS: Final = 5.0
HOT_SECONDS: Final = 90.0
SEAT_SECONDS: Final = 120.0
"""A session whose process was killed without a word is nobody's before that."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who publishes by the Lease."""

    account: str
    pod: str
    transitions: int
    reason: str
    acquired_at: float
    """Seconds since the epoch."""


class ChaosFeed:
    """One FeedSource with its Subscriptions, and the venue and database around it."""

    def __init__(
        self,
        release: Release,
        *,
        name: str = "trial",
        symbols: Sequence[str],
        book_symbols: Sequence[str] = (),
        policy: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.release = release
        self.name = name
        self.schema = name.replace("-", "_")
        self.policy = {**POLICY, **(policy or {})}
        self.wanted = {"trade": symbols, "quote": symbols, "book": book_symbols}
        self.referee = Referee(VENUE_CODE, self.schema, self.wanted, ACCOUNTS)
        self._extra = dict(extra or {})
        seated = "sessionsPerAccount" in self._extra.get("limits", {})
        self._hot_seconds = HOT_SECONDS + (SEAT_SECONDS if seated else 0)

    def manifests(self) -> list[dict[str, Any]]:
        """Return the FeedSource and its Subscriptions."""
        venue = f"{self.release.name}-simulator:{SIMULATOR_PORT}"
        source = {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "FeedSource",
            "metadata": {"name": self.name},
            "spec": {
                "venue": "binance-spot",
                "endpoints": {"stream": f"ws://{venue}", "rest": f"http://{venue}"},
                "accounts": [{"name": account} for account in ACCOUNTS],
                "failover": self.policy,
                "sinks": [
                    {
                        "name": "database",
                        "postgres": {
                            "dsnSecretRef": {"name": f"{self.release.name}-database"},
                            "schema": self.schema,
                        },
                    }
                ],
                **self._extra,
            },
        }
        ticks = self._subscription("ticks", ["trade", "quote"], self.wanted["trade"])
        books = self._subscription("books", ["book"], self.wanted["book"])
        return [source, ticks, *([books] if self.wanted["book"] else [])]

    def _subscription(
        self, suffix: str, channels: Sequence[str], symbols: Sequence[str]
    ) -> dict[str, Any]:
        return {
            "apiVersion": "feedplane.dev/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": f"{self.name}-{suffix}"},
            "spec": {
                "feedSourceRef": {"name": self.name},
                "instruments": list(symbols),
                "channels": list(channels),
            },
        }

    @contextmanager
    def applied(self) -> Iterator["ChaosFeed"]:
        """Let the feed run for as long as the block does."""
        self.release.apply(*self.manifests())
        try:
            self.wait_hot()
            yield self
        finally:
            self.withdraw()

    def withdraw(self) -> None:
        """Delete the feed and wait until none of its feeders runs, nor its sessions with them."""
        names = [f"{item['kind'].lower()}/{item['metadata']['name']}" for item in self.manifests()]
        self.release.kubectl("delete", *names, "--ignore-not-found", timeout=120)
        selector = f"feedplane.dev/feed-source={self.name}"
        self.release.wait(
            lambda: not self.release.items("pods", selector), 90, f"no feeder of {self.name}"
        )

    def patch(self, spec: str) -> None:
        """Change the FeedSource's spec by a JSON merge patch."""
        self.release.kubectl(
            "patch", "feedsource", self.name, "--type=merge", "-p", f'{{"spec": {spec}}}'
        )

    def holder(self) -> Holder:
        """Return who holds the publisher Lease now."""
        lease = self.release.get("lease", f"{self.name}-publisher-0")
        spec = lease.get("spec") or {}
        account, _, pod = (spec.get("holderIdentity") or "/").partition("/")
        notes = lease["metadata"].get("annotations") or {}
        since = spec.get("acquireTime") or "1970-01-01T00:00:00Z"
        return Holder(
            account=account,
            pod=pod,
            transitions=spec.get("leaseTransitions") or 0,
            reason=notes.get("feedplane.dev/reason", ""),
            acquired_at=datetime.fromisoformat(since).timestamp(),
        )

    def settled_holder(self) -> Holder:
        """Return who holds the publisher Lease, once somebody does."""
        self.release.wait(lambda: self.holder().account, 30, "a holder", every=0.2)
        return self.holder()

    def standby(self) -> str:
        """Return the account that does not hold the Lease."""
        active = self.holder().account
        return next(account for account in ACCOUNTS if account != active)

    def pods(self, account: str) -> list[dict[str, Any]]:
        """Return an account's Pods, those about to end left out."""
        selector = f"feedplane.dev/feed-source={self.name},feedplane.dev/account={account}"
        found = self.release.items("pods", selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def wait_hot(self) -> None:
        """Wait until both lines are sent all that is wanted, and somebody publishes.

        The venue tells about the lines; the Lease who publishes.
        """
        with self.release.venue() as venue:
            self.release.wait(
                lambda: self.lines_up(venue) == len(ACCOUNTS) and self._serving(),
                self._hot_seconds,
                lambda: "both lines of the feed\n" + self.describe(),
                every=0.5,
            )

    def lines_up(self, venue: VenueAdmin) -> int:
        """Count the accounts that have everything subscribed."""
        wanted = {
            f"{symbol.lower()}@{STREAMS[channel]}"
            for channel, symbols in self.wanted.items()
            for symbol in symbols
        }
        held: dict[str, set[str]] = {account: set() for account in ACCOUNTS}
        for row in venue.ask("/connections"):
            if row["account"] in held:
                held[row["account"]].update(row["streams"])
        return sum(wanted <= streams for streams in held.values())

    # The API server knows of Pods that are ready before the Lease knows of a candidate.
    def _serving(self) -> bool:
        pods = {pod["metadata"]["name"]: pod for name in ACCOUNTS for pod in self.pods(name)}
        ready = {name for name, pod in pods.items() if is_ready(pod)}
        try:
            lease = self.release.get("lease", f"{self.name}-publisher-0")
        except AssertionError:
            return False  # The operator has not made it yet.
        notes = lease["metadata"].get("annotations") or {}
        told = [json.loads(note) for key, note in notes.items() if key.startswith(CANDIDATE_PREFIX)]
        fit = {each["pod"] for each in told if each["healthy"]} if told else ready
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("/")[2]
        return len(ready) == len(ACCOUNTS) and ready <= fit | {holder} and holder in ready

    def last_quote(self) -> int:
        """Return the newest committed number of the first instrument; 0 where nothing answers."""
        instrument = f"{self.wanted['quote'][0]}.{VENUE_CODE}"
        query = (
            f"select sequence from {self.schema}.quotes where instrument_id = '{instrument}'"  # noqa: S608
            " order by sequence desc limit 1"
        )
        try:
            return int(self.release.sql(query) or 0)
        except AssertionError:
            return 0

    def gaps(self, where: str) -> int:
        """Count rows of the ledger."""
        return int(self.release.sql(f"select count(*) from {self.schema}.gaps where {where}"))  # noqa: S608

    def wait_flow(self, seconds: float = 60.0) -> None:
        """Wait until rows arrive, seen twice."""
        for _ in range(2):
            before = self.last_quote()
            self.release.wait(
                lambda before=before: self.last_quote() > before,  # type: ignore[misc]
                seconds,
                lambda: "rows\n" + self.describe(),
                every=0.3,
            )

    def wait_holder(self, account: str, seconds: float = 60.0) -> None:
        """Wait until an account publishes by the Lease."""
        self.release.wait(
            lambda: self.holder().account == account,
            seconds,
            lambda: f"{account} to hold the Lease\n" + self.describe(),
            every=0.3,
        )

    def told_active(self) -> str:
        """Return the active account by the resource's status."""
        found = self.release.get("feedsource", self.name)
        return str(found.get("status", {}).get("activeAccount", ""))

    def follow_status(self, holder: Holder) -> str:
        """Return the active account by the status, which gets some time to tell the holder's."""
        deadline = time.monotonic() + ADOPTED_SECONDS
        while (told := self.told_active()) != holder.account and time.monotonic() < deadline:
            time.sleep(0.5)
        return told

    def wait_adopted(self, holder: Holder) -> None:
        """Wait until the status tells who publishes, and see that nobody reverts it.

        Raises: AssertionError where the status does not follow, or the Lease changes hands.
        """
        assert self.follow_status(holder) == holder.account, self.describe()
        time.sleep(UNREVERTED_SECONDS)
        assert (self.told_active(), self.holder()) == (holder.account, holder)

    def replace_pod(self, account: str, *, always: bool = False) -> None:
        """Give an account a Pod without restarts behind it, so that none waits to be restarted."""
        for pod in self.pods(account):
            name = pod["metadata"]["name"]
            states = pod["status"].get("containerStatuses", ())
            if always or any(state["restartCount"] for state in states):
                self.release.kubectl("delete", "pod", name, "--wait=false")

    def describe(self) -> str:
        """Return what a person would look at first."""
        return self.release.kubectl("get", "fs,sub,lease,pods", "-o", "wide") + str(self.holder())

    @contextmanager
    def dsn(self) -> Iterator[str]:
        """Reach the database."""
        with self.release.port_forward(f"service/{self.release.name}-database", 5432) as port:
            yield self.release.dsn(port)


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a Pod is Ready."""
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def record_commit_times(release: Release) -> None:
    """Let the database keep the time of each commit; it restarts for that once."""
    if release.sql("show track_commit_timestamp") == "on":
        return
    release.sql("alter system set track_commit_timestamp = on")
    database = f"{release.name}-database"
    release.kubectl("rollout", "restart", f"statefulset/{database}")
    release.kubectl("rollout", "status", f"statefulset/{database}", "--timeout=90s", timeout=120)
    deadline = time.monotonic() + 30
    while release.sql("show track_commit_timestamp") != "on":
        assert time.monotonic() < deadline, "the database keeps no commit times"
        time.sleep(1)
