"""What a valid FeedSource may still be refused for: ordered checks, the first that fails speaks.

Must not know how a refusal is shown.
"""

from collections.abc import Callable
from typing import Final

from feedplane_api.conditions import Reason
from feedplane_api.feed_source import FeedSource
from feedplane_api.sinks import SINK_KINDS
from feedplane_operator.core.observed import Observed
from feedplane_operator.core.plan import Manifest, Ref
from feedplane_operator.core.pods import judge_pod
from feedplane_operator.core.workers import single_session

Refusal = tuple[Reason, str]
SUPPORTED_SINKS: Final = frozenset({"postgres", "file"})


def check_feed_source(feed_source: FeedSource, observed: Observed) -> Refusal | None:
    """Return why nothing may be done for a FeedSource, or None."""
    for check in _CHECKS:
        refusal = check(feed_source, observed)
        if refusal is not None:
            return refusal
    return None


def check_names(
    feed_source: FeedSource, wanted: tuple[Ref, ...], observed: Observed
) -> Refusal | None:
    """Return which child's name is taken by an object of somebody else, or None."""
    uid = feed_source.metadata.uid
    for ref in wanted:
        child = observed.children.get(ref)
        foreign = child is not None and not is_owned(child, uid)
        if foreign or ref in observed.taken_names:
            return Reason.NAME_CONFLICT, f"{ref.kind} {ref.name} belongs to something else"
    return None


def check_pods(observed: Observed) -> Refusal | None:
    """Return what the newest Pod of a feeder says against the spec itself, or None."""
    for worker in sorted(observed.pods):
        judged = judge_pod(observed.pods[worker][0]) if observed.pods[worker] else None
        if judged is not None and judged[0] in (Reason.UNKNOWN_VENUE, Reason.SECRET_NOT_FOUND):
            return judged
    return None


def check_sessions(feed_source: FeedSource, shards: int) -> Refusal | None:
    """Return why accounts of a single session cannot do what is wanted, or None."""
    if not single_session(feed_source):
        return None
    secrets: set[str] = set()
    for index, account in enumerate(feed_source.spec.accounts):
        secret = account.credentials_secret_ref.name if account.credentials_secret_ref else None
        if secret in secrets:
            path = f"spec.accounts[{index}].credentialsSecretRef"
            return Reason.ACCOUNT_IN_USE, f"{path}: its one session belongs to another account"
        secrets |= {secret} if secret else set()
    if shards > 1:
        cap = feed_source.spec.sharding.max_instruments_per_shard
        return (
            Reason.INVALID_SPEC,
            "spec.limits.sessionsPerAccount: with 1 an account feeds one shard, and what is"
            f" wanted takes {shards} of {cap} instruments;"
            " raise spec.sharding.maxInstrumentsPerShard",
        )
    return None


def is_owned(child: Manifest, uid: str) -> bool:
    """Return whether an object is controlled by the owner of a uid."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def _check_sinks(feed_source: FeedSource, _: Observed) -> Refusal | None:
    for index, sink in enumerate(feed_source.spec.sinks):
        kind = next(kind for kind in SINK_KINDS if getattr(sink, kind) is not None)
        if kind not in SUPPORTED_SINKS:
            path = f"spec.sinks[{index}].{kind}"
            return Reason.UNSUPPORTED_SINK, f"{path}: this release writes to postgres and file"
    return None


def _check_rivals(feed_source: FeedSource, observed: Observed) -> Refusal | None:
    for index, account in enumerate(feed_source.spec.accounts):
        rival = observed.account_rivals.get(account.name)
        if rival:
            path = f"spec.accounts[{index}].credentialsSecretRef"
            return Reason.ACCOUNT_IN_USE, f"{path}: FeedSource {rival} uses the account already"
    return None


def _check_calendar(feed_source: FeedSource, observed: Observed) -> Refusal | None:
    if observed.calendar_missing:
        name = feed_source.spec.session.calendar
        return Reason.INVALID_SPEC, f"spec.session.calendar: no such calendar: {name}"
    return None


_CHECKS: tuple[Callable[[FeedSource, Observed], Refusal | None], ...] = (
    _check_sinks,
    _check_rivals,
    _check_calendar,
)
