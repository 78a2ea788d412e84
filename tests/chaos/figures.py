"""Writes what the trials showed to docs/results, one file per figure and one per trial."""

import json
from collections.abc import Mapping, Sequence

from chaos.rounds import Round
from chaos.table import Trial, faults_of, percentile
from tests.bench.results import RESULTS, write_result

COMMAND = "make chaos"
# Trial -> (figure of its stall, goal), as the design names them.
STALLS = {
    "kill": ("failover-kill-stall-p99-seconds", 8.0),
    "kill-operator-down": ("failover-operator-down-stall-p99-seconds", 8.0),
    "kill-merged": ("failover-merged-stall-p99-seconds", 1.0),
    "switchover": ("switchover-stall-p99-seconds", 3.0),
    "node-frozen": ("node-loss-stall-p99-seconds", 20.0),
    "api-server-stopped": ("api-server-loss-stall-p99-seconds", 1.0),
}
COUNTS = {"kill": ("failover-kill-lost", "failover-kill-doubled")}
TAKEOVERS = {
    "mute": ("takeover-mute-seconds", 7.0),
    "refused": ("takeover-refused-seconds", 3.0),
    "banned": ("takeover-banned-seconds", 3.0),
}


def write_figures(trial: Trial, played: Sequence[Round]) -> None:
    """Write the figures of one trial, and its rounds to docs/results/chaos."""
    runs = [each.document() for each in played]
    command = f"{COMMAND} ONLY={trial.name}"
    stalls = [each.verdict.stall_seconds for each in played]
    details = {"p50_stall_seconds": round(percentile(stalls, 50), 3), "rounds": len(runs)}
    if trial.name in STALLS:
        figure, goal = STALLS[trial.name]
        _write(figure, round(percentile(stalls, 99), 3), "s", goal, runs, command, details)
    for figure in COUNTS.get(trial.name, ()):
        key = figure.rpartition("-")[2]
        _write(figure, sum(run[key] for run in runs), "rows", 0, runs, command, details)
    if trial.name in TAKEOVERS:
        figure, goal = TAKEOVERS[trial.name]
        value = max(run.get("takeover_seconds", 0) for run in runs)
        _write(figure, value, "s", goal, runs, command, details)
    folder = RESULTS / "chaos"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "trial": trial.name,
        "broken": faults_of(trial, played),
        "rounds": runs,
    }
    path = folder / f"{trial.name}.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _write(
    figure: str,
    value: float,
    unit: str,
    goal: float,
    runs: Sequence[object],
    command: str,
    details: Mapping[str, object],
) -> None:
    write_result(
        figure,
        value=value,
        unit=unit,
        goal=goal,
        higher_is_better=False,
        runs=runs,
        command=command,
        details=details,
    )
