"""What every document between operator and feeder is made of.

Must not know the documents themselves.
"""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ContractModel(BaseModel):
    """Frozen, strict about unknown fields, camelCase on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class FeedSourceIdentity(ContractModel):
    """The FeedSource a worker belongs to; free words when it runs without a cluster."""

    namespace: str = "local"
    """Namespace of the FeedSource."""
    name: str = "local"
    """Name of the FeedSource."""
    uid: str = ""
    """Its uid; empty without a cluster."""
