import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from feedplane_feeder import archive
from feedplane_feeder.archive import ArchiveClient, ArchivedFile
from feedplane_feeder.errors import (
    ArchiveDamagedError,
    ArchiveMissingError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)


def pack(text: bytes, names: tuple[str, ...] = ("a.csv",)) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as writing:
        for name in names:
            writing.writestr(name, text)
    return packed


@pytest.mark.parametrize("memory", [archive.MEMORY_BYTES, 10_000], ids=["small", "large"])
def test_file_is_given_in_blocks_of_whole_lines(
    memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MEMORY_BYTES", memory)
    lines = [b"%d,%s\n" % (number, b"x" * (number % 700)) for number in range(2_000)]
    with ArchivedFile("a.zip", "", pack(b"".join(lines))) as file:
        file.verify()
        blocks = list(file.blocks())
    assert len(blocks) > 2
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks) == b"".join(lines)


def test_last_line_without_an_end_is_given_whole() -> None:
    assert list(ArchivedFile("a.zip", "", pack(b"1,2\n3,4")).blocks()) == [b"1,2\n", b"3,4\n"]


@pytest.mark.parametrize("cut", [10, 200])
def test_torn_file_is_damaged_before_a_line_is_read(cut: int) -> None:
    whole = pack(b"1,2\n" * 5_000).getvalue()
    with pytest.raises(ArchiveDamagedError) as refused:
        ArchivedFile("a.zip", "", io.BytesIO(whole[:-cut])).verify()
    assert refused.value.reason == "BadZip"


@pytest.mark.parametrize("memory", [archive.MEMORY_BYTES, 100], ids=["small", "large"])
def test_file_with_another_content_is_damaged(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMORY_BYTES", memory)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as packed:
        packed.writestr("a.csv", b"1,2\n" * 5_000)
    whole = stored.getvalue().replace(b"1,2", b"1,3", 1)
    with pytest.raises(ArchiveDamagedError) as refused:
        ArchivedFile("a.zip", "", io.BytesIO(whole)).verify()
    assert refused.value.reason == "BadZip"


def test_file_with_two_members_is_damaged() -> None:
    with pytest.raises(ArchiveDamagedError):
        ArchivedFile("a.zip", "", pack(b"1\n", ("a.csv", "b.csv"))).verify()


PATH = "/data/a.zip"
WHOLE = pack(b"1,2\n" * 5_000).getvalue()


@dataclass
class Answer:
    """One scripted HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> "Answer":
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        del size
        yield self.body[:100]
        yield self.body[100:]

    async def read(self) -> bytes:
        return self.body


class FakeHttp:
    """Stands where aiohttp's session stands."""

    def __init__(self) -> None:
        self.closed = False
        self.answers: dict[str, Answer | Exception] = {}

    @asynccontextmanager
    async def get(self, url: str) -> AsyncIterator[Answer]:
        answer = self.answers.get(url.removeprefix("http://archive"), Answer(404))
        if isinstance(answer, Exception):
            raise answer
        yield answer

    async def close(self) -> None:
        self.closed = True

    def publish(self, packed: bytes, signed: bytes | None = None) -> None:
        """Let a file be there with its checksum, or with that of another."""
        digest = hashlib.sha256(packed if signed is None else signed).hexdigest()
        self.answers[PATH] = Answer(body=packed)
        self.answers[f"{PATH}.CHECKSUM"] = Answer(body=f"{digest}  a.zip\n".encode())


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> FakeHttp:
    fake = FakeHttp()
    monkeypatch.setattr(aiohttp, "ClientSession", lambda **_: fake)
    return fake


async def fetch() -> ArchivedFile:
    async with ArchiveClient("http://archive/") as client:
        return await client.fetch(PATH)


async def test_whole_file_comes_with_its_checksum(http: FakeHttp) -> None:
    http.publish(WHOLE)
    with await fetch() as file:
        assert file.checksum == hashlib.sha256(WHOLE).hexdigest()
        assert b"".join(file.blocks()) == b"1,2\n" * 5_000
    assert http.closed


@pytest.mark.parametrize("place", [PATH, f"{PATH}.CHECKSUM"], ids=["the file", "its checksum"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Answer(500), VenueUnavailableError, id="server error"),
        pytest.param(Answer(503), VenueUnavailableError, id="busy"),
        pytest.param(Answer(403), VenueUnavailableError, id="forbidden"),
        pytest.param(Answer(429, headers={"Retry-After": "7"}), VenueThrottledError, id="429"),
        pytest.param(Answer(418, headers={"Retry-After": "7"}), VenueBannedError, id="418"),
        pytest.param(TimeoutError(), VenueUnavailableError, id="slow server"),
        pytest.param(aiohttp.ClientPayloadError(), VenueUnavailableError, id="broken off"),
        pytest.param(OSError("no route"), VenueUnavailableError, id="no route"),
    ],
)
async def test_archive_without_a_usable_answer_is_told_by_its_kind(
    http: FakeHttp, place: str, answer: Answer | Exception, kind: type[VenueUnavailableError]
) -> None:
    http.publish(WHOLE)
    http.answers[place] = answer
    with pytest.raises(VenueUnavailableError) as failed:
        await fetch()
    assert type(failed.value) is kind
    if isinstance(failed.value, VenueThrottledError):
        assert failed.value.retry_after_seconds == 7


async def test_file_that_is_not_there_is_missing(http: FakeHttp) -> None:
    assert http.answers == {}
    with pytest.raises(ArchiveMissingError) as missing:
        await fetch()
    assert missing.value.path == PATH


def spoil(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[: middle - 8] + bytes(16) + packed[middle + 8 :]


@pytest.mark.parametrize(
    ("packed", "signed", "reason"),
    [
        pytest.param(spoil(WHOLE), WHOLE, "ChecksumMismatch", id="corrupt"),
        pytest.param(WHOLE[:-200], WHOLE, "ChecksumMismatch", id="truncated"),
        pytest.param(spoil(WHOLE), None, "BadZip", id="corrupt, signed as it is"),
        pytest.param(WHOLE[:-200], None, "BadZip", id="truncated, signed as it is"),
        pytest.param(b"", None, "BadZip", id="empty, signed as it is"),
    ],
)
async def test_file_that_is_not_whole_is_damaged(
    http: FakeHttp, packed: bytes, signed: bytes | None, reason: str
) -> None:
    http.publish(packed, signed)
    with pytest.raises(ArchiveDamagedError) as damaged:
        await fetch()
    assert damaged.value.reason == reason


@pytest.mark.parametrize("answer", [Answer(404), Answer(body=b"<html>")], ids=["404", "no digest"])
async def test_file_without_a_checksum_is_not_believed(http: FakeHttp, answer: Answer) -> None:
    http.publish(WHOLE)
    http.answers[f"{PATH}.CHECKSUM"] = answer
    with pytest.raises(ArchiveDamagedError) as damaged:
        await fetch()
    assert damaged.value.reason == "ChecksumMissing"
