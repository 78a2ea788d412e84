"""A kubeconfig for one server and one bearer token; JSON, which every YAML reader takes."""

import json

CONTEXT = "feedplane"


def render_kubeconfig(
    server: str, token: str, *, certificate_authority: str, user: str, namespace: str = "default"
) -> str:
    """Render a kubeconfig whose only context is the current one."""
    cluster = {"server": server, "certificate-authority": certificate_authority}
    context = {"cluster": CONTEXT, "user": user, "namespace": namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": context}],
    }
    return json.dumps(document, indent=2) + "\n"
