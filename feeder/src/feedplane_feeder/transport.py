"""The choice of a WebSocket engine, by a setting; both stand behind one port."""

from enum import StrEnum

from feedplane_feeder.core.ports import Clock, Transport


class Engine(StrEnum):
    """WebSocket engines."""

    PICOWS = "picows"
    WEBSOCKETS = "websockets"


def build_transport(engine: Engine, clock: Clock) -> Transport:
    """Return the transport; proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`)."""
    # Imported late: the engine that is not used would cost its memory.
    if engine is Engine.WEBSOCKETS:
        from feedplane_feeder.transports.websockets_engine import WebsocketsTransport

        return WebsocketsTransport(clock)
    from feedplane_feeder.transports.picows_engine import PicowsTransport

    return PicowsTransport(clock)
