"""The faults of the table: what is done to the feed in one round, and what is seen meanwhile."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from release import VenueAdmin

from chaos import faults
from chaos.feed import ACCOUNTS, ChaosFeed
from chaos.rounds import while_held

CONTROL_PLANE_SUFFIX: Final = "-control-plane"
FAULT_POLL_SECONDS: Final = 0.1
FILLED_SECONDS: Final = 120.0
Seen = Mapping[str, Any]


def wall_time() -> float:
    """Return the time that Lease and database know too: all run on this machine."""
    return datetime.now(UTC).timestamp()  # noqa: TID251 - beside the clocks of Lease and database


def kill_active(feed: ChaosFeed, _venue: VenueAdmin) -> Seen:
    """Kill -9 the active account's feeder."""
    account = feed.holder().account
    faults.kill_feeder(feed, account)
    feed.wait_flow()
    return {"killed": account}


def kill_line(feed: ChaosFeed, _venue: VenueAdmin, number: int = 0) -> Seen:
    """Kill -9 one line, now the Lease holder's and now the other's."""
    active = feed.holder().account
    account = active if number % 2 else feed.standby()
    began = wall_time()
    faults.kill_feeder(feed, account)
    feed.wait_flow()
    return {"killed": account, "holder": active, "killed_at": began}


def switch_over(feed: ChaosFeed, _venue: VenueAdmin) -> Seen:
    """Ask for the other account, with the command a person uses."""
    target = feed.standby()
    began = wall_time()
    feed.release.feedplane("switchover", feed.name, "--to", target)
    return {"asked": target, "hurt_at": began}


def hurt_active(
    feed: ChaosFeed, venue: VenueAdmin, *, hurt: Callable[[VenueAdmin, str], object]
) -> Seen:
    """Let the venue turn against the active line until the other has taken over."""
    active, target = feed.holder().account, feed.standby()
    began = wall_time()
    hurt(venue, active)
    try:
        feed.release.wait(
            lambda: feed.holder().account == target,
            30,
            lambda: f"{target} to take over\n" + feed.describe(),
            every=FAULT_POLL_SECONDS,
        )
        feed.wait_flow()
    finally:
        faults.heal(venue)
    return {"hurt": active, "hurt_at": began}


mute_socket = partial(hurt_active, hurt=faults.mute)
refuse_login = partial(hurt_active, hurt=partial(faults.refuse, status=401))
ban = partial(hurt_active, hurt=faults.ban)


def freeze_node(feed: ChaosFeed, _venue: VenueAdmin, *, seconds: float = 25.0) -> Seen:
    """Freeze the node of the active feeder, which must not be the one of the control plane."""
    active = feed.holder().account
    node = node_of(feed, active)
    assert not node.endswith(CONTROL_PLANE_SUFFIX), "the active feeder is beside the API server"
    seen = while_held(lambda: faults.frozen_node(node), seconds)
    feed.wait_flow()
    return {"frozen": node, **seen}


def node_of(feed: ChaosFeed, account: str) -> str:
    """Return the node of an account's feeder."""
    return str(feed.pods(account)[0]["spec"]["nodeName"])


def move_to_worker(feed: ChaosFeed) -> None:
    """Let the account on a worker node be the active one."""
    places = {account: node_of(feed, account) for account in ACCOUNTS}
    worker = next(
        account for account, node in places.items() if not node.endswith(CONTROL_PLANE_SUFFIX)
    )
    feed.patch(f'{{"activeAccount": "{worker}"}}')
    feed.wait_holder(worker, 30)
    feed.patch('{"activeAccount": null}')


def stop_api_server(feed: ChaosFeed, _venue: VenueAdmin, *, node: str, seconds: float) -> Seen:
    """Stop the API server for some time."""
    return while_held(lambda: faults.no_api_server(feed.release, node), seconds)


def lose_packets(feed: ChaosFeed, _venue: VenueAdmin, *, seconds: float) -> Seen:
    """Lose half of the packets between the active feeder and the venue."""
    active = feed.holder().account
    seen = while_held(lambda: faults.lossy_network(feed, active, 0.5), seconds)
    feed.wait_flow()
    return {"lossy": active, **seen}


def cut_network(feed: ChaosFeed, _venue: VenueAdmin, *, seconds: float) -> Seen:
    """Cut both lines off from the venue, then wait until the ledger has nothing left to fill."""

    @contextmanager
    def cut() -> Iterator[None]:
        with ExitStack() as stack:
            for account in ACCOUNTS:
                stack.enter_context(faults.lossy_network(feed, account, 1.0))
            yield

    recent = f"detected_at >= to_timestamp({wall_time():.3f})"
    seen = while_held(cut, seconds)
    cured = time.monotonic()
    feed.wait_flow()
    # Quotes have no history; what a trade lacks must come back.
    feed.release.wait(
        lambda: not feed.gaps(f"{recent} and state in ('open', 'filling')"),
        FILLED_SECONDS,
        lambda: "the ledger to have nothing open\n" + feed.describe(),
    )
    lacking = feed.gaps(f"{recent} and channel = 'trade' and state <> 'filled'")
    assert not lacking, f"{lacking} gaps in trades were not filled"
    filled = feed.gaps(f"{recent} and channel = 'trade'")
    return {**seen, "filled": filled, "filled_after": _since(cured)}


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)


def take_database(feed: ChaosFeed, _venue: VenueAdmin, *, seconds: float) -> Seen:
    """Take the database away for some time."""
    seen = while_held(lambda: faults.no_database(feed.release), seconds)
    feed.wait_flow()
    return seen


def hurt_both(feed: ChaosFeed, venue: VenueAdmin, *, seconds: float = 20.0) -> Seen:
    """Turn both lines away, see Degraded, then let the standby in again."""
    first = feed.standby()
    other = feed.holder().account
    # Not a refusal of the login, which is asked again only after a while.
    held = {name: faults.refuse(venue, name, status=503) for name in (first, other)}
    try:
        feed.release.wait(
            lambda: feed.release.condition("feedsource", feed.name, "Degraded") == "True",
            seconds,
            lambda: "Degraded\n" + feed.release.describe("feedsource", feed.name),
            every=0.5,
        )
        venue.ask(f"/faults/{held[first]}", method="DELETE")
        cured = wall_time()
        feed.wait_flow(60)
    finally:
        faults.heal(venue)
    return {"recovered": first, "cured_at": cured}


def upgrade(feed: ChaosFeed, _venue: VenueAdmin, *, image: str) -> Seen:
    """Give the feeders another image and wait until both run it."""
    feed.patch(f'{{"feeder": {{"image": "{image}"}}}}')

    def done() -> bool:
        pods = [pod for account in ACCOUNTS for pod in feed.pods(account)]
        images = {pod["spec"]["containers"][0]["image"] for pod in pods}
        return len(pods) == len(ACCOUNTS) and images == {image}

    began = time.monotonic()
    feed.release.wait(done, 120, lambda: "both feeders upgraded\n" + feed.describe())
    feed.wait_hot()
    return {"image": image, "upgrade_seconds": round(time.monotonic() - began, 1)}


def race(feed: ChaosFeed, _venue: VenueAdmin) -> Seen:
    """Take the Pod of an account out of the API while its process still runs.

    Its successor starts beside it: two processes, one login.
    """
    account = feed.holder().account
    name = feed.pods(account)[0]["metadata"]["name"]
    feed.release.kubectl("delete", "pod", name, "--force", "--grace-period=0", "--wait=false")
    feed.release.wait(
        lambda: any(pod["metadata"]["name"] != name for pod in feed.pods(account)),
        60,
        "another Pod",
        every=0.2,
    )
    feed.wait_flow()
    return {"raced": account}
