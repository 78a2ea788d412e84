"""Files of a venue's archive: fetched, held against their checksum, read in whole lines.

Nothing of a file is given out before all of it was found to be what the venue published. Must
not know what its lines say.
"""

import asyncio
import hashlib
import io
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

import aiohttp

from feedplane_feeder.errors import (
    ArchiveDamagedError,
    ArchiveMissingError,
    VenueBannedError,
    VenueThrottledError,
    VenueUnavailableError,
)
from feedplane_feeder.transports.handshake import parse_retry_after

READ_SECONDS: Final = 30.0
"""Nothing received for this long ends a download."""
MEMORY_BYTES: Final = 16 * 1024 * 1024
"""A larger file is kept on disk while it is read, and unpacked twice."""
BLOCK_BYTES: Final = 128 * 1024
_CHECKSUM: Final = re.compile(rb"\s*([0-9a-fA-F]{64})\b")
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class ArchivedFile:
    """A file whose checksum was right; use as a context manager."""

    def __init__(self, path: str, checksum: str, packed: IO[bytes]) -> None:
        self.path = path
        self.checksum = checksum
        self._packed = packed
        self._text: bytes | None = None

    def __enter__(self) -> "ArchivedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()

    def verify(self) -> None:
        """Unpack all of it once; only a small text is kept.

        Raises:
            ArchiveDamagedError: BadZip.
        """
        try:
            with zipfile.ZipFile(self._packed) as archive:
                members = archive.infolist()
                if len(members) != 1:
                    raise ArchiveDamagedError(self.path, "BadZip", "content")
                if members[0].file_size <= MEMORY_BYTES:
                    self._text = archive.read(members[0])
                elif archive.testzip() is not None:
                    raise ArchiveDamagedError(self.path, "BadZip", "content")
        except _DAMAGED as error:
            raise ArchiveDamagedError(self.path, "BadZip", str(error)) from error

    def blocks(self) -> Iterator[bytes]:
        """Yield its text in blocks of whole lines."""
        with self._open() as text:
            rest = b""
            while data := text.read(BLOCK_BYTES):
                end = data.rfind(b"\n") + 1
                if not end:
                    rest += data
                    continue
                yield rest + data[:end]
                rest = data[end:]
            if rest:
                yield rest + b"\n"

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self._text is not None:
            yield io.BytesIO(self._text)
            return
        with (
            zipfile.ZipFile(self._packed) as archive,
            archive.open(archive.infolist()[0]) as text,
        ):
            yield text


class ArchiveClient:
    """One venue's archive. Use as an async context manager."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "ArchiveClient":
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=READ_SECONDS),
            trust_env=True,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, path: str) -> ArchivedFile:
        """Return a file that is wholly what the venue published.

        Raises:
            ArchiveMissingError: there is none.
            ArchiveDamagedError: ChecksumMissing, ChecksumMismatch, BadZip.
            VenueThrottledError: the archive asks for a pause.
            VenueUnavailableError: no usable answer.
        """
        packed: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
        try:
            found = await self._download(path, packed)
            told = await self._read_checksum(f"{path}.CHECKSUM")
            file = ArchivedFile(path, found, packed)
            _compare(path, told, found)
            await asyncio.to_thread(file.verify)
        except BaseException:
            packed.close()
            raise
        return file

    async def _read_checksum(self, path: str) -> str | None:
        try:
            async with self._session_of(path).get(f"{self._base_url}{path}") as response:
                self._check(path, response)
                match = _CHECKSUM.match(await response.read())
        except ArchiveMissingError:
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unavailable(path, error) from error
        return match[1].decode().lower() if match else None

    async def _download(self, path: str, packed: IO[bytes]) -> str:
        digest = hashlib.sha256()
        try:
            async with self._session_of(path).get(f"{self._base_url}{path}") as response:
                self._check(path, response)
                async for data in response.content.iter_chunked(256 * 1024):
                    digest.update(data)
                    packed.write(data)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unavailable(path, error) from error
        return digest.hexdigest()

    def _session_of(self, path: str) -> aiohttp.ClientSession:
        if self._session is None:
            raise VenueUnavailableError(f"{self._base_url}{path}", "not open")
        return self._session

    def _check(self, path: str, response: aiohttp.ClientResponse) -> None:
        url, status = f"{self._base_url}{path}", response.status
        if status == 404:
            raise ArchiveMissingError(path)
        if status in (418, 429):
            seconds = parse_retry_after(response.headers.get("Retry-After"))
            kind = VenueBannedError if status == 418 else VenueThrottledError
            raise kind(url, f"HTTP {status}", seconds)
        if status != 200:
            raise VenueUnavailableError(url, f"HTTP {status}")

    def _unavailable(self, path: str, error: Exception) -> VenueUnavailableError:
        return VenueUnavailableError(f"{self._base_url}{path}", f"{type(error).__name__}: {error}")


def _compare(path: str, told: str | None, found: str) -> None:
    if told is None:
        raise ArchiveDamagedError(path, "ChecksumMissing")
    if told != found:
        raise ArchiveDamagedError(path, "ChecksumMismatch", f"{found[:12]}.. was read")
