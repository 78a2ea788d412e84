import json

from feedplane_cluster.kubeconfig import render_kubeconfig


def test_kubeconfig_current_context_leads_to_server_and_token() -> None:
    text = render_kubeconfig(
        "https://127.0.0.1:6443",
        "secret",
        certificate_authority="/tmp/ca.crt",  # noqa: S108 - only a name
        user="feeder",
        namespace="feeds",
    )
    document = json.loads(text)
    (context,) = document["contexts"]
    (cluster,) = document["clusters"]
    (user,) = document["users"]
    assert document["current-context"] == context["name"]
    assert context["context"] == {
        "cluster": cluster["name"],
        "user": user["name"],
        "namespace": "feeds",
    }
    assert cluster["cluster"]["server"] == "https://127.0.0.1:6443"
    assert user["user"] == {"token": "secret"}
