"""`feedplane switchover`, `pause`, `resume` and `maintenance`: a person's hand on a feed."""

from feedplane_api.feed_source import AccountState, FeedState
from feedplane_api.names import Kind
from feedplane_cli.cluster import Cluster, connect
from feedplane_cli.core.choices import (
    build_choice,
    build_service_steps,
    build_state,
    check_maintenance,
    check_switchover,
    has_left,
    has_switched,
    parse_pausable,
)
from feedplane_cli.core.documents import Manifest, word
from feedplane_cli.core.feed_view import FeedView
from feedplane_cli.errors import ExitStatus
from feedplane_cli.place import Place
from feedplane_cli.reading import read_views
from feedplane_cli.terminal import say
from feedplane_cli.waiting import wait_until

FEED = Kind.FEED_SOURCE.value


async def switch_over(
    place: Place, name: str, account: str, *, force: bool, wait_seconds: float | None
) -> ExitStatus:
    """Choose the account that shall be active, and see it happen."""
    async with connect(place) as cluster:
        (view,) = await read_views(cluster, cluster.namespace, name)
        check_switchover(view, account, force=force)
        await _choose(cluster, view, account)
        before = view.active_account or "nobody"
        if has_switched(view, account):
            say(f"{account} is active already, and stays so until you choose anew.")
            return ExitStatus.HEALTHY
        if wait_seconds is None:
            say(f"{name} shall switch from {before} to {account}.")
            return ExitStatus.HEALTHY
        after, seconds = await wait_until(
            cluster,
            name,
            lambda seen: has_switched(seen, account),
            what=f"Switching {name} from {before} to {account}",
            timeout_seconds=wait_seconds,
        )
    _say_switched(view, after, account, seconds)
    return ExitStatus.HEALTHY


async def clear_choice(place: Place, name: str) -> ExitStatus:
    """Give the choice of the active account back to failover."""
    async with connect(place) as cluster:
        changed = await cluster.merge(FEED, cluster.namespace, name, build_choice(None))
    active = word(changed, "status", "activeAccount") or "nobody"
    say(f"Failover chooses the active account of {name} again; now it is {active}.")
    return ExitStatus.HEALTHY


async def set_state(place: Place, text: str, state: FeedState) -> ExitStatus:
    """Pause or resume a FeedSource or a Backfill."""
    target = parse_pausable(text)
    async with connect(place) as cluster:
        change = build_state(state)
        await cluster.merge(target.kind.value, cluster.namespace, target.name, change)
    if state is FeedState.RUNNING:
        said = "its workers start."
    elif target.kind is Kind.FEED_SOURCE:
        said = "its feeders stop. What they miss is not fetched later by itself: the ledger has it."
    else:
        said = "its workers stop after their present chunk."
    say(f"{target} is {state.value}: {said}")
    return ExitStatus.HEALTHY


async def set_maintenance(
    place: Place, name: str, account: str, *, out: bool, wait_seconds: float | None
) -> ExitStatus:
    """Take one account out of service, or put it back."""
    async with connect(place) as cluster:
        feed = await cluster.get(FEED, cluster.namespace, name)
        (view,) = await read_views(cluster, cluster.namespace, name)
        if out:
            check_maintenance(view, account)
        elif view.account(account) is None:
            check_switchover(view, account, force=True)
        state = AccountState.MAINTENANCE if out else AccountState.IN_SERVICE
        await cluster.edit(FEED, cluster.namespace, name, build_service_steps(feed, account, state))
        if not out or wait_seconds is None or has_left(view, account):
            say(f"Account {account} of {name} is {state.value}.")
            return ExitStatus.HEALTHY
        after, seconds = await wait_until(
            cluster,
            name,
            lambda seen: has_left(seen, account),
            what=f"Handing {name} over from {account}",
            timeout_seconds=wait_seconds,
        )
    say(
        f"Account {account} of {name} is {state.value};"
        f" {after.active_account or 'nobody'} took over after {seconds:.1f} s."
    )
    return ExitStatus.HEALTHY


async def _choose(cluster: Cluster, view: FeedView, account: str) -> Manifest:
    known = view.account(account)
    if known is not None and known.state == AccountState.MAINTENANCE:
        # Both in one write: the API server refuses to choose an account that is out of service.
        feed = await cluster.get(FEED, cluster.namespace, view.name)
        steps = build_service_steps(feed, account, AccountState.IN_SERVICE, choose=True)
        return await cluster.edit(FEED, cluster.namespace, view.name, steps)
    return await cluster.merge(FEED, cluster.namespace, view.name, build_choice(account))


def _say_switched(before: FeedView, after: FeedView, account: str, seconds: float) -> None:
    milliseconds = after.failover.last_duration_milliseconds
    new = after.failover.epoch > before.failover.epoch and milliseconds is not None
    data = f"; the data stood still for {milliseconds} ms" if new else ""
    say(
        f"{account} is active after {seconds:.1f} s, {before.active_account or 'nobody'} was before"
        f" (epoch {before.failover.epoch} -> {after.failover.epoch}){data}."
    )
    say(
        "It stays so until you choose anew; to leave it to failover again:"
        f" feedplane switchover {after.name} --clear"
    )
