"""One round of a trial: the stand before, a fault, the recovery, and the verdict."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from release import VenueAdmin

from chaos import faults
from chaos.feed import ACCOUNTS, ChaosFeed, Holder
from chaos.referee import Verdict

LEAD_SECONDS = 2.0
"""What is traded before the fault."""
TAIL_SECONDS = 3.0
"""What is traded after the recovery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round showed."""

    trial: str
    number: int
    verdict: Verdict
    before: Holder
    after: Holder
    violations: list[dict[str, Any]]
    active: str
    """The active account by the resource's status afterwards."""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failovers(self) -> int:
        """Changes of the publisher Lease."""
        return self.after.transitions - self.before.transitions

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a result file."""
        found = self.verdict
        return {
            "round": self.number,
            "emitted": found.ticks.emitted + found.books.emitted,
            "delivered_per_second": round(found.delivered_per_second),
            "lost": found.ticks.missing,
            "lost_unnamed": found.ticks.unnamed,
            "doubled": found.ticks.doubled + found.books.doubled,
            "foreign": found.ticks.foreign + found.books.foreign,
            "books_missing": found.books.missing,
            "books_unnamed": found.books.unnamed,
            "stall_seconds": round(found.stall_seconds, 3),
            "delay_seconds": round(found.delay_seconds, 3),
            "failovers": self.failovers,
            "from": self.before.account,
            "to": self.after.account,
            "reason": self.after.reason,
            "violations": sorted({f"{row['rule']}: {row['detail']}" for row in self.violations}),
            "ledger_rows": len(found.holes),
            "ledger_causes": dict(Counter(hole["cause"] for hole in found.holes)),
            **self.details,
        }

    def sentence(self) -> str:
        """Say it in one line."""
        told = self.document()
        return (
            f"{self.trial} {self.number}: {told['delivered_per_second']}/s,"
            f" lost {told['lost']} (unnamed {told['lost_unnamed']}), doubled {told['doubled']},"
            f" books {told['books_missing']}/{told['books_unnamed']},"
            f" stall {told['stall_seconds']} s, delay {told['delay_seconds']} s,"
            f" failovers {told['failovers']} ({told['from']} -> {told['to']}, {told['reason']}),"
            f" violations {told['violations']}, ledger {told['ledger_causes']}"
            f" {dict(self.details) or ''}"
        )


Inflict = Callable[[ChaosFeed, VenueAdmin], Mapping[str, Any] | None]


class Rounds:
    """Plays rounds of one feed, one after the other."""

    def __init__(self, feed: ChaosFeed) -> None:
        self.feed = feed

    def play(self, trial: str, number: int, inflict: Inflict, *, operated: bool = True) -> Round:
        """Play one round: what is inflicted recovers by itself before the call returns.

        The venue trades all the time; the verdict is on everything it emitted meanwhile.
        """
        feed = self.feed
        feed.wait_hot()
        with feed.release.venue() as venue:
            venue.ask("/violations", method="DELETE")
            before = feed.holder()
            stand = feed.referee.stand(venue)
            time.sleep(LEAD_SECONDS)
            details = inflict(feed, venue) or {}
        time.sleep(TAIL_SECONDS)
        # The API server may have been away, and every forward with it.
        with feed.release.venue() as venue, feed.dsn() as dsn:
            verdict = feed.referee.judge(venue, dsn, stand)
            violations = [row for row in venue.ask("/violations") if row["client"] in ACCOUNTS]
        after = feed.settled_holder()
        details = told(details, verdict, after)
        return Round(
            trial=trial,
            number=number,
            verdict=verdict,
            before=before,
            after=after,
            violations=violations,
            active=feed.follow_status(after) if operated else "",
            details=details,
        )


def told(seen: Mapping[str, Any], verdict: Verdict, after: Holder) -> dict[str, Any]:
    """Return what was seen, with moments turned into what followed them."""
    details = dict(seen)
    if began := details.pop("hurt_at", None):
        details["takeover_seconds"] = round(after.acquired_at - began, 2)
    if killed := details.pop("killed_at", None):
        details["stall_began_seconds"] = round(verdict.stalled_at - killed, 2)
    if cured := details.pop("cured_at", None):
        details["streaming_after_seconds"] = round(verdict.rows_after(cured), 2)
    return details


def while_held(
    hurt: Callable[[], AbstractContextManager[None]], seconds: float
) -> Mapping[str, Any]:
    """Hold a fault for some time."""
    began = time.monotonic()
    with hurt():
        faults.pause(seconds)
    return {"fault_seconds": round(time.monotonic() - began, 1)}
