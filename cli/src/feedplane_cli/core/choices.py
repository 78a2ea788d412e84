"""What a person may choose, and how each choice is written into a spec.

A choice that would not do what it is meant to is refused in words. Must not know how anything
is asked or written.
"""

from dataclasses import dataclass
from typing import Final

from feedplane_api.feed_source import AccountState, FeedState
from feedplane_api.names import SHORT_NAMES, Kind
from feedplane_api.worker import FailoverMode
from feedplane_cli.core.documents import Manifest, entries, word
from feedplane_cli.core.feed_view import AccountView, FeedView
from feedplane_cli.errors import RefusedError, UsageError

PAUSABLE: Final = (Kind.FEED_SOURCE, Kind.BACKFILL)


@dataclass(frozen=True, slots=True)
class Target:
    """An object as a person names it."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


def parse_target(text: str) -> Target:
    """Read `NAME` or `KIND/NAME`; without a kind a FeedSource is meant.

    Raises:
        UsageError: there is no such kind, or no name.
    """
    head, slash, tail = text.partition("/")
    if not slash:
        return Target(Kind.FEED_SOURCE, _named(head, text))
    lowered = head.lower().partition(".")[0]
    for kind in Kind:
        singular = kind.value.lower()
        if lowered in (singular, f"{singular}s", SHORT_NAMES[kind]):
            return Target(kind, _named(tail, text))
    raise UsageError(
        f"There is no kind {head!r}.", "Name a FeedSource, or backfill/NAME or subscription/NAME."
    )


def parse_pausable(text: str) -> Target:
    """Read what is to be paused or resumed.

    Raises:
        UsageError: it is of a kind that cannot be paused.
    """
    target = parse_target(text)
    if target.kind not in PAUSABLE:
        raise UsageError(
            f"A {target.kind.value} cannot be paused on its own.",
            "Pause its FeedSource, or delete it: its rows and its ledger stay.",
        )
    return target


def check_switchover(view: FeedView, account: str, *, force: bool) -> None:
    """Refuse a switchover that would not happen, or would do harm.

    Raises:
        RefusedError: and what to do instead; `force` goes ahead but for an unknown account.
    """
    wanted = view.account(account)
    if wanted is None:
        raise RefusedError(
            f"FeedSource {view.name} has no account {account!r}.",
            f"Its accounts are: {', '.join(one.name for one in view.accounts)}.",
        )
    if force:
        return
    if wanted.state == AccountState.MAINTENANCE:
        raise RefusedError(
            f"Account {account} is in maintenance.",
            f"Put it back with: feedplane maintenance {view.name} {account} --off"
            " (--force does both at once).",
        )
    if view.paused:
        raise RefusedError(
            f"FeedSource {view.name} is paused: no account is active.",
            f"Resume it first with: feedplane resume {view.name}"
            " (--force writes the choice down for then).",
        )
    if not _fit(view, wanted):
        raise RefusedError(
            f"Account {account} is not healthy: {wanted.reason or wanted.session}.",
            f"See why with: feedplane logs {view.name} --account {account}"
            " (--force chooses it all the same; it takes over once it is healthy).",
        )


def build_choice(account: str | None) -> Manifest:
    """Build the change that chooses an account, or with None leaves it to failover."""
    return {"spec": {"activeAccount": account}}


def build_state(state: FeedState) -> Manifest:
    """Build the change that pauses or resumes."""
    return {"spec": {"state": state.value}}


def build_service_steps(
    feed: Manifest, account: str, state: AccountState, *, choose: bool = False
) -> list[Manifest]:
    """Build the JSON patch that takes an account out of service, or puts it back.

    It touches that one field and holds only while the account stands where it stood: the list's
    other entries belong to whoever wrote them.
    """
    names = [word(entry, "name") for entry in entries(feed, "spec", "accounts")]
    place = f"/spec/accounts/{names.index(account)}"
    chosen = {"op": "add", "path": "/spec/activeAccount", "value": account}
    return [
        {"op": "test", "path": f"{place}/name", "value": account},
        {"op": "add", "path": f"{place}/state", "value": state.value},
        *([chosen] if choose else []),
    ]


def check_maintenance(view: FeedView, account: str) -> None:
    """Refuse to take an account out of service that nothing could stand in for.

    Raises:
        RefusedError: and what to do instead.
    """
    if view.account(account) is None:
        raise RefusedError(
            f"FeedSource {view.name} has no account {account!r}.",
            f"Its accounts are: {', '.join(one.name for one in view.accounts)}.",
        )
    serving = [
        one.name
        for one in view.accounts
        if one.state == AccountState.IN_SERVICE and one.name != account
    ]
    if not serving:
        raise RefusedError(
            f"Account {account} is the only one of FeedSource {view.name} in service.",
            f"To stop the feed altogether: feedplane pause {view.name}",
        )
    if view.chosen_account == account:
        raise RefusedError(
            f"A person chose account {account} to be active.",
            f"Choose another first: feedplane switchover {view.name} --to {serving[0]}, or --clear",
        )


def has_switched(view: FeedView, account: str) -> bool:
    """Whether status and every publisher Lease say that the account is active."""
    held = bool(view.leases) and all(lease.account == account for lease in view.leases)
    return held and view.active_account == account


def has_left(view: FeedView, account: str) -> bool:
    """Whether neither status nor any publisher Lease says that the account is active."""
    held = any(lease.account == account for lease in view.leases)
    return not held and view.active_account != account


def say_standing(view: FeedView) -> str:
    """Return in a sentence who is active now."""
    holders = ", ".join(
        f"{lease.name} is held by {lease.holder or 'nobody'}" for lease in view.leases
    )
    active = view.active_account or "nobody"
    return f"Now the status names {active}" + (f", and {holders}." if holders else ".")


def _fit(view: FeedView, account: AccountView) -> bool:
    # A Cold standby does not run, so nobody can know how it does.
    cold = view.mode == FailoverMode.COLD and account.name != view.active_account
    return account.healthy == "True" or cold


def _named(name: str, text: str) -> str:
    if not name:
        raise UsageError(f"There is no name in {text!r}.", "Write NAME or KIND/NAME.")
    return name
