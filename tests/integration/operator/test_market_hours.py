"""A calendar's times on their way to the feeders, on a real API server."""

import time
from typing import Any

from support_accounts import Accounts
from support_operator import FakeFeeders, OperatorProcess, Server, wait_for
from support_resources import condition

from feedplane_api.worker import MarketHours, parse_worker_config


def test_hours_reach_feeders_once_and_replace_no_pod(
    operator: OperatorProcess, server: Server, feeders: FakeFeeders, namespace: str
) -> None:
    accounts = Accounts(server, feeders, namespace)
    accounts.create()
    accounts.stream()
    generation = (accounts.deployment("a") or {})["metadata"]["generation"]

    def file() -> Any:
        return server.get("ConfigMap", namespace, "spot-a-0")

    def hours() -> MarketHours | None:
        return parse_worker_config(file()["data"]["worker.yaml"]).session.hours

    assert hours() is None
    accounts.change(session={"calendar": "XHKG"})
    # The calendars are loaded now, which takes a busy machine a while.
    wait_for(lambda: hours() is not None, 60)
    told = hours()
    assert told is not None
    assert len(told.lines[0].openings) > 50
    # Neither the poller nor a reconcile for another reason writes it again.
    version = file()["metadata"]["resourceVersion"]
    accounts.change(failover={"failbackAfterSeconds": 301})
    wait_for(lambda: file()["metadata"]["resourceVersion"] != version)
    version = file()["metadata"]["resourceVersion"]
    time.sleep(3)
    assert (file()["metadata"]["resourceVersion"], hours()) == (version, told)
    assert (accounts.deployment("a") or {})["metadata"]["generation"] == generation
    # A name nobody knows is refused, and what was told last goes on.
    accounts.change(session={"calendar": "NOPE"})
    wait_for(lambda: accounts.said("Accepted") == ("False", "InvalidSpec"), 20)
    assert "spec.session.calendar" in condition(accounts.feed(), "Accepted")["message"]
    assert hours() == told
    accounts.change(session={"calendar": "AlwaysOpen"})
    wait_for(lambda: hours() is None, 20)
