from typing import Any

import pytest
from chaos.referee import ChannelFacts, Losses, count_losses, longest_stall, windows_of


def window(after: int, until: int | None = None, withheld: tuple[int, ...] = ()) -> dict[str, Any]:
    return {"after": after, "until": until, "withheldIds": list(withheld)}


def facts(**changes: Any) -> ChannelFacts:
    given: dict[str, Any] = {
        "emitted": [1, 2, 3],
        "windows": [window(0)],
        "rows": [(9.0, [1, 2, 3])],
    }
    return ChannelFacts(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ({}, Losses(emitted=3)),
        ({"rows": [(9.0, [1, 3])]}, Losses(emitted=3, missing=1, lost=1, unnamed=1)),
        (
            {"rows": [(9.0, [1, 3])], "holes": [(2, 2)]},
            Losses(emitted=3, missing=1, lost=1),
        ),
        (
            {"rows": [(9.0, [1, 3])], "windows": [window(0, until=2), window(2)]},
            Losses(emitted=3, missing=1, unnamed=1),
        ),
        (
            {"rows": [(9.0, [1, 3])], "windows": [window(0, withheld=(2,))]},
            Losses(emitted=3, missing=1, unnamed=1),
        ),
        ({"rows": [(9.0, [1, 2]), (9.5, [2, 3])]}, Losses(emitted=3, doubled=1)),
        ({"rows": [(9.0, [1, 2, 3, 4])]}, Losses(emitted=3, foreign=1)),
        (
            {"rows": [(9.0, [1, 3])], "holes": [(None, 2)]},
            Losses(emitted=3, missing=1, lost=1, unnamed=1),
        ),
    ],
    ids=[
        "whole",
        "lost without a word",
        "named by the ledger",
        "under way when the line ended",
        "kept back by the venue",
        "written twice",
        "never emitted",
        "named without a beginning",
    ],
)
def test_losses_are_told_apart(changes: dict[str, Any], losses: Losses) -> None:
    assert count_losses(facts(**changes)) == losses


def test_windows_of_other_feeds_say_nothing_about_this_one() -> None:
    mine, other = ({**window(0), "account": name} for name in ("alpha", "main"))
    assert windows_of([mine, other], ("alpha", "beta")) == [mine]


@pytest.mark.parametrize(
    ("commits", "stall"),
    [([], 0.0), ([5.0], 0.0), ([3.0, 1.0, 1.5], 1.5), ([1.0, 1.0, 4.0], 3.0)],
    ids=["none", "one", "unordered", "several at once"],
)
def test_stall_is_longest_time_between_commits(commits: list[float], stall: float) -> None:
    assert longest_stall(commits) == stall
