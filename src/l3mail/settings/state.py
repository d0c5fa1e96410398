"""The two secrets in `state/`: the pepper of address keys and the key that signs links.

Owns how they are made once, whoever starts first, and read back. Must not know what they are
used for, nor the database that lies beside them.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from pydantic import SecretStr

from l3mail import owners
from l3mail.errors import StateError
from l3mail.settings.sections import DATABASE_FILE, Settings

PEPPER_FILE = "pepper"
KEY_FILE = "secret.key"
RESTORING = "restoring"
"""The folder in `state/` that is there while a backup is put back, or when that was interrupted."""
BACKUPS_FOLDER = "backups"
"""Where backups lie unless told otherwise."""
MARK_FILE = "high-water"
"""How far sending had come, kept outside the database."""
RETIRED = "retired:"
"""What stands before a key that signs nothing any more."""

_PEPPER_BYTES = range(32, 65)  # blake2b takes a key of at most 64 bytes (RFC 7693 § 2.1)
_SHORTEST_KEY = 32  # characters; of hex these are 128 bits


def make_state(state_dir: Path) -> None:
    """Make `state/` (0700), its pepper and its key (0600) where they are missing; idempotent.

    Two processes at once end with the same files: each writes one of its own, and only the first
    gets the name. Takes an existing folder's rights away from strangers. Raises `StateError`
    where one was lost beside a database: a new pepper would forget every suppression, a new key
    would break every link that was ever mailed.
    """
    pepper, key = state_dir / PEPPER_FILE, state_dir / KEY_FILE
    _refuse_loss(state_dir)
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        rights = stat.S_IMODE(state_dir.stat().st_mode)
        if rights & 0o007:
            state_dir.chmod(rights & ~0o007)
        _write_once(pepper, secrets.token_hex(_PEPPER_BYTES[-1]))
        _write_once(key, secrets.token_hex(_SHORTEST_KEY))
    except OSError as error:
        raise StateError(
            f"{error.filename or state_dir} cannot be written: {error.strerror}"
            f"{owners.mend(state_dir)}"
        ) from error
    load_pepper(state_dir)
    _keys(key)


def require_secrets(settings: Settings) -> None:
    """Raise `StateError` unless the pepper and a key to sign with are there; makes nothing."""
    _refuse_loss(settings.state_dir, key_elsewhere=bool(settings.secret_keys))
    load_pepper(settings.state_dir)
    load_secret_keys(settings)


def _refuse_loss(state_dir: Path, *, key_elsewhere: bool = False) -> None:
    pepper, key = state_dir / PEPPER_FILE, state_dir / KEY_FILE
    if not (state_dir / DATABASE_FILE).exists():
        return
    if not pepper.exists():
        raise StateError(
            f"{state_dir} holds a database but no {PEPPER_FILE}, without which nobody's"
            " suppression is known; restore it from your backup"
        )
    if not key.exists() and not key_elsewhere:
        raise StateError(
            f"{state_dir} holds a database but no {KEY_FILE}, without which no link mailed so far"
            " works; restore it from your backup, or, if it is gone for good, make a new one:"
            f" `(umask 077; openssl rand -hex 32 > {key})`"
        )


def load_pepper(state_dir: Path) -> bytes:
    """Return the 32 to 64 bytes every address key is made with, or raise `StateError`."""
    path = state_dir / PEPPER_FILE
    try:
        return pepper_of(_secret(path))
    except ValueError as error:
        raise StateError(f"{path} {error}; restore it from your backup") from error


def pepper_of(text: str) -> bytes:
    """The bytes that a pepper's text stands for; raises ValueError saying what it is instead."""
    try:
        pepper = bytes.fromhex(text)
    except ValueError:
        raise ValueError("is damaged, not hex") from None
    if len(pepper) not in _PEPPER_BYTES:
        raise ValueError(
            f"has {len(pepper)} bytes, expected {_PEPPER_BYTES[0]} to {_PEPPER_BYTES[-1]}"
        )
    return pepper


def load_secret_keys(settings: Settings) -> tuple[SecretStr, ...]:
    """Return the keys that sign links, newest first: L3MAIL_SECRET_KEY, else `state/secret.key`.

    The file holds one key a line; those marked `retired:` are left to `load_retired_keys`. At
    least one is returned, or `StateError` raised.
    """
    return tuple(key for key in _all_keys(settings) if not _is_retired(key))


def load_retired_keys(settings: Settings) -> tuple[SecretStr, ...]:
    """Return the keys marked `retired:`, newest first: believed in unsubscribe links alone.

    Those links never expire; whoever deletes such a line breaks them.
    """
    return tuple(
        SecretStr(key.get_secret_value().removeprefix(RETIRED).strip())
        for key in _all_keys(settings)
        if _is_retired(key)
    )


def _all_keys(settings: Settings) -> tuple[SecretStr, ...]:
    if not settings.secret_keys:
        return _keys(settings.state_dir / KEY_FILE)
    if all(_is_retired(key) for key in settings.secret_keys):
        raise StateError(
            "L3MAIL_SECRET_KEY holds no key but retired ones; put a new one before them, made"
            " with `openssl rand -hex 32`"
        )
    return settings.secret_keys


def _is_retired(key: SecretStr) -> bool:
    return key.get_secret_value().startswith(RETIRED)


def _keys(path: Path) -> tuple[SecretStr, ...]:
    keys = [line.strip() for line in _secret(path).splitlines() if line.strip()]
    bare = [key.removeprefix(RETIRED).strip() for key in keys]
    short = [key for key in bare if len(key) < _SHORTEST_KEY]
    if short:
        raise StateError(
            f"{path} holds a key of {len(short[0])} characters, expected {_SHORTEST_KEY} or more;"
            " restore it from your backup or set L3MAIL_SECRET_KEY"
        )
    if all(key.startswith(RETIRED) for key in keys):
        raise StateError(
            f"{path} holds no key but retired ones; put a new one in a line above them, made"
            " with `openssl rand -hex 32`"
        )
    return tuple(SecretStr(key) for key in keys)


def _secret(path: Path) -> str:
    """Read a secret file that nobody else may read; never empty."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            rights = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().strip()
    except FileNotFoundError:
        raise StateError(
            f"{path} is missing; restore it from your backup, or run `l3mail init DIR` for a new"
            " workspace"
        ) from None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}{owners.mend(path)}") from error
    if rights & 0o077:
        raise StateError(f"{path} is open to others (mode {rights:04o}); run `chmod 600 {path}`")
    if not text:
        raise StateError(f"{path} is empty; restore it from your backup")
    return text


def write_durably(path: Path, content: bytes) -> None:
    """Give `path` this content whole and durable, or leave it as it was; nobody else may read it.

    Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def drafts_of(path: Path) -> list[Path]:
    """What whoever was killed while writing `path` left beside it. Raises OSError."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    return sorted(beside for beside in path.parent.iterdir() if ours.fullmatch(beside.name))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: files that came, went or were renamed."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_once(path: Path, text: str) -> None:
    """Give `path` its content whole and durable, unless somebody already did.

    A link instead of a rename, because it fails where the name is taken.
    """
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # the other process won; its content is complete, or it would have no name
    finally:
        draft.unlink()
    sync_folder(path.parent)
