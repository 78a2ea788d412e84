from feedplane_operator.core.plan import Plan, Ref, ref_of


def test_plan_with_status_alone_writes_no_children() -> None:
    assert not Plan(status={"a": 1}).writes_children
    assert Plan(delete=(Ref("Service", "n", "s"),)).writes_children


def test_ref_of_manifest_names_kind_namespace_and_name() -> None:
    manifest = {"kind": "Service", "metadata": {"name": "s", "namespace": "n"}}
    assert ref_of(manifest) == Ref("Service", "n", "s")
    assert ref_of({"kind": "Node", "metadata": {"name": "x"}}) == Ref("Node", "", "x")
