"""Logs through a real API server, from a node that is none."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from support_cli import lines_of
from support_cli_cluster import Person, place_feed, run_feeder
from support_kubelet import FakeNode
from support_operator import Server, wait_for

from feedplane_cli.errors import ExitStatus


def say(event: str, second: int, **fields: str) -> str:
    stamp = f"2026-11-21T12:00:{second:02}.000Z"
    line = {"ts": stamp, "level": "INFO", "component": "session", "msg": event, **fields}
    return json.dumps(line) + "\n"


def test_lines_of_all_feeders_come_in_order(server: Server, node: FakeNode, admin: Person) -> None:
    place_feed(server, admin.namespace)
    main = run_feeder(server, node, admin.namespace, "main")
    backup = run_feeder(server, node, admin.namespace, "backup")
    node.logs[main] = say("session.opened", 1) + say("gap.detected", 3, error="password=canary")
    node.logs[backup] = say("session.opened", 2)
    result = admin.run("logs", "spot")
    assert result.exit_code == ExitStatus.HEALTHY, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "main/0",
        "backup/0",
        "main/0",
    ]
    assert lines_of(result.stdout, "main/0 12:00:03.000 INFO", "gap.detected", "error=password=***")
    one = admin.run("logs", "spot", "--account", "backup", "--tail", "7", "--since", "1m")
    assert one.stdout.splitlines() == ["backup/0 12:00:02.000 INFO    session      session.opened"]
    assert node.queries[-1] == {"sinceSeconds": "60", "tailLines": "7"}


def test_raw_lines_stay_json(server: Server, node: FakeNode, admin: Person) -> None:
    place_feed(server, admin.namespace)
    name = run_feeder(server, node, admin.namespace, "main")
    node.logs[name] = say("session.opened", 1)
    node.logs[f"{name}/previous"] = say("session.lost", 0)
    assert json.loads(admin.run("logs", "spot", "--raw").stdout)["msg"] == "session.opened"
    before = admin.run("logs", "spot", "--raw", "--previous")
    assert json.loads(before.stdout)["msg"] == "session.lost"


def test_feed_without_feeders_has_no_logs(server: Server, admin: Person) -> None:
    place_feed(server, admin.namespace)
    result = admin.run("logs", "spot", "--shard", "3")
    assert result.exit_code == ExitStatus.NOT_FOUND
    assert "no such feeder running" in result.output


def test_followed_lines_come_from_new_feeders_too(
    server: Server, node: FakeNode, admin: Person, tmp_path: Path
) -> None:
    place_feed(server, admin.namespace)
    main = run_feeder(server, node, admin.namespace, "main")
    node.logs[main] = say("session.opened", 1)
    lines = tmp_path / "lines"
    command = [sys.executable, "-m", "feedplane_cli", "logs", "spot", "--follow"]
    place = ["-n", admin.namespace, "--kubeconfig", str(admin.kubeconfig)]
    with lines.open("wb") as file:
        following = subprocess.Popen(
            [*command, *place], stdout=file, stderr=file, env={"PATH": os.environ["PATH"]}
        )
    try:
        wait_for(lambda: "main/0" in lines.read_text(), 20)
        backup = run_feeder(server, node, admin.namespace, "backup")
        node.logs[backup] = say("session.opened", 2)
        node.logs[main] += say("gap.detected", 3)
        wait_for(lambda: "gap.detected" in lines.read_text(), 20)
        wait_for(lambda: "backup/0" in lines.read_text(), 20)
    finally:
        following.send_signal(signal.SIGINT)
    assert following.wait(20) == ExitStatus.INTERRUPTED
    assert lines.read_text().count("session.opened") == 2
