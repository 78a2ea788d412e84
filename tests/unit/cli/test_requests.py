import pytest

from feedplane_cli.requests import Request


@pytest.mark.parametrize(
    ("request_", "path", "right"),
    [
        (
            Request(verb="list", kind="FeedSource"),
            "/apis/feedplane.dev/v1alpha1/feedsources",
            "list feedsources of API group feedplane.dev in all namespaces",
        ),
        (
            Request(verb="get", kind="Pod", namespace="a", name="x", subresource="log"),
            "/api/v1/namespaces/a/pods/x/log",
            "get pods/log in namespace a",
        ),
        (
            Request(
                verb="get",
                kind="Pod",
                namespace="a",
                name="x",
                subresource="proxy",
                tail="status",
                port="8000",
            ),
            "/api/v1/namespaces/a/pods/x:8000/proxy/status",
            "get pods/proxy in namespace a",
        ),
    ],
)
def test_request_knows_its_path_and_right(request_: Request, path: str, right: str) -> None:
    assert request_.path == path
    assert request_.right == right


def test_request_is_named_as_people_say_it() -> None:
    assert str(Request(verb="get", kind="Lease", namespace="a", name="x")) == (
        "get Lease x in namespace a"
    )
