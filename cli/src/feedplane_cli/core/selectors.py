"""Label selectors that find what the operator and the chart made."""

from typing import Final

from feedplane_api.names import (
    LABEL_ACCOUNT,
    LABEL_COMPONENT,
    LABEL_FEED_SOURCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_SHARD,
    MANAGED_BY,
)

OPERATOR_SELECTOR: Final = f"{LABEL_NAME}=feedplane,{LABEL_COMPONENT}=operator"
"""The operator's Pods, as the chart labels them."""


def feeder_selector(feed: str = "", account: str = "", shard: int | None = None) -> str:
    """Return the selector of feeders; of all FeedSources without a name."""
    chosen = {LABEL_COMPONENT: "feeder"}
    chosen |= {LABEL_FEED_SOURCE: feed} if feed else {LABEL_MANAGED_BY: MANAGED_BY}
    chosen |= {LABEL_ACCOUNT: account} if account else {}
    chosen |= {LABEL_SHARD: str(shard)} if shard is not None else {}
    return _join(chosen)


def children_selector(feed: str = "") -> str:
    """Return the selector of a FeedSource's children; of all FeedSources' without a name."""
    return _join({LABEL_FEED_SOURCE: feed} if feed else {LABEL_MANAGED_BY: MANAGED_BY})


def _join(chosen: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in chosen.items())
