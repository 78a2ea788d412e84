"""Control messages of a stream connection: one inbound text in, one reply and a change out."""

from dataclasses import dataclass
from typing import Any

import msgspec

from feedplane_simulator.config import Market

METHODS = (
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST_SUBSCRIPTIONS",
    "SET_PROPERTY",
    "GET_PROPERTY",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlAnswer:
    """What to send back, and what changes on the connection."""

    reply: bytes
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    combined: bool | None = None
    refused: str | None = None
    """Why the request was malformed; None when it was accepted."""


def _result(result: Any, request_id: Any) -> bytes:
    return msgspec.json.encode({"result": result, "id": request_id})


def _refusal(code: int, message: str, request_id: int | None = None) -> ControlAnswer:
    body: dict[str, Any] = {"code": code, "msg": message}
    if request_id is not None:
        body["id"] = request_id
    return ControlAnswer(reply=msgspec.json.encode(body), refused=message)


def _check_id(market: Market, request_id: Any) -> bool:
    if isinstance(request_id, bool):
        return False
    if isinstance(request_id, int):
        return market is Market.SPOT or request_id >= 0
    if market is Market.SPOT:
        return request_id is None or (isinstance(request_id, str) and len(request_id) <= 36)
    return False


def _column_after(text: str, fragment: str) -> int:
    at = text.find(fragment)
    return at + len(fragment) if at >= 0 else len(text)


def _parse(text: str) -> dict[str, Any] | ControlAnswer:
    try:
        request = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _refusal(3, f"Invalid JSON: expected value at line 1 column {max(1, len(text))}")
    if not isinstance(request, dict):
        return _refusal(3, "Invalid JSON: expected value at line 1 column 1")
    if "method" not in request:
        return _refusal(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    method = request["method"]
    if method not in METHODS:
        known = ", ".join(f"`{name}`" for name in METHODS)
        column = _column_after(text, f'"{method}"')
        message = f"Invalid request: unknown variant {method}, expected one of {known}"
        return _refusal(2, f"{message} at line 1 column {column}")
    return request


def _answer_property(
    market: Market, method: str, params: Any, request_id: Any, *, combined: bool
) -> ControlAnswer:
    if not isinstance(params, list) or not params or not isinstance(params[0], str):
        return _refusal(2, "Invalid request: property name must be a string")
    if len(params) > (2 if method == "SET_PROPERTY" else 1):
        return _refusal(2, "Invalid request: too many parameters")
    if params[0] != "combined":
        known_id = request_id if market is Market.SPOT else None
        return _refusal(0, "Unknown property", known_id)
    if method == "GET_PROPERTY":
        return ControlAnswer(reply=_result(combined, request_id))
    if len(params) < 2 or not isinstance(params[1], bool):
        return _refusal(1, "Invalid value type: expected Boolean")
    return ControlAnswer(reply=_result(None, request_id), combined=params[1])


def _check_request(market: Market, request: dict[str, Any]) -> ControlAnswer | None:
    if "id" not in request or not _check_id(market, request["id"]):
        return _refusal(2, "Invalid request: request ID must be an unsigned integer")
    if set(request) - {"method", "params", "id"}:
        return _refusal(2, "Invalid request: too many parameters")
    if request["method"] not in ("SUBSCRIBE", "UNSUBSCRIBE"):
        return None
    params = request.get("params")
    if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
        return _refusal(2, "Invalid request: params must be an array of strings")
    return None


def answer_control(
    market: Market, text: str, streams: list[str], *, combined: bool
) -> ControlAnswer:
    """Answer one control message of a connection that has `streams` subscribed.

    Source: binance-spot-api-docs web-socket-streams.md, "Live subscribing/unsubscribing" and
    "Error messages" (2026-07).
    """
    request = _parse(text)
    if isinstance(request, ControlAnswer):
        return request
    refusal = _check_request(market, request)
    if refusal is not None:
        return refusal
    method, request_id, params = request["method"], request["id"], request.get("params")
    match method:
        case "SUBSCRIBE":
            return ControlAnswer(reply=_result(None, request_id), subscribe=tuple(params or ()))
        case "UNSUBSCRIBE":
            return ControlAnswer(reply=_result(None, request_id), unsubscribe=tuple(params or ()))
        case "LIST_SUBSCRIPTIONS":
            return ControlAnswer(reply=_result(streams, request_id))
        case _:
            return _answer_property(market, method, params, request_id, combined=combined)
