"""The main path on a real cluster: `kubectl apply` to rows, and what a person sees of it."""

import time
from typing import Any

import pytest
from release import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_applied_feed_lands_first_row_within_thirty_seconds(release: Release) -> None:
    release.apply(*feed("quick", "binance-spot", 9001, ["BTCUSDT"], ["trade"], schema="quick"))
    began = time.monotonic()
    release.wait(
        lambda: (
            release.sql("select to_regclass('quick.trades') is not null") == "t"
            and int(release.sql("select count(*) from quick.trades")) > 0
        ),
        30,
        lambda: "the first row\n" + release.kubectl("get", "pods,fs,sub", "-o", "wide"),
        every=0.2,
    )
    assert time.monotonic() - began < 30
    release.kubectl("delete", "feedsource,subscription", "quick")


@pytest.mark.parametrize("name", ["binance-spot", "binance-usdm"], ids=["spot", "usdm"])
def test_both_markets_become_ready_with_rows(release: Release, feeds: None, name: str) -> None:
    release.wait_condition("feedsource", name, "Ready")
    venue = name.upper()
    where = f"instrument_id like '%.{venue}'"
    tables = ["trades", "quotes", "bars"] + (["book_deltas"] if name == "binance-spot" else [])
    release.wait(
        lambda: all(release.rows(table, where) for table in tables), 60, f"rows of {venue}"
    )


def test_feedsource_columns_show_the_truth(release: Release, feeds: None) -> None:
    release.wait_condition("feedsource", "binance-spot", "Ready")
    lines = release.kubectl("get", "feedsources").splitlines()
    header = lines[0].split()
    assert header[1:8] == ["VENUE", "READY", "ACTIVE", "COVERAGE", "LAG", "FAILOVERS", "AGE"]
    spot = dict(
        zip(
            header,
            next(row for row in lines if row.startswith("binance-spot")).split(),
            strict=False,
        )
    )
    # Other tests freeze nodes and stop the API server, so either account may publish by now.
    lease = release.get("lease", "binance-spot-publisher-0")
    active = lease["spec"]["holderIdentity"].partition("/")[0]
    assert (spot["VENUE"], spot["READY"], spot["ACTIVE"]) == ("binance-spot", "True", active)
    assert active in ("main", "backup")
    assert spot["COVERAGE"].startswith("100")


def test_category_and_short_names_list_everything(release: Release, feeds: None) -> None:
    listed = release.kubectl("get", "feeds", "-o", "name").split()
    assert "feedsource.feedplane.dev/binance-spot" in listed
    assert "subscription.feedplane.dev/majors" in listed
    assert "binance-spot" in release.kubectl("get", "fs")
    assert "majors" in release.kubectl("get", "sub")


def test_new_instrument_streams_within_ten_seconds(release: Release, feeds: None) -> None:
    release.wait_condition("feedsource", "binance-spot", "Ready")
    pods = pod_names(release)
    with release.venue() as venue:
        before = {row["id"] for row in venue.ask("/connections")}
        instruments = [*release.get("subscription", "majors")["spec"]["instruments"], "XRPUSDT"]
        patch = f'{{"spec": {{"instruments": {instruments}}}}}'.replace("'", '"')
        release.kubectl("patch", "subscription", "majors", "--type=merge", "-p", patch)
        release.wait(
            lambda: release.rows("trades", "instrument_id = 'XRPUSDT.BINANCE-SPOT'"),
            10,
            "rows of the new instrument",
            every=0.2,
        )
        after = {row["id"] for row in venue.ask("/connections")}
    assert before <= after, "a connection was replaced"
    assert pod_names(release) == pods, "a pod was replaced"


def test_unknown_instrument_is_named_in_status(release: Release, feeds: None) -> None:
    release.apply(
        subscription("nothing", "binance-spot", ["NOSUCHUSDT"], ["trade"]),
    )
    release.wait(
        lambda: "NOSUCHUSDT" in str(release.get("subscription", "nothing").get("status")),
        30,
        "the missing instrument in status",
    )
    assert release.condition("subscription", "nothing", "Covered") == "False"
    assert release.condition("feedsource", "binance-spot", "Accepted") == "True"
    release.kubectl("delete", "subscription", "nothing")


def test_venue_saw_no_violation(release: Release, feeds: None) -> None:
    accounts = {"main", "backup"}
    with release.venue() as venue:
        found = [row for row in venue.ask("/violations") if row["client"] in accounts]
    assert found == []


def test_helm_test_passes(release: Release) -> None:
    assert "Succeeded" in release.helm("test", release.name, "--timeout", "200s")


def feed(
    name: str, venue: str, port: int, instruments: list[str], channels: list[str], schema: str
) -> list[dict[str, Any]]:
    """Return a FeedSource on the simulator and its Subscription."""
    secret = {"name": "feedplane-database"}
    endpoint = f"feedplane-simulator:{port}"
    source: dict[str, Any] = {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "FeedSource",
        "metadata": {"name": name},
        "spec": {
            "venue": venue,
            "endpoints": {"stream": f"ws://{endpoint}", "rest": f"http://{endpoint}"},
            "accounts": [{"name": "main"}],
            "sinks": [{"name": "database", "postgres": {"dsnSecretRef": secret, "schema": schema}}],
        },
    }
    return [source, subscription(name, name, instruments, channels)]


def subscription(
    name: str, source: str, instruments: list[str], channels: list[str]
) -> dict[str, Any]:
    """Return a Subscription."""
    return {
        "apiVersion": "feedplane.dev/v1alpha1",
        "kind": "Subscription",
        "metadata": {"name": name},
        "spec": {
            "feedSourceRef": {"name": source},
            "instruments": instruments,
            "channels": channels,
        },
    }


def pod_names(release: Release) -> list[str]:
    """Return the feeder pods of the spot feed."""
    selector = "feedplane.dev/feed-source=binance-spot,feedplane.dev/account"
    return sorted(pod["metadata"]["name"] for pod in release.items("pods", selector))
