"""Faults at 2,000 messages a second: what the ledger does not name is there once.

The venue's ground truth and the tables are the referees. Each fault alone leaves the cause that
is its own in the ledger, or none where nothing may be missing.
"""

import signal
import time

import pytest
from trial import Trial

pytestmark = pytest.mark.timeout(150)


def test_killed_feeder_leaves_restart_gaps_only(trial: Trial) -> None:
    with trial.feeder() as first:
        trial.run_for(2)
        first.program.kill(signal.SIGKILL)
    with trial.feeder() as second:
        trial.run_for(2)
        trial.end(second)
    verdicts = trial.check_complete()
    assert set(trial.causes()) == {"restart"}
    assert sum(verdict.named for verdict in verdicts) > 0
