import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_simulator.config import Market
from feedplane_simulator.control import ControlAnswer, answer_control


def answer(request: Any, market: Market = Market.SPOT) -> ControlAnswer:
    text = request if isinstance(request, str) else json.dumps(request)
    return answer_control(market, text, ["a@trade"], combined=False)


def test_subscribe_is_acknowledged_with_its_streams() -> None:
    given_back = answer({"method": "SUBSCRIBE", "params": ["x@trade", "y@trade"], "id": 3})
    assert json.loads(given_back.reply) == {"result": None, "id": 3}
    assert given_back.subscribe == ("x@trade", "y@trade")
    assert given_back.refused is None


def test_unsubscribe_is_acknowledged_with_its_streams() -> None:
    given_back = answer({"method": "UNSUBSCRIBE", "params": ["a@trade"], "id": 4})
    assert given_back.unsubscribe == ("a@trade",)


@pytest.mark.parametrize(
    ("request_", "result", "combined"),
    [
        ({"method": "LIST_SUBSCRIPTIONS", "id": 1}, ["a@trade"], None),
        ({"method": "GET_PROPERTY", "params": ["combined"], "id": 1}, False, None),
        ({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}, None, True),
    ],
)
def test_question_is_answered_with_a_result(
    request_: Any, result: Any, combined: bool | None
) -> None:
    given_back = answer(request_)
    assert json.loads(given_back.reply) == {"result": result, "id": 1}
    assert given_back.combined is combined


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        pytest.param("{", 3, "Invalid JSON", id="broken JSON"),
        pytest.param("[]", 3, "Invalid JSON", id="no object"),
        pytest.param({"id": 1}, 2, "missing field `method`", id="no method"),
        pytest.param({"method": "X", "id": 1}, 2, "unknown variant X", id="unknown method"),
        pytest.param(
            {"method": "SUBSCRIBE", "params": []}, 2, "must be an unsigned integer", id="no id"
        ),
        pytest.param(
            {"method": "SUBSCRIBE", "params": [], "id": 1.5},
            2,
            "must be an unsigned integer",
            id="fractional id",
        ),
        pytest.param(
            {"method": "SUBSCRIBE", "params": [], "id": 1, "x": 2},
            2,
            "too many parameters",
            id="extra field",
        ),
        pytest.param(
            {"method": "GET_PROPERTY", "params": ["nonesuch"], "id": 1},
            0,
            "Unknown property",
            id="unknown property",
        ),
        pytest.param(
            {"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1},
            1,
            "expected Boolean",
            id="no Boolean",
        ),
        pytest.param(
            {"method": "GET_PROPERTY", "params": [1], "id": 1},
            2,
            "property name must be a string",
            id="property is no text",
        ),
        pytest.param(
            {"method": "SUBSCRIBE", "params": "a@trade", "id": 1},
            2,
            "params must be an array",
            id="params are no list",
        ),
    ],
)
def test_bad_control_message_is_refused_with_code(request_: Any, code: int, words: str) -> None:
    given_back = answer(request_)
    body = json.loads(given_back.reply)
    assert body["code"] == code
    assert words in body["msg"]
    assert given_back.refused == body["msg"]


@pytest.mark.parametrize(
    ("request_id", "spot", "usdm"),
    [
        (7, True, True),
        (-7, True, False),
        ("a", True, False),
        (None, True, False),
        (True, False, False),
    ],
)
def test_request_id_types_differ_by_market(request_id: Any, spot: bool, usdm: bool) -> None:
    request = {"method": "LIST_SUBSCRIPTIONS", "id": request_id}
    assert (answer(request).refused is None) is spot
    assert (answer(request, Market.USDM).refused is None) is usdm


@given(st.text())
def test_any_text_gets_one_json_reply(text: str) -> None:
    assert isinstance(json.loads(answer(text).reply), dict)
