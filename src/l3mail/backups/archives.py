"""The file of a backup: a compressed tar that any machine can open, with a manifest in front.

Owns its members' names and the manifest, which names hashes and counts and nothing of a person.
Knows nothing of databases.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from l3mail.errors import BackupError

MANIFEST = "manifest.json"
FORMAT = 1
_HIGHEST = 1 << 62
"""Below it a database can count on."""
_LARGEST_MANIFEST = 1_000_000
_CHUNK = 1 << 20
_QUICK = 1
"""Compression: the first level gains nearly all there is to gain, in a fifth of the time."""

Tell = Callable[[str, float], None]
"""Hears what is being done and what share of it is done."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself: whose database it is, of when, and what must be in it.

    `highest` is the highest delivery begun, `rows` counts by table, `files` hashes by member.
    """

    database: str
    uuid: str
    revision: str
    copied_at: datetime
    highest: int
    rows: Mapping[str, int]
    files: Mapping[str, str]
    format: int = FORMAT

    def to_json(self) -> bytes:
        """As it stands in the file."""
        said = asdict(self) | {"copied_at": self.copied_at.isoformat()}
        return json.dumps(said, indent=2, sort_keys=True).encode() + b"\n"


def write_archive(
    stream: IO[bytes], manifest: Manifest, members: Sequence[tuple[str, Path]], tell: Tell
) -> None:
    """Write the manifest and every member, in this order."""
    total = sum(path.stat().st_size for _, path in members) or 1
    done = 0
    said = manifest.to_json()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=_QUICK, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, MANIFEST, io.BytesIO(said), len(said), manifest.copied_at)
        for name, path in members:
            tell("packing", done / total)
            with path.open("rb") as file:
                _add(tar, name, file, path.stat().st_size, manifest.copied_at)
            done += path.stat().st_size
        tell("packing", 1.0)


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int, at: datetime) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(at.timestamp())
    tar.addfile(member, file)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def opened_archive(path: Path) -> "Iterator[tuple[Manifest, tarfile.TarFile]]":
    """A backup and its manifest; raises BackupError where the file is none."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            yield _manifest(path, tar), tar
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BackupError(f"{path} is no whole backup ({error}); take another one") from error
    except OSError as error:
        # Without a number it is what zlib makes of a damaged stream.
        words = error.strerror or f"it is damaged: {error}"
        raise BackupError(f"{path} can't be read: {words}") from error


def _manifest(path: Path, tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    file = tar.extractfile(first) if first and first.name == MANIFEST else None
    if file is None:
        raise BackupError(f"{path} has no {MANIFEST} in front, so it is no backup of l3mail")
    try:
        said: dict[str, Any] = json.loads(file.read(_LARGEST_MANIFEST))
        if said["format"] != FORMAT:
            raise BackupError(
                f"{path} is of another format ({said['format']}); take the l3mail that made it"
            )
        manifest = Manifest(**said | {"copied_at": datetime.fromisoformat(said["copied_at"])})
        _require_sense(manifest)
        return manifest
    except (ValueError, TypeError, KeyError) as error:
        raise BackupError(f"the {MANIFEST} of {path} is damaged; take another backup") from error


def _require_sense(manifest: Manifest) -> None:
    """Raise ValueError for a manifest that no backup of ours has."""
    rows, files = dict(manifest.rows), dict(manifest.files)
    numbers: list[Any] = [manifest.highest, *rows.values()]
    words: list[Any] = [manifest.uuid, manifest.revision, *files.values()]
    if (
        any(type(number) is not int or not 0 <= number < _HIGHEST for number in numbers)
        or not all(isinstance(word, str) for word in words)
        or not {"subscriber", "delivery"} <= rows.keys()
        or manifest.copied_at.tzinfo is None
    ):
        raise ValueError("no manifest of ours")


def unpack(path: Path, manifest: Manifest, tar: tarfile.TarFile, folder: Path, tell: Tell) -> None:
    """Lay every member the manifest names into a folder and compare its hash.

    What it does not name is left in the file. Names lead nowhere but into the folder.
    """
    found: set[str] = set()
    size = path.stat().st_size or 1
    for member in tar:
        wanted = manifest.files.get(member.name)
        source = tar.extractfile(member) if wanted and member.isfile() else None
        if source is None:
            continue
        target = folder / member.name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"{path} holds a name that leads out of it; take another backup")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _copy(source, target)
        if digest(target) != wanted:
            raise BackupError(
                f"{member.name} in {path} is not what was put in; take another backup"
            )
        found.add(member.name)
        tell("unpacking", min(member.offset_data / size, 1.0))
    if missing := manifest.files.keys() - found:
        raise BackupError(f"{path} lacks {min(missing)}; take another backup")


def read_member(path: Path, tar: tarfile.TarFile, name: str) -> bytes:
    """A small member's content."""
    try:
        file = tar.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise BackupError(f"{path} lacks {name}; take another backup")
    return file.read()


def _copy(source: IO[bytes], target: Path) -> None:
    target.touch(mode=0o600)
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
