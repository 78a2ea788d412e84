"""The published figure of completeness, held against the venue's own account.

Three tell how much was missing before repair and after it: the ledger, the numbers and times of
the rows, and the simulator, who knows what it emitted and what it never delivered.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rig import wait_for
from trial import Trial
from typer.testing import CliRunner

from feedplane_cli.__main__ import app
from feedplane_cli.errors import ExitStatus

pytestmark = pytest.mark.timeout(180)


def lost_by_the_venue(trial: Trial, *, held_only: bool) -> int:
    """Count the trades between the first and last row that were emitted and never delivered.

    With `held_only` those that are not in the table either.
    """
    total = 0
    for symbol in trial.symbols:
        rows = trial.fetch(
            "select trade_id from feedplane.trades"  # noqa: S608 - a symbol of ours
            f" where instrument_id = '{symbol}.BINANCE-SPOT' order by 1"
        )
        held = {row["trade_id"] for row in rows}
        truth = trial.venue.ask(f"/truth/spot/aggTrade/{symbol}?ids=1")
        emitted = {number for number in truth["ids"] if min(held) <= number <= max(held)}
        told = trial.venue.ask(f"/deliveries/spot/aggTrade/{symbol}?ids=1")
        delivered = {
            number
            for connections in told.values()
            for connection in connections
            for number in connection["ids"]
        }
        assert held <= set(truth["ids"])
        total += len(emitted - (held if held_only else delivered))
    return total


def is_all_named(trial: Trial) -> bool:
    """Tell whether the ledger has as many numbers as the venue never delivered."""
    (row,) = trial.fetch("select sum(to_id - from_id + 1)::int as named from feedplane.gaps")
    return (row["named"] or 0) >= lost_by_the_venue(trial, held_only=False) > 0


@pytest.mark.parametrize("repair", [True, False], ids=["repaired", "left open"])
def test_figure_is_the_same_by_ledger_rows_and_venue(
    make_trial: Callable[..., Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repair: bool
) -> None:
    trial = make_trial(repair=repair, channels=["trade"])
    with trial.feeder() as running:
        trial.venue.fault("skip", streams="*@aggTrade", probability=0.02, seconds=2)
        # Holes wait two seconds before they are named, and what follows them waits with them.
        trial.run_for(7)
        wait_for(lambda: is_all_named(trial), 60, "a ledger that names what is lost", every=1)
        if repair:
            still = "select 1 from feedplane.gaps where state in ('open', 'filling')"
            wait_for(lambda: not trial.fetch(still), 60, "no open gap", every=0.5)
        trial.end(running)
    monkeypatch.setenv("FEEDPLANE_DSN", trial.dsn)
    end = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()  # noqa: TID251 - the tape's end
    result = CliRunner().invoke(
        app, ["report", "quality", "-o", str(tmp_path), "--to", end], catch_exceptions=False
    )
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    (told,) = json.loads((tmp_path / "quality.json").read_text())["completeness"]
    before = lost_by_the_venue(trial, held_only=False)
    after = lost_by_the_venue(trial, held_only=True)
    assert before > 0
    assert (told["ledgerBefore"], told["rowsBefore"]) == (before, before)
    assert (told["ledgerAfter"], told["rowsAfter"]) == (after, after)
    assert after == (0 if repair else before)
    assert told["agrees"]
    assert "ledger and rows agree" in result.output
