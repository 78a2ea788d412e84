import json
import logging

from feedplane_simulator.logs import JsonFormatter


def test_log_record_becomes_one_json_line() -> None:
    record = logging.makeLogRecord(
        {"msg": "fault.injected", "levelname": "INFO", "created": 1.5, "fault": {"kind": "mute"}}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line == {
        "ts": 1500,
        "level": "info",
        "component": "simulator",
        "msg": "fault.injected",
        "fault": {"kind": "mute"},
    }
