"""What a refusal of the API server means, and what a person can do about it."""

import json
from typing import Any, Final

from feedplane_cli.errors import (
    ChangedError,
    CliError,
    ForbiddenError,
    KindsMissingError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnreachableError,
)
from feedplane_cli.requests import OUR_KINDS, Request

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
TOO_MANY_REQUESTS: Final = 429
INVALID: Final = 422
SERVER_ERRORS: Final = 500
_SHOWN: Final = 300


def explain_refusal(request: Request, status: int, body: str) -> CliError:
    """Return the error for an answer that is none."""
    said = _parse(body)
    message = str(said.get("message") or body)[:_SHOWN]
    if status == UNAUTHORIZED:
        return UnauthorizedError(
            "The API server does not take the credentials of the kubeconfig.",
            "Log in anew, or choose another user or context.",
        )
    if status == FORBIDDEN:
        return ForbiddenError(
            f"You may not {request.right}.",
            "Ask for the right: examples/rbac-feedplane-cli.yaml has Roles for this command.",
        )
    if status == NOT_FOUND:
        return _explain_absence(request, said, message)
    if status == CONFLICT or (status == INVALID and "testing value" in message):
        return ChangedError(
            f"{request.kind} {request.name} was changed by somebody else meanwhile.",
            "Look at it, and try again.",
        )
    if status in (0, TOO_MANY_REQUESTS) or status >= SERVER_ERRORS:
        return UnreachableError(
            f"The API server cannot do it now ({request}): {status} {message}",
            "Try again in a moment.",
        )
    return RefusedError(f"The API server refuses the change: {message}")


def _explain_absence(request: Request, said: dict[str, Any], message: str) -> CliError:
    # The details of the answer name the object where it is the object that is not there.
    named = bool((said.get("details") or {}).get("name"))
    if request.kind in OUR_KINDS and not named:
        return KindsMissingError(
            "Feedplane's resources are not installed in this cluster.",
            "Install the chart (docs/how-to/install.md), or choose another --context.",
        )
    if request.subresource:
        return NotFoundError(f"Pod {request.name} has no such thing: {message}")
    return NotFoundError(
        f"There is no {request.kind} {request.name} in namespace {request.namespace}.",
        f"See what there is with: kubectl get {request.resource}.{request.group} -A"
        if request.group
        else "Name another namespace with -n.",
    )


def _parse(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
