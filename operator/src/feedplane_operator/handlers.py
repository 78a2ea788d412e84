"""kopf's part: watches. The only file with its decorators.

Every handler does the same two things: tell the cache, ask for a reconcile. There are no timers,
daemons or change handlers, so kopf writes nothing: no annotations, no finalizers.
"""

import asyncio
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
from feedplane_operator.core.plan import Manifest, Ref, ref_of
from feedplane_operator.observe import Observer

WATCHED_CHILDREN: Final = (
    ("apps", "v1", "deployments"),
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


def build_registry(
    cache: Cache, controller: Controller, observer: Observer, listed: asyncio.Event
) -> kopf.OperatorRegistry:
    """Build the registry with a handler for every kind that is watched.

    `listed` is set once everything there was at the start is in the cache. Nothing may be
    reconciled before: what is not listed yet looks as if it were deleted.
    """
    registry = kopf.OperatorRegistry()
    # Objects whose new version has yet to be acted on: the echo of a write of ours is none.
    fresh: set[Ref] = set()

    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        """Log in by the ServiceAccount's token, or by a kubeconfig outside of a cluster."""
        found = kopf.login_with_service_account(**kwargs)
        return found or kopf.login_with_kubeconfig(**kwargs)

    async def index(body: kopf.Body, **_: Any) -> None:
        """Take an object in; kopf holds all other handlers back until everything was listed."""
        obj = dict(body)
        if cache.put(obj):
            fresh.add(ref_of(obj))

    async def see(event: kopf.RawEvent, **_: Any) -> None:
        """Ask for what an object's change matters to."""
        obj: Manifest = event["object"]
        listed.set()
        ref = ref_of(obj)
        if event["type"] == "DELETED":
            _forget(obj, cache, observer)
        elif ref not in fresh:
            return
        fresh.discard(ref)
        controller.saw(obj)

    kopf.on.login(registry=registry)(login)
    resources = ((GROUP, VERSION, PLURALS[kind]) for kind in Kind)
    for group, version, plural in (*resources, *WATCHED_CHILDREN):
        kopf.index(group, version, plural, registry=registry, id=f"index-{plural}")(index)
        kopf.on.event(group, version, plural, registry=registry, id=f"see-{plural}")(see)
    return registry


def _forget(obj: Manifest, cache: Cache, observer: Observer) -> None:
    if obj["kind"] == "Pod":
        cache.drop_pod(obj)
        return
    ref = ref_of(obj)
    cache.drop(ref, obj["metadata"].get("uid"))
    if ref.kind == Kind.FEED_SOURCE.value:
        observer.forget((ref.namespace, ref.name))


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
    # Finite: a watcher that cannot get through ends the process, and its successor starts clean.
    settings.networking.error_backoffs = (0.5, 1, 2, 4, 8, 15)
    # Unlimited while indexing (a limit below the number of objects would lock up); the real
    # limit is the number of the controller's workers.
    settings.queueing.worker_limit = None
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    # An idle object costs no task.
    settings.queueing.idle_timeout = 1.0
    # Never needed, and under our name should a later handler ever need them.
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
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
