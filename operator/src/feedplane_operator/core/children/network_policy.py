"""Who may talk to a FeedSource's feeders and backfill workers, and whom they may talk to."""

from typing import Any, Final
from urllib.parse import urlsplit

from feedplane_api.feed_source import FeedSource, VenueEndpoints
from feedplane_api.names import GROUP, HTTP_PORT, LABEL_COMPONENT, LABEL_FEED_SOURCE, LABEL_NAME
from feedplane_operator.core.children.metadata import (
    BACKFILL_COMPONENT,
    COMPONENT,
    child_metadata,
    feed_labels,
)
from feedplane_operator.core.observed import Defaults

NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"
METRICS_LABEL: Final = f"{GROUP}/metrics"
"""A namespace with this label may scrape feeders; its value must be `allowed`."""
DNS_PORT: Final = 53
API_SERVER_PORTS: Final = (443, 6443)
VENUE_PORTS: Final = (443, 9443)
"""Where venues listen for TLS, for endpoints that are not written down."""
POSTGRES_PORT: Final = 5432
_SCHEME_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


def build_network_policy(feed_source: FeedSource, defaults: Defaults) -> dict[str, Any]:
    """Build the policy of all feeders and backfill workers: what it does not name is refused.

    Addresses behind names change, so destinations are told by port alone. A port that only a
    Secret knows, as in a connection string, has to be among the operator's extra egress ports.
    """
    name = f"{feed_source.metadata.name}-feeders"
    operator = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME_LABEL: defaults.operator_namespace}},
        "podSelector": {"matchLabels": {LABEL_NAME: "feedplane", LABEL_COMPONENT: "operator"}},
    }
    scraper = {"namespaceSelector": {"matchLabels": {METRICS_LABEL: "allowed"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": child_metadata(feed_source, name, feed_labels(feed_source)),
        "spec": {
            "podSelector": _everyone(feed_source),
            "policyTypes": ["Egress", "Ingress"],
            "ingress": [{"from": [operator, scraper], "ports": [_port(HTTP_PORT)]}],
            "egress": [
                {"ports": [_port(DNS_PORT), {"port": DNS_PORT, "protocol": "UDP"}]},
                {"ports": [_port(port) for port in egress_ports(feed_source, defaults)]},
            ],
        },
    }


def _everyone(feed_source: FeedSource) -> dict[str, Any]:
    return {
        "matchLabels": {LABEL_FEED_SOURCE: feed_source.metadata.name},
        "matchExpressions": [
            {
                "key": LABEL_COMPONENT,
                "operator": "In",
                "values": sorted((BACKFILL_COMPONENT, COMPONENT)),
            }
        ],
    }


def egress_ports(feed_source: FeedSource, defaults: Defaults) -> tuple[int, ...]:
    """Return the TCP ports a feeder may reach, sorted."""
    spec = feed_source.spec
    ports = {*API_SERVER_PORTS, *VENUE_PORTS, *defaults.egress_ports}
    for endpoints in (spec.endpoints, *(account.endpoints for account in spec.accounts)):
        if endpoints is not None:
            ports.update(_endpoint_ports(endpoints))
    for account in spec.accounts:
        ports.update(int(front.rpartition(":")[2]) for front in account.fronts)
    if any(sink.postgres is not None for sink in spec.sinks):
        ports.add(POSTGRES_PORT)
    return tuple(sorted(ports))


def _endpoint_ports(endpoints: VenueEndpoints) -> set[int]:
    urls = [url for url in (endpoints.stream, endpoints.rest, endpoints.archive) if url]
    return {_url_port(url) for url in urls} - {0}


def _url_port(url: str) -> int:
    parts = urlsplit(url)
    try:
        return parts.port or _SCHEME_PORTS.get(parts.scheme, 0)
    except ValueError:  # a port past 65535
        return 0


def _port(number: int) -> dict[str, Any]:
    return {"port": number, "protocol": "TCP"}
