from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedplane_operator.core.diff import ANNOTATION_APPLIED_HASH, find_difference, stamp

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, id="a field we do not set"),
        pytest.param({"a": []}, {}, id="empty list and absent"),
        pytest.param({"a": {}}, {}, id="empty mapping and absent"),
        pytest.param({"a": ""}, {"a": None}, id="empty text and null"),
        pytest.param(
            {"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}, id="the same quantity"
        ),
        pytest.param({"sizeLimit": "1Gi"}, {"sizeLimit": "1024Mi"}, id="the same size"),
        pytest.param(
            {"containers": [{"name": "x", "image": "i"}]},
            {"containers": [{"name": "sidecar"}, {"name": "x", "image": "i", "tty": False}]},
            id="an entry that somebody injected",
        ),
        pytest.param(
            {"rules": [{"verbs": ["get"]}]},
            {"rules": [{"verbs": ["get"], "more": 1}]},
            id="a defaulted field in a list",
        ),
    ],
)
def test_live_object_with_all_we_set_differs_nowhere(desired: Any, live: Any) -> None:
    assert find_difference(desired, live) is None


@pytest.mark.parametrize(
    ("desired", "live", "path"),
    [
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b", id="another value"),
        pytest.param({"b": 1, "a": 1}, {}, "a", id="the first by name"),
        pytest.param({"a": {"b": 1}}, {"a": "text"}, "a.b", id="another type"),
        pytest.param({"a": [1]}, {"a": 5}, "a", id="no list"),
        pytest.param({"rules": [1]}, {"rules": [1, 2]}, "rules", id="an entry too many"),
        pytest.param({"rules": [1]}, {"rules": [2]}, "rules[0]", id="another entry"),
        pytest.param({"rules": [{}]}, {"rules": [None]}, "rules[0]", id="a null entry"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "2"}]},
            "env[0].value",
            id="another value in a merged list",
        ),
        pytest.param(
            {"env": [{"name": "A"}]}, {"env": [{"name": "B"}]}, "env[0]", id="a missing entry"
        ),
        pytest.param(
            {"subjects": [{"name": "a"}]},
            {"subjects": [{"name": "a"}, {"name": "intruder"}]},
            "subjects",
            id="a subject that somebody added",
        ),
        pytest.param({"cpu": "1"}, {"cpu": "1000m"}, "cpu", id="a quantity in the wrong place"),
        pytest.param(
            {"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "limits.cpu", id="another quantity"
        ),
    ],
)
def test_live_object_that_differs_is_told_by_path(desired: Any, live: Any, path: str) -> None:
    assert find_difference(desired, live) == path


@settings(deadline=None)
@given(DOCUMENTS)
def test_any_document_equals_itself(document: Any) -> None:
    assert find_difference(document, document) is None


def test_stamp_changes_when_a_field_is_left_out() -> None:
    base = {"kind": "X", "metadata": {"name": "x"}, "spec": {"a": 1}}
    more = stamp({**base, "spec": {"a": 1, "b": 2}})
    less = stamp(base)
    key = ANNOTATION_APPLIED_HASH
    assert find_difference(less, more) == f"metadata.annotations.{key}"
    assert stamp(base) == less
