"""Plays trials of the table on a feed of their own or on one that is shared."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from chaos import faults
from chaos.feed import ACCOUNTS
from chaos.rounds import Round, Rounds
from chaos.table import Stage, Trial


@contextmanager
def terms(trial: Trial, stage: Stage) -> Iterator[None]:
    """Hold the venue to what the trial is about for as long as the block runs."""
    if not trial.single_session:
        yield
        return
    with stage.feed.release.venue() as venue:
        venue.ask("/terms", {"sessionsPerAccount": 1})
    try:
        yield
    finally:
        with stage.feed.release.venue() as venue:
            venue.ask("/terms", {"sessionsPerAccount": None})


def play(trial: Trial, stage: Stage, rounds: int) -> Iterator[Round]:
    """Play rounds of a trial; the feeders that were hurt are replaced after each."""
    feed = stage.feed
    feed.wait_hot()
    around = faults.no_operator(feed.release) if trial.no_operator else nullcontext()
    with terms(trial, stage), around:
        for number in range(rounds):
            if trial.prepare:
                feed.wait_hot()
                trial.prepare(feed)
            try:
                inflict, operated = trial.inflict(number, stage), not trial.no_operator
                yield Rounds(feed).play(trial.name, number, inflict, operated=operated)
            finally:
                with feed.release.venue() as venue:
                    faults.heal(venue)
                feed.patch('{"activeAccount": null}')
                for account in ACCOUNTS:
                    feed.replace_pod(account, always=trial.wears_out)
        if trial.no_operator:
            feed.wait_hot()
            holder = feed.holder()
    if trial.no_operator:
        feed.wait_adopted(holder)
