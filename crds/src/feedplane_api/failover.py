"""What a FeedSource's other accounts do, and when one of them takes over."""

from typing import Annotated, ClassVar

from pydantic import Field

from feedplane_api.schema import ApiModel, Percent, Rule
from feedplane_api.worker import Failback as Failback
from feedplane_api.worker import FailoverMode

AccountName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$", min_length=1, max_length=20)]


class Failover(ApiModel):
    """Who stands by, how a sick account is told, and how fast another takes over."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.leaseDurationSeconds > self.renewDeadlineSeconds",
            message="leaseDurationSeconds must be more than renewDeadlineSeconds",
            field=".leaseDurationSeconds",
            holds=lambda failover: (
                failover.lease_duration_seconds > failover.renew_deadline_seconds
            ),
        ),
        Rule(
            cel="self.renewDeadlineSeconds * 10 > self.retryPeriodSeconds * 12",
            message="renewDeadlineSeconds must be more than 1.2 times retryPeriodSeconds",
            field=".renewDeadlineSeconds",
            holds=lambda failover: (
                failover.renew_deadline_seconds * 10 > failover.retry_period_seconds * 12
            ),
        ),
        Rule(
            cel="self.mode != 'Hot' || self.replayBufferSeconds >="
            " self.staleAfterSeconds + self.leaseDurationSeconds",
            message="in mode Hot replayBufferSeconds must cover detection: at least"
            " staleAfterSeconds plus leaseDurationSeconds",
            field=".replayBufferSeconds",
            holds=lambda failover: (
                failover.mode is not FailoverMode.HOT
                or failover.replay_buffer_seconds
                >= failover.stale_after_seconds + failover.lease_duration_seconds
            ),
        ),
        Rule(
            cel="self.failback == 'Manual' || self.failbackAfterSeconds >= self.cooldownSeconds",
            message="failbackAfterSeconds must be at least cooldownSeconds",
            field=".failbackAfterSeconds",
            holds=lambda failover: (
                failover.failback is Failback.MANUAL
                or failover.failback_after_seconds >= failover.cooldown_seconds
            ),
        ),
    )

    mode: FailoverMode = FailoverMode.HOT
    """Merged: all accounts publish and the sink keeps the first copy. Hot: standbys are subscribed
    and keep the last seconds in memory. Warm: standbys are logged in only. Cold: standbys are
    stopped."""
    stale_after_seconds: int = Field(default=15, ge=1, le=3_600)
    """An acknowledged stream that stays mute this long, while the market is open and beyond its
    own usual pace, is stale."""
    minimum_coverage_percent: Percent = 90
    """An account with a smaller part of its streams live is not healthy."""
    lease_duration_seconds: int = Field(default=6, ge=2, le=300)
    """How long others wait for a publisher that went silent before one takes over."""
    renew_deadline_seconds: int = Field(default=4, ge=1, le=299)
    """How long the publisher tries to renew its Lease before it takes it for lost."""
    retry_period_seconds: int = Field(default=1, ge=1, le=60)
    """Time between two looks at the Lease."""
    replay_buffer_seconds: int = Field(default=30, ge=0, le=600)
    """How many seconds of data a hot standby keeps in memory to write when it takes over."""
    failback: Failback = Failback.AUTOMATIC
    """Automatic gives the preferred account its place back, Manual leaves it to a person."""
    failback_after_seconds: int = Field(default=300, ge=0, le=86_400)
    """How long the preferred account must be healthy before it takes over again."""
    cooldown_seconds: int = Field(default=30, ge=0, le=3_600)
    """Least time between two failovers."""
    failure_threshold: int = Field(default=2, ge=1, le=60)
    """Checks in a row, two a second, that must fail before an account counts as unhealthy; refused
    credentials and bans count at once."""
    success_threshold: int = Field(default=3, ge=1, le=600)
    """Checks in a row that must pass before an unhealthy account counts as healthy again."""
