from feedplane_feeder.core.standing import Side, Standing


def test_refusal_is_told_at_once_and_holds_until_accepted() -> None:
    told: list[str] = []
    standing = Standing(on_refusal=lambda: told.append("now"))
    standing.refused(Side.STREAM, "HTTP 401")
    assert (standing.refusal(Side.STREAM), standing.refusal(Side.REST)) == ("HTTP 401", None)
    assert told == ["now"]
    standing.accepted(Side.REST)
    assert standing.refusal(Side.STREAM) == "HTTP 401"
    standing.accepted(Side.STREAM)
    assert standing.refusal(Side.STREAM) is None


def test_ban_of_one_side_never_becomes_shorter() -> None:
    told: list[str] = []
    standing = Standing(on_refusal=lambda: told.append("now"))
    standing.banned(Side.REST, 100)
    standing.banned(Side.REST, 50)
    assert (standing.banned_until_ns(Side.REST), standing.banned_until_ns(Side.STREAM)) == (100, 0)
    assert told == ["now", "now"]


def test_silence_of_a_side_ends_with_its_answer() -> None:
    standing = Standing()
    standing.unreachable(Side.REST, "HTTP 503")
    assert standing.silence(Side.REST) == "HTTP 503"
    standing.accepted(Side.REST)
    assert standing.silence(Side.REST) is None


def test_new_credentials_begin_without_a_past() -> None:
    standing = Standing()
    standing.refused(Side.STREAM, "HTTP 401")
    standing.banned(Side.STREAM, 100)
    standing.renewed()
    assert standing.refusal(Side.STREAM) is None
    assert standing.banned_until_ns(Side.STREAM) == 100
