from feedplane_api.names import (
    PLURALS,
    SHORT_NAMES,
    Kind,
    account_lease_name,
    publisher_lease_name,
    worker_name,
)

LONGEST_FEED_SOURCE = "f" * 30
LONGEST_ACCOUNT = "a" * 20


def test_every_kind_has_plural_and_short_name() -> None:
    assert set(PLURALS) == set(SHORT_NAMES) == set(Kind)


def test_child_names_fit_a_dns_label() -> None:
    longest = (
        worker_name(LONGEST_FEED_SOURCE, LONGEST_ACCOUNT, 9_999),
        publisher_lease_name(LONGEST_FEED_SOURCE, 9_999),
        account_lease_name(LONGEST_FEED_SOURCE, LONGEST_ACCOUNT),
    )
    assert [name for name in longest if len(name) > 63] == []


def test_child_names_say_whose_they_are() -> None:
    assert worker_name("feed", "main", 2) == "feed-main-2"
    assert publisher_lease_name("feed", 2) == "feed-publisher-2"
    assert account_lease_name("feed", "main") == "feed-account-main"
