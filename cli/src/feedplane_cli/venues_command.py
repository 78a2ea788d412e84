"""`feedplane venues`: which there are, what they declare, how far each is proven."""

import json

import yaml

from feedplane_cli.core.feed_view import describe
from feedplane_cli.core.venues import VenueView, build_venues
from feedplane_cli.errors import ExitStatus, NotFoundError
from feedplane_cli.render.venues import draw_venues
from feedplane_cli.terminal import Output, draw, write_plain
from feedplane_feeder.registry import ADAPTERS, HISTORIES


async def show_venues(name: str, output: Output) -> ExitStatus:
    """Show one venue, or all of them."""
    views = known_venues()
    if name:
        views = tuple(view for view in views if view.venue == name)
    if not views:
        known = ", ".join(view.venue for view in known_venues())
        raise NotFoundError(f"There is no venue {name}.", f"There are: {known}")
    if output is Output.TABLE:
        draw(draw_venues(views))
        return ExitStatus.HEALTHY
    document = {"venues": [{**describe(view), "limits": dict(view.limits)} for view in views]}
    text = json.dumps(document, indent=2)
    # Words of enums are plain words once they were JSON.
    plain = yaml.safe_dump(json.loads(text), sort_keys=False)
    write_plain(text if output is Output.JSON else plain)
    return ExitStatus.HEALTHY


def known_venues() -> tuple[VenueView, ...]:
    """Return every venue of this release."""
    return build_venues(ADAPTERS, HISTORIES)
