import pytest
from support_plans import NOW, stored
from support_resources import JsonDict, feed_source, subscription

from feedplane_api.feed_source import Notice
from feedplane_operator.core.notices import NOTICES, address_notes, render_notification
from feedplane_operator.core.plan import Note
from feedplane_operator.events import EventReason

FAILED_OVER = Note(reason=EventReason.FAILOVER_COMPLETED, message="account b publishes")
BANNED = Note(reason=EventReason.ACCOUNT_BANNED, message="account a", warning=True)
READY = Note(reason=EventReason.BECAME_READY, message="all is well")


def _feed(**notices: list[str]) -> JsonDict:
    entries = [
        {
            "name": name,
            "webhook": {"urlSecretRef": {"name": "hook"}},
            **({"notices": wanted} if wanted else {}),
        }
        for name, wanted in notices.items()
    ]
    return stored(feed_source("spot", notifications=entries))


def test_each_gets_what_it_asked_for() -> None:
    feed = _feed(all=[], bans=["AccountBanned"])
    told = [
        (entry.name, note.reason)
        for entry, note in address_notes(feed, (FAILED_OVER, BANNED, READY))
    ]
    assert told == [
        ("all", EventReason.FAILOVER_COMPLETED),
        ("all", EventReason.ACCOUNT_BANNED),
        ("bans", EventReason.ACCOUNT_BANNED),
    ]


def test_spec_that_cannot_be_read_tells_nobody() -> None:
    broken = _feed(all=[])
    broken["spec"]["venue"] = "NO SUCH"
    assert list(address_notes(broken, (BANNED,))) == []


def test_document_says_what_happened_to_what() -> None:
    majors = stored(subscription("majors", "spot"), uid="uid-2")
    lost = Note(reason=EventReason.COVERAGE_LOST, message="BTCUSDT is mute", warning=True)
    body = render_notification(majors, _feed(all=[]), lost, NOW)
    assert (body.notice, body.severity) == (Notice.COVERAGE_LOST, "Warning")
    assert (body.resource.kind, body.resource.uid) == ("Subscription", "uid-2")
    assert (body.feed_source.name, body.venue) == ("spot", "binance-spot")
    assert body.id == render_notification(majors, _feed(all=[]), lost, NOW).id
    assert body.id != render_notification(majors, _feed(all=[]), BANNED, NOW).id
    assert body.model_dump(mode="json", by_alias=True)["feedSource"]["apiVersion"].startswith(
        "feedplane.dev/"
    )


def test_note_without_words_is_explained_by_its_reason() -> None:
    silent = Note(reason=EventReason.GAPS_OPENED, message="")
    body = render_notification(_feed(), _feed(), silent, NOW)
    assert body.message == "The ledger has open gaps."
    assert body.severity == "Info"


@pytest.mark.parametrize("notice", set(Notice) - {Notice.QUALITY_BREACHED})
def test_every_notice_but_that_of_backfills_has_an_event(notice: Notice) -> None:
    assert notice in NOTICES.values()
