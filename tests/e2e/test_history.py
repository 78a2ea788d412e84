"""History and repair on a real cluster: a Backfill brings days in, and dropped frames come back."""

import time
from datetime import date, timedelta

import pytest
from release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MINUTES_OF_DAY = 1_440
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def test_backfill_brings_two_days_of_bars(release: Release, feeds: None) -> None:
    end = date.fromisoformat(release.sql("select (now() at time zone 'utc')::date"))
    start = end - timedelta(days=2)
    manifest = {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "Backfill",
        "metadata": {"name": "two-days"},
        "spec": {
            "feedSourceRef": {"name": "binance-spot"},
            "instruments": list(SYMBOLS),
            "channels": ["bar-1m"],
            "range": {"start": f"{start}T00:00:00Z", "end": f"{end}T00:00:00Z"},
        },
    }
    release.apply(manifest)
    release.wait_condition("backfill", "two-days", "Succeeded", seconds=150)
    where = f"interval = '1m' and ts_open >= '{start}' and ts_open < '{end}'"
    for symbol in SYMBOLS:
        found = release.rows("bars", f"instrument_id = '{symbol}.BINANCE-SPOT' and {where}")
        assert found == 2 * MINUTES_OF_DAY
    listed = release.kubectl("get", "backfills").splitlines()
    assert listed[0].split()[:3] == ["NAME", "STATE", "PROGRESS"], listed[0]
    assert "100" in listed[1].split(), listed[1]
    release.kubectl("delete", "backfill", "two-days")


def test_dropped_frames_are_found_and_filled(release: Release, feeds: None) -> None:
    release.wait_condition("feedsource", "binance-spot", "Ready")
    with release.venue() as venue:
        active = release.get("lease", "binance-spot-publisher-0")["spec"]["holderIdentity"]
        account = active.partition("/")[0]
        fault = venue.ask(
            "/faults",
            {
                "kind": "skip",
                "client": account,
                "market": "spot",
                "streams": "btcusdt@aggTrade",
                "probability": 0.2,
            },
        )
        time.sleep(5)
        venue.ask(f"/faults/{fault['id']}", method="DELETE")
    gaps = "select {} from feedplane.gaps where instrument_id = 'BTCUSDT.BINANCE-SPOT'"
    gaps += " and channel = 'trade' and cause = 'sequence'"
    unfilled = gaps.format("count(*)") + " and state <> 'filled'"
    missing = (
        "select max(trade_id) - min(trade_id) + 1 - count(*) from feedplane.trades"
        " where instrument_id = 'BTCUSDT.BINANCE-SPOT'"
        " and ts_event > now() - interval '2 minutes'"
    )
    release.wait(lambda: int(release.sql(gaps.format("count(*)"))) > 0, 20, "gaps in the ledger")
    # A hole is named once it is certain to be one, so both are asked until both are well.
    release.wait(
        lambda: int(release.sql(missing)) == 0 == int(release.sql(unfilled)),
        90,
        lambda: "every gap to be filled\n" + release.sql(gaps.format("*")),
    )
