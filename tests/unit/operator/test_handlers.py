from feedplane_operator.handlers import WATCHED_CHILDREN, NoDiffBase, build_settings


def test_children_are_selected_by_the_server() -> None:
    settings = build_settings()
    for group, version, plural in WATCHED_CHILDREN:
        selector = settings.watching.label_selectors[group, version, plural]
        assert selector == "app.kubernetes.io/managed-by=feedplane"


def test_secrets_and_leases_are_not_watched() -> None:
    plurals = {plural for _, _, plural in WATCHED_CHILDREN}
    assert not plurals & {"secrets", "leases", "nodes", "events"}


def test_kopf_neither_scans_nor_posts() -> None:
    settings = build_settings()
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert settings.queueing.worker_limit is None


def test_watches_end_before_silence_can_last() -> None:
    watching = build_settings().watching
    assert watching.server_timeout is not None
    assert watching.client_timeout is not None
    assert watching.client_timeout > watching.server_timeout
    assert watching.inactivity_timeout <= 75


def test_kopf_keeps_no_copy_of_an_object() -> None:
    storage = build_settings().persistence.diffbase_storage
    assert isinstance(storage, NoDiffBase)
    assert storage.build(body={"spec": {"a": 1}}) == {}
    storage.store(body={}, patch={}, essence={"a": 1})
    assert storage.fetch(body={}) is None
