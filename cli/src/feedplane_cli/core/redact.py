"""Blanking what looks like a credential, in documents and in free text.

Rather too much than too little: a bundle is sent to people who must not have the keys. Names of
Secrets and of their keys stay, for they are what one needs to find a wrong reference.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

HIDDEN: Final = "***"
DROPPED_METADATA: Final = ("managedFields",)
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The whole object once more, as text in which no field could be told from another."""
LONG_SEGMENT: Final = 20

_SECRET = r"passw(?:or)?d|passwd|passphrase|pwd|secret|token|credentials?|api[ _-]?key|dsn"  # noqa: S105 - names, not values
_MORE = r"authorization|private[ _-]?key|access[ _-]?key|signature|bearer|cookie|webhook"
_WORD = rf"(?:{_SECRET}|{_MORE})"
_SECRET_NAME: Final = re.compile(_WORD, re.IGNORECASE)
# Fields about a secret rather than with one: references, names, paths, moments, yes and no.
_ABOUT: Final = re.compile(
    r"(ref|refs|name|names|path|paths|dir|file|mount|version|time|seconds|count|hash)$",
    re.IGNORECASE,
)

_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s\"'<>`|]+", re.IGNORECASE)
_TRAILING: Final = ".,;:)]}"
_PAIR: Final = re.compile(
    rf"""(?ix)
    (["']? [\w.-]* {_WORD} [\w.-]* ["']? \s* (?: => | [=:] | \s is \s ) \s*)
    (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | (?:bearer|basic)\s+ [^\s,;&"']+ | [^\s,;&}}\]]+ )
    """
)
_FLAG: Final = re.compile(rf"(?i)(--?[\w-]*{_WORD}[\w-]*\s+)(?!-)[^\s]+")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9+/=._~-]{6,}")
_JWT: Final = re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]+)?")
_PEM: Final = re.compile(
    r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|SEED|JWT)[A-Z ]*-----.*?(?:-----END [A-Z ]+-----|\Z)",
    re.DOTALL,
)


def redact_document(value: Any) -> Any:
    """Return a document without what looks like a credential, and without what repeats it."""
    return _redact(value, "")


def redact_text(text: str) -> str:
    """Return free text, such as a log line, without what looks like a credential."""
    text = _PEM.sub(HIDDEN, text)
    text = _ADDRESS.sub(lambda found: _redact_match(found[0]), text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _JWT.sub(HIDDEN, text)
    text = _PAIR.sub(_blank_pair, text)
    return _FLAG.sub(rf"\1{HIDDEN}", text)


def redact_config_map(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ConfigMap redacted: each value that is a document itself is read as one."""
    found: dict[str, Any] = redact_document(document)
    data = document.get("data")
    if isinstance(data, Mapping):
        found["data"] = {key: _redact_embedded(str(key), str(data[key])) for key in data}
    return found


def redact_url(url: str) -> str:
    """Return an address without login, values of its query, and parts that look like keys."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        host = parts.hostname or ""
    except ValueError:
        return f"{url.partition('://')[0]}://{HIDDEN}"
    login = f"{HIDDEN}@" if "@" in parts.netloc else ""
    shown = f"[{host}]" if ":" in host else host
    path = "/".join(_hide_segment(segment) for segment in parts.path.split("/"))
    query = re.sub(r"=[^&]*", f"={HIDDEN}", parts.query)
    query = HIDDEN if query and "=" not in query else query
    fragment = f"#{HIDDEN}" if parts.fragment else ""
    return (
        f"{parts.scheme}://{login}{shown}{port}{path}" + (f"?{query}" if query else "") + fragment
    )


def _redact(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return _redact_mapping(value)
    if isinstance(value, str):
        return HIDDEN if value and _names_secret(name) else redact_text(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return _redact_list(value, name)
    return value


def _redact_embedded(name: str, text: str) -> str:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        document = None
    if isinstance(document, Mapping | list):
        dumped: str = yaml.safe_dump(redact_document(document), sort_keys=False)
        return dumped
    return str(_redact(text, name))


def _redact_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    # An environment variable, or a header, names its value beside it.
    named = mapping.get("name")
    hidden = isinstance(named, str) and _names_secret(named)
    return {
        key: HIDDEN
        if hidden and key == "value" and isinstance(value, str)
        else _redact(value, str(key))
        for key, value in mapping.items()
        if key not in DROPPED_METADATA and key != LAST_APPLIED
    }


def _redact_list(values: Sequence[Any], name: str) -> list[Any]:
    found: list[Any] = []
    flagged = False
    for value in values:
        # `--token VALUE` stands in two entries of a list of arguments.
        found.append(HIDDEN if flagged and isinstance(value, str) else _redact(value, name))
        flag = isinstance(value, str) and value.startswith("-") and "=" not in value
        flagged = flag and _SECRET_NAME.search(value) is not None
    return found


def _names_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None and _ABOUT.search(name) is None


def _blank_pair(found: re.Match[str]) -> str:
    name = re.split(r"[\s=:]", found[1].strip("\"' "), maxsplit=1)[0].strip("\"'")
    value = found[0][len(found[1]) :]
    if _ABOUT.search(name) or value.startswith(HIDDEN):
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found[1]}{quote}{HIDDEN}{quote}"


def _redact_match(text: str) -> str:
    url = text.rstrip(_TRAILING)
    return redact_url(url) + text[len(url) :]


def _hide_segment(segment: str) -> str:
    # Web hooks carry their keys in the path: long, or letters and digits mixed with a colon.
    digits = any(letter.isdigit() for letter in segment)
    letters = any(letter.isalpha() for letter in segment)
    keyed = _SECRET_NAME.search(segment) is not None and digits
    if keyed or (digits and letters and (len(segment) >= LONG_SEGMENT or ":" in segment)):
        return HIDDEN
    return segment
