"""What the demo shows: questions to the database, tables, and how to look further."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from feedplane_cluster.demo_inputs import NAMESPACE, Manifest

DATABASE_POD = "feedplane-database-0"

NEWEST_ROWS = """
select instrument_id as instrument, price, size, aggressor_side as side, trade_id as id,
       to_char(ts_event at time zone 'utc', 'HH24:MI:SS.MS') as ts_event,
       round(extract(epoch from ts_recv - ts_event) * 1000)::int as lag_ms
from feedplane.trades order by ts_recv desc limit 8
"""
ROW_COUNTS = """
select (select count(*) from feedplane.trades) as trades,
       (select count(*) from feedplane.quotes) as quotes,
       (select count(*) from feedplane.bars) as bars,
       (select count(*) from feedplane.book_deltas) as book_deltas,
       (select count(*) from feedplane.gaps where filled_at is null and reason is null) as open_gaps
"""


def readiness(item: Manifest) -> str:
    """Say in a few words what an object's Ready condition says."""
    for condition in item.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return "ready"
            return f"{condition['reason']}: {condition.get('message', '')}".rstrip(": ")
    return "not seen by the operator yet"


def pods_table(pods: Sequence[Manifest]) -> Table:
    """Lay out what runs, one Pod a line."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("Pod", "Part", "Account", "Ready", "Restarts"):
        table.add_column(column)
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        states = pod.get("status", {}).get("containerStatuses", [])
        table.add_row(
            pod["metadata"]["name"],
            labels.get("app.kubernetes.io/component", ""),
            labels.get("feedplane.dev/account", ""),
            "yes" if states and all(state["ready"] for state in states) else "no",
            str(sum(state["restartCount"] for state in states)),
        )
    return table


def further(programs: Path, kubeconfig: Path) -> str:
    """Say how to look further, in commands that can be pasted."""
    psql = f"exec -it {DATABASE_POD} -- psql -U feedplane"
    return f"""\
  export PATH={programs}:$PATH KUBECONFIG={kubeconfig}
  kubectl config set-context --current --namespace {NAMESPACE}
  kubectl get feeds --watch
  kubectl describe feedsource binance-spot
  kubectl logs deployment/binance-spot-main-0 --follow
  kubectl {psql}
  kubectl patch subscription majors --type json --patch \\
    '[{{"op": "add", "path": "/spec/instruments/-", "value": "XRPUSDT"}}]'
  kubectl delete pod -l feedplane.dev/account=main

  make clean-demo     undoes all of this"""
