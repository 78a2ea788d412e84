"""Live against desired: the first difference in words, in a fixed order.

Only what we set is compared; what the API server, a controller or a person added is left alone.
A field that we set once and set no more cannot be seen that way, so every object carries the hash
of what was last applied.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from feedplane_api.names import GROUP
from feedplane_operator.core.plan import Manifest
from feedplane_operator.core.quantities import same_quantity

ANNOTATION_APPLIED_HASH: Final = f"{GROUP}/applied-hash"
"""On every child: hash of the manifest last applied, so that a field left out is noticed."""

# Fields whose values are quantities, by the key that holds them.
_QUANTITY_PARENTS = frozenset({"requests", "limits"})
_QUANTITY_KEYS = frozenset({"sizeLimit"})
# Lists that others may add entries to, with the key the API server merges them by. All other lists
# are ours alone, so an entry too many is a difference as well.
_MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "ownerReferences": "uid",
    "ports": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


def stamp(manifest: Manifest) -> Manifest:
    """Return a manifest with the hash of itself written into its annotations."""
    return _with_stamp(manifest, hash_manifest(manifest))


def stamp_like(manifest: Manifest, live: Manifest) -> Manifest:
    """Return a manifest with the stamp that the live object has."""
    annotations = live["metadata"].get("annotations", {})
    return _with_stamp(manifest, annotations.get(ANNOTATION_APPLIED_HASH, ""))


def hash_manifest(manifest: Manifest) -> str:
    """Return a short stable hash of a manifest or of a part of one."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _with_stamp(manifest: Manifest, digest: str) -> Manifest:
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED_HASH: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def find_difference(desired: Any, live: Any, path: str = "") -> str | None:
    """Return the path of the first field that is not as desired, or None.

    An empty desired value is the same as an absent one.
    """
    if isinstance(desired, Mapping):
        return _mapping_difference(desired, live if isinstance(live, Mapping) else {}, path)
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        return _list_difference(desired, live if isinstance(live, Sequence) else (), path)
    if desired == live or (desired in (None, "") and live in (None, "")):
        return None
    return None if _is_quantity(path) and same_quantity(desired, live) else path


def _mapping_difference(
    desired: Mapping[str, Any], live: Mapping[str, Any], path: str
) -> str | None:
    for key in sorted(desired):
        below = f"{path}.{key}" if path else key
        found = find_difference(desired[key], live.get(key), below)
        if found is not None:
            return found
    return None


def _list_difference(desired: Sequence[Any], live: Sequence[Any], path: str) -> str | None:
    key = _MERGE_KEYS.get(path.rsplit(".", 1)[-1])
    if key is None or not all(key in item for item in desired):
        if len(desired) != len(live):
            return path
        pairs = list(zip(desired, live, strict=True))
    else:
        by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
        pairs = [(item, by_key.get(item[key])) for item in desired]
    for index, (wanted, found) in enumerate(pairs):
        below = f"{path}[{index}]"
        if found is None and wanted is not None:
            return below
        difference = find_difference(wanted, found, below)
        if difference is not None:
            return difference
    return None


def _is_quantity(path: str) -> bool:
    parts = path.rsplit(".", 2)
    return parts[-1] in _QUANTITY_KEYS or (len(parts) > 1 and parts[-2] in _QUANTITY_PARENTS)
