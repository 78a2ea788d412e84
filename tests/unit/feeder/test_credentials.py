"""The login in a folder, and how a feeder changes over to another one."""

import asyncio
from pathlib import Path

import pytest
from support_stage import JudgedStage, judged

from feedplane_api.worker import CandidateReport
from feedplane_feeder.core.standing import Side
from feedplane_feeder.credentials import POLL_SECONDS, YIELD_SECONDS, Login, Renewal
from feedplane_feeder.errors import CredentialsRefusedError

CARRIERS = {"api_key": "X-Key"}
PEER = CandidateReport(account="b", healthy=True, fresh=True)


def write(folder: Path, **values: str) -> None:
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")


def test_login_carries_the_keys_the_venue_asks_for(tmp_path: Path) -> None:
    write(tmp_path, api_key="k1", other="s1")
    (tmp_path / "..data").mkdir()
    login = Login(str(tmp_path), CARRIERS, {"User-Agent": "x"})
    assert login.headers == {"User-Agent": "x", "X-Key": "k1"}
    assert login.read_changed() is None


def test_changed_login_is_noticed_and_sent_from_its_adoption_on(tmp_path: Path) -> None:
    write(tmp_path, api_key="k1")
    login = Login(str(tmp_path), CARRIERS, {})
    headers = login.headers
    write(tmp_path, api_key="k2")
    changed = login.read_changed()
    assert changed == {"api_key": "k2"}
    assert headers == {"X-Key": "k1"}
    login.adopt(changed)
    assert headers == {"X-Key": "k2"}
    assert login.read_changed() is None
    login.adopt({"other": "x"})
    assert headers == {}


def test_key_may_have_two_spellings() -> None:
    login = Login(None, {"apiKey": "X-Key", "api_key": "X-Key"}, {})
    for spelling in ("apiKey", "api_key"):
        login.adopt({spelling: "k1"})
        assert login.headers == {"X-Key": "k1"}


def test_header_may_want_words_before_the_value() -> None:
    login = Login(None, {"apiKey": "Authorization: Bearer "}, {})
    login.adopt({"apiKey": "k1"})
    assert login.headers == {"Authorization": "Bearer k1"}
    login.adopt({})
    assert login.headers == {}


def test_folder_that_is_empty_for_a_moment_is_no_new_login(tmp_path: Path) -> None:
    write(tmp_path, api_key="k1")
    login = Login(str(tmp_path), CARRIERS, {})
    (tmp_path / "api_key").unlink()
    assert login.read_changed() is None
    (tmp_path / "api_key").write_bytes(b"\xff\xfe")
    assert login.read_changed() is None
    assert Login(str(tmp_path), CARRIERS, {}).headers == {}


def test_venue_without_credentials_watches_nothing() -> None:
    login = Login(None, CARRIERS, {"User-Agent": "x"})
    assert (login.watched, login.read_changed(), login.headers) == (
        False,
        None,
        {"User-Agent": "x"},
    )


async def renew(stage: JudgedStage, folder: Path, *, seconds: float) -> Login:
    write(folder, api_key="k1")
    login = Login(str(folder), CARRIERS, {})
    renewal = asyncio.create_task(Renewal(login, stage.judge).run())
    await asyncio.sleep(1)
    write(folder, api_key="k2")
    await asyncio.sleep(POLL_SECONDS + seconds)
    renewal.cancel()
    return login


@pytest.mark.looptime
async def test_standby_reconnects_with_its_new_login(tmp_path: Path) -> None:
    async with judged() as stage:
        stage.election.active = False
        old = stage.socket
        login = await renew(stage, tmp_path, seconds=1)
        assert login.headers == {"X-Key": "k2"}
        await stage.until(lambda: not old.is_open)
        assert len(stage.transport.sockets) == 2
        assert stage.judge.report.reason == "Healthy"


@pytest.mark.looptime
async def test_active_account_asks_to_be_relieved_first(tmp_path: Path) -> None:
    async with judged() as stage:
        stage.election.others = (PEER,)
        stage.election.yields_after_seconds = 2.0
        login = await renew(stage, tmp_path, seconds=1)
        assert login.headers == {"X-Key": "k1"}
        assert len(stage.transport.sockets) == 1
        assert stage.judge.report.reason == "CredentialsChanged"
        assert stage.judge.report.definitive


@pytest.mark.looptime
async def test_login_is_changed_once_another_account_publishes(tmp_path: Path) -> None:
    async with judged() as stage:
        stage.election.others = (PEER,)
        stage.election.yields_after_seconds = 2.0
        login = await renew(stage, tmp_path, seconds=6)
        assert login.headers == {"X-Key": "k2"}
        assert len(stage.transport.sockets) == 2
        assert [reason for _, reason in stage.election.verdicts()][-2:] == [
            "CredentialsChanged",
            "Healthy",
        ]


@pytest.mark.looptime
async def test_login_is_changed_all_the_same_when_nobody_relieves(tmp_path: Path) -> None:
    async with judged() as stage:
        stage.election.others = (PEER,)
        login = await renew(stage, tmp_path, seconds=YIELD_SECONDS + 4)
        assert login.headers == {"X-Key": "k2"}


@pytest.mark.looptime
async def test_lone_account_changes_over_new_connection_first(tmp_path: Path) -> None:
    async with judged() as stage:
        login = await renew(stage, tmp_path, seconds=6)
        assert login.headers == {"X-Key": "k2"}
        assert [reason for _, reason in stage.election.verdicts()] == ["Starting", "Healthy"]


@pytest.mark.looptime
async def test_new_login_that_is_refused_leaves_the_old_stream(tmp_path: Path) -> None:
    async with judged() as stage:
        old = stage.socket
        stage.transport.errors = [CredentialsRefusedError("ws://fake", "HTTP 401")] * 9
        await renew(stage, tmp_path, seconds=1)
        assert old.is_open
        assert stage.judge.report.reason == "CredentialsRefused"
        assert stage.standing.refusal(Side.STREAM) == "HTTP 401"


@pytest.mark.looptime
async def test_values_of_credentials_are_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with judged() as stage:
        await renew(stage, tmp_path, seconds=6)
    assert "credentials.changed" in [record.getMessage() for record in caplog.records]
    told = [str(vars(record)) for record in caplog.records]
    assert not [text for text in told if "k1" in text or "k2" in text]
