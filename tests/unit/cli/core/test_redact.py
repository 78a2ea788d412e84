from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedplane_cli.core.redact import (
    HIDDEN,
    redact_config_map,
    redact_document,
    redact_text,
    redact_url,
)

CANARY = "canary-4711-zq"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user:{CANARY}@db:5432/tape",
        f"dsn: postgresql://{CANARY}@db/tape",
        f"host=db user=u password={CANARY} dbname=x",
        f"password is {CANARY}",
        f'{{"password": "{CANARY}", "a": 1}}',
        f"{{'apiKey': '{CANARY}'}}",
        f"api_key={CANARY}&symbol=BTC",
        f"API key: {CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"sent header bearer {CANARY} to venue",
        f"--token {CANARY} --verbose",
        f"--token={CANARY}",
        f"BINANCE_SECRET={CANARY}",
        f"wss://venue.example/ws?signature={CANARY}&t=1",
        f"https://hooks.example/services/T01/{CANARY}ABCDEFGH1234567",
        f"https://api.example/bot123456:{CANARY}/send",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.c2ln",
        f'"DSN" => "{CANARY}"',
    ],
)
def test_credential_in_a_text_is_blanked(text: str) -> None:
    redacted = redact_text(text)
    assert CANARY not in redacted
    assert HIDDEN in redacted


@pytest.mark.parametrize(
    "text",
    [
        "Ready=True AllLive: Everything wanted is live.",
        "credentials refused by the venue",
        "wss://stream.example:9443/ws",
        "https://data.example/api/v3/exchangeInfo",
        'feedplane_events_total{venue="x",channel="trade"} 12.0',
        "holder main/spot-main-0-7d9f8b6c5d-x2x4z, epoch 3",
        "secretName: spot-main",
        "credentialsSecretRef: {name: spot-main}",
    ],
)
def test_text_without_credentials_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("wss://a:b@x.example:9443/ws", "wss://***@x.example:9443/ws"),
        ("https://x.example/a?b=c&d=e", "https://x.example/a?b=***&d=***"),
        ("https://x.example/a?abc", "https://x.example/a?***"),
        ("https://x.example/#abc", "https://x.example/#***"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://[bad/a", "http://***"),
    ],
)
def test_url_keeps_where_it_leads(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


def test_document_keeps_references_and_loses_values() -> None:
    document: dict[str, Any] = {
        "metadata": {
            "name": "spot",
            "managedFields": [{"manager": "x"}],
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": CANARY,
                "note": f"the password is {CANARY}",
            },
        },
        "spec": {
            "credentialsSecretRef": {"name": "main"},
            "dsnSecretRef": {"name": "db", "key": "dsn"},
            "password": CANARY,
            "tokens": [CANARY],
            "replicas": 1,
            "automountServiceAccountToken": True,
            "env": [
                {"name": "API_TOKEN", "value": CANARY},
                {"name": "LEVEL", "value": "INFO"},
            ],
            "args": ["--api-key", CANARY, "--level", "INFO"],
            "endpoints": {"stream": f"wss://u:{CANARY}@venue.example/ws"},
        },
    }
    redacted = redact_document(document)
    assert CANARY not in str(redacted)
    assert redacted["metadata"] == {
        "name": "spot",
        "annotations": {"note": "the password is ***"},
    }
    spec = redacted["spec"]
    assert spec["credentialsSecretRef"] == {"name": "main"}
    assert spec["dsnSecretRef"] == {"name": "db", "key": "dsn"}
    assert spec["automountServiceAccountToken"] is True
    assert spec["env"][1] == {"name": "LEVEL", "value": "INFO"}
    assert spec["args"] == ["--api-key", HIDDEN, "--level", "INFO"]
    assert spec["endpoints"] == {"stream": "wss://***@venue.example/ws"}


def test_config_map_is_read_as_the_document_it_holds() -> None:
    config_map = {
        "kind": "ConfigMap",
        "data": {
            "worker.yaml": f"venue: x\nsinks:\n- password: |\n    {CANARY}\n    {CANARY}\n",
            "plain": f"token={CANARY}",
            "broken": f"[password: {CANARY}",
        },
    }
    redacted = redact_config_map(config_map)
    assert CANARY not in str(redacted)
    assert "venue: x" in redacted["data"]["worker.yaml"]


def test_config_map_without_data_stays() -> None:
    assert redact_config_map({"kind": "ConfigMap"}) == {"kind": "ConfigMap"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)


@given(JSON)
def test_redaction_twice_is_redaction_once(document: Any) -> None:
    once = redact_document(document)
    assert redact_document(once) == once


@given(st.text(max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(redact_text(text), str)
