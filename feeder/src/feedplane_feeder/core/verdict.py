"""Verdict: findings become a verdict after several in a row, so that one bad moment moves nobody.

    healthy --failures--> unhealthy --successes--> healthy

What no waiting cures counts at once, and so does a silence: it has been waited for already. An
account that falls again and again has to pass more checks each time before it counts as healthy,
so that a bad line (half its packets lost, say) is left alone instead of being tried in turns.
Pure: time is an argument. Must not know what a check looks at.
"""

from collections import deque
from typing import Final

from feedplane_api.worker import FailoverPolicy, HealthReport
from feedplane_feeder.core.health import AT_ONCE, SECOND_NS, HealthReason

FALLS_FORGIVEN: Final = 3
FALLS_WINDOW_NS: Final = 600 * SECOND_NS
CHECKS_CAP: Final = 240
"""Two minutes of checks at two a second: the most that is ever asked."""


class Verdict:
    """The verdict on one account, over the findings so far."""

    def __init__(self) -> None:
        self.report = HealthReport(healthy=False, reason=HealthReason.STARTING)
        self._failed = 0
        self._passed = 0
        self._falls: deque[int] = deque()

    def weigh(self, found: HealthReport, policy: FailoverPolicy, now_ns: int) -> HealthReport:
        """Take one finding in and return the verdict."""
        if found.healthy:
            self._pass(found, policy, now_ns)
        elif found.reason == HealthReason.STARTING:
            self._failed = self._passed = 0
            self.report = found
        else:
            self._fail(found, policy, now_ns)
        return self.report

    def _pass(self, found: HealthReport, policy: FailoverPolicy, now_ns: int) -> None:
        self._failed = 0
        self._passed += 1
        if self.report.healthy:
            self.report = found
            return
        needed = self._needed(policy, now_ns)
        if self._passed >= needed:
            self.report = found
            return
        message = f"passes again: {self._passed} of {needed} checks"
        self.report = self.report.model_copy(update={"message": message, "definitive": False})

    def _fail(self, found: HealthReport, policy: FailoverPolicy, now_ns: int) -> None:
        self._passed = 0
        self._failed += 1
        down = not self.report.healthy and self.report.reason != HealthReason.STARTING
        if not (found.reason in AT_ONCE or down or self._failed >= policy.failure_threshold):
            return
        # A refusal says when it ends or needs a person, so it is no sign of a bad line.
        if self.report.healthy and not found.definitive:
            self._falls.append(now_ns)
        self.report = found

    def _needed(self, policy: FailoverPolicy, now_ns: int) -> int:
        if self.report.reason == HealthReason.STARTING:
            return policy.success_threshold
        while self._falls and self._falls[0] <= now_ns - FALLS_WINDOW_NS:
            self._falls.popleft()
        beyond = min(max(0, len(self._falls) - FALLS_FORGIVEN), 8)
        raised: int = min(policy.success_threshold * 2**beyond, CHECKS_CAP)
        return max(policy.success_threshold, raised)
