"""kopf's part: watches. The only file with its decorators.

Every handler does the same two things: tell the cache, ask for a reconcile. There are no timers,
daemons or change handlers, so kopf writes nothing: no annotations, no finalizers.
"""

from typing import Any, Final

import kopf

from feedplane_api.names import (
    GROUP,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    PLURALS,
    VERSION,
    Kind,
)
from feedplane_operator.cache import Cache
from feedplane_operator.controller import Controller
from feedplane_operator.core.plan import Manifest
from feedplane_operator.lister import Lister

WATCHED_CHILDREN: Final = (
    ("apps", "v1", "deployments"),
    ("batch", "v1", "jobs"),
    ("", "v1", "configmaps"),
    ("", "v1", "pods"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "services"),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("rbac.authorization.k8s.io", "v1", "roles"),
)
"""Leases are not among them: each is renewed every second, so they are listed now and then."""


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: no handler of ours asks what changed, and a copy per event is not cheap."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing of the body."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Return nothing, as nothing was stored."""
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


def build_registry(cache: Cache, controller: Controller, lister: Lister) -> kopf.OperatorRegistry:
    """Build the registry with a handler for every kind that is watched."""
    registry = kopf.OperatorRegistry()

    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        """Log in by the ServiceAccount's token, or by a kubeconfig outside of a cluster."""
        found = kopf.login_with_service_account(**kwargs)
        return found or kopf.login_with_kubeconfig(**kwargs)

    async def see(event: kopf.RawEvent, **_: Any) -> None:
        """Take an object in; what is news asks for what it matters to.

        The echo of a write of ours is none, and neither is what was listed before.
        """
        obj: Manifest = event["object"]
        if event["type"] == "DELETED":
            lister.forget(obj)
        elif not cache.put(obj):
            return
        controller.saw(obj)

    kopf.on.login(registry=registry)(login)
    resources = ((GROUP, VERSION, PLURALS[kind]) for kind in Kind)
    for group, version, plural in (*resources, *WATCHED_CHILDREN):
        kopf.on.event(group, version, plural, registry=registry, id=f"see-{plural}")(see)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Build kopf's settings for production; each has its reason beside it."""
    settings = kopf.OperatorSettings()
    # Renewed before any proxy's idle limit; the client outlasts the server so that ends are clean.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    # Bookmarks come every 60 s: a stream without any is dead, however open the socket looks.
    settings.watching.inactivity_timeout = 70
    # Start-up in pages, so that neither side holds all objects twice.
    settings.watching.chunk_size = 500
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    # Short, so that an API server that is back is seen at once. Finite: a watcher that cannot get
    # through for five minutes ends the process, and its successor starts clean.
    settings.networking.error_backoffs = (0.5, 1, 2, 4, *(5,) * 58)
    # A handler here only notes things; the real limit is the number of the controller's workers.
    settings.queueing.worker_limit = None
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    # An idle object costs no task.
    settings.queueing.idle_timeout = 1.0
    # Never needed, and under our name should a later handler ever need them.
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = NoDiffBase()
    # We post events ourselves, repeats counted.
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.execution.default_backoff = 5
    # No right to read CustomResourceDefinitions or namespaces is needed.
    settings.scanning.disabled = True
    # Below the Pod's grace period of 30 s.
    settings.process.ultimate_exiting_timeout = 25
    for group, version, plural in WATCHED_CHILDREN:
        # The server leaves everything out that is not ours.
        settings.watching.label_selectors[group, version, plural] = (
            f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        )
    return settings
