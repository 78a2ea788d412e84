"""The few things a person may say about the feeders' Pods.

Never a whole PodSpec: each field here is one that Feedplane can keep its promises with.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from feedplane_api.schema import ATOMIC, ApiModel, ObjectName, Quantity
from feedplane_api.worker import LogFormat

LabelKey = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$",
        max_length=316,
    ),
]
LabelValue = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$", max_length=63)
]


class LogLevel(StrEnum):
    """The least severe log line that is written."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class ImagePullPolicy(StrEnum):
    """When the image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class TolerationOperator(StrEnum):
    """How a toleration's key and value are compared with a taint's."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to Pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class ResourceAmounts(ApiModel):
    """Amounts of what a container uses."""

    cpu: Quantity | None = None
    """Processor time in cores, as `500m`."""
    memory: Quantity | None = None
    """Memory in bytes, as `512Mi`."""


class ResourceRequirements(ApiModel):
    """What a feeder is given; unset takes the operator's default."""

    requests: ResourceAmounts | None = None
    """What the scheduler sets aside."""
    limits: ResourceAmounts | None = None
    """What the feeder may use at most."""


class Toleration(ApiModel):
    """A taint that feeders put up with."""

    key: LabelKey | None = None
    """Key of the taint; unset with operator Exists means each taint."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """How key and value are compared."""
    value: LabelValue | None = None
    """Value of the taint, for operator Equal."""
    effect: TaintEffect | None = None
    """Effect of the taint; unset means each."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """How long a NoExecute taint is put up with; unset means for ever."""


class FeederPod(ApiModel):
    """How feeders run."""

    image: Annotated[str, Field(pattern=r"^[^\s]+$", max_length=512)] | None = None
    """Image of the feeder; unset takes the one that belongs to the operator."""
    image_pull_policy: ImagePullPolicy | None = None
    """When the image is pulled; unset takes the operator's default."""
    resources: ResourceRequirements | None = None
    """What each feeder is given; unset takes the operator's default."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Labels a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), ATOMIC] = ()
    """Taints that feeders put up with."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the Pods."""
    log_format: LogFormat = LogFormat.JSON
    """Json writes one object per line, Plain lines for people."""
    log_level: LogLevel = LogLevel.INFO
    """The least severe line that is written."""
