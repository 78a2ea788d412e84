"""A round of each failover trial, with short faults: the tape is whole whatever happens.

`make chaos` plays the same table at full length; see `chaos.table`. The venue's ground truth and
the database's commit times are the referees.
"""

from collections.abc import Iterator

import pytest
from chaos import faults
from chaos.feed import ACCOUNTS, ChaosFeed, record_commit_times
from chaos.play import play
from chaos.setup import set_rate, symbols_of
from chaos.table import SHORT, Slack, Stage, Trial, build_table, faults_of
from release import Release

from feedplane_cluster.product_images import DEVELOPMENT_TAG

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RATE = 1_500
SLACK = Slack(factor=2.5, seconds=5, late_renewals=1)
"""The bounds in time are those of a machine that does nothing else; `make chaos` holds to them.

Here two cores start an API server beside all else, and what fails to go on at all is looked for.
"""
SYMBOL_COUNT = 8
TABLE = build_table(SHORT)
SHARED = [trial for trial in TABLE if not trial.policy and not trial.spec]
OTHERS = [trial for trial in TABLE if trial not in SHARED]


@pytest.fixture(scope="module")
def symbols(release: Release) -> Iterator[list[str]]:
    """Instruments of a market that trades at the trials' rate."""
    record_commit_times(release)
    with release.venue() as venue:
        found = symbols_of(venue)[:SYMBOL_COUNT]
        set_rate(venue, RATE)
    yield found
    with release.venue() as venue:
        faults.heal(venue)
        venue.ask("/rate", {"spot": 300, "usdm": 300})


@pytest.fixture(scope="module")
def shared(release: Release, symbols: list[str]) -> Iterator[ChaosFeed]:
    """One feed for all trials that need no policy of their own."""
    feed = ChaosFeed(release, name="trial", symbols=symbols, book_symbols=symbols[:1])
    with feed.applied():
        yield feed


def broken_promises(trial: Trial, feed: ChaosFeed, images: dict[str, str]) -> list[str]:
    """Play one round and return what did not hold."""
    image = images["feeder"]
    stage = Stage(
        feed=feed,
        nodes=feed.release.nodes(),
        feeder_image=image,
        other_image=f"{image.rpartition(':')[0]}:{DEVELOPMENT_TAG}",
    )
    (played,) = play(trial, stage, 1)
    print(played.sentence())  # noqa: T201 - shown where the test fails
    return faults_of(trial, [played], SLACK)


@pytest.mark.parametrize("trial", SHARED, ids=lambda trial: trial.name)
def test_tape_stays_whole_through_fault(
    shared: ChaosFeed, images: dict[str, str], trial: Trial
) -> None:
    assert broken_promises(trial, shared, images) == []


def test_accounts_of_shard_land_on_two_nodes(shared: ChaosFeed) -> None:
    shared.wait_hot()
    nodes = {shared.pods(account)[0]["spec"]["nodeName"] for account in ACCOUNTS}
    assert len(nodes) == min(2, len(shared.release.nodes()))


@pytest.fixture(scope="module")
def alone(release: Release, symbols: list[str]) -> None:
    """No feed but the trial's own, as the venue counts sessions by account."""
    ChaosFeed(release, name="trial", symbols=symbols, book_symbols=symbols[:1]).withdraw()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("trial", OTHERS, ids=lambda trial: trial.name)
def test_tape_stays_whole_under_other_policy(
    release: Release, symbols: list[str], images: dict[str, str], trial: Trial
) -> None:
    feed = ChaosFeed(
        release,
        name=f"other-{trial.name}",
        symbols=symbols,
        policy=trial.policy,
        extra=trial.spec,
    )
    with feed.applied():
        assert broken_promises(trial, feed, images) == []
