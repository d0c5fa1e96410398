"""Signed tokens: what stands in a link, so that nobody can make or change one.

Owns purposes, their salts, the keys and their rotation. A token carries numbers and perhaps the
moment it ends; what the numbers mean, and whether they are still good, its reader decides.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.signer import SigningAlgorithm

from l3mail.errors import TokenError

LONGEST_TOKEN = 200
"""Characters; what is longer is refused unread."""

LARGEST_NUMBER = 2**63 - 1


class Purpose(StrEnum):
    """What a token is for; one made for one purpose is broken for every other."""

    CONFIRM = "confirm"
    REFUSE = "refuse"
    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    VIEW = "view"
    ACT = "act"
    TRACK = "track"
    FORM = "form"
    METRICS = "metrics"
    APPROVE = "approve"
    ADDRESS = "address"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Token:
    """What a token said: its numbers, and when it ends (None: never)."""

    purpose: Purpose
    numbers: tuple[int, ...]
    expires_at: datetime | None = None


class _HmacSha256(SigningAlgorithm):
    """What itsdangerous would do, in one call: a mail has five tokens."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class Tokens:
    """Makes and reads the workspace's tokens.

    `keys` are newest first: the newest signs, all are believed. `retired` ones are believed in
    unsubscribe links only, which never expire. The signature is HMAC-SHA256 with a key derived
    for each purpose.
    """

    def __init__(self, keys: Sequence[str], retired: Sequence[str] = ()) -> None:
        """Take the keys; at least one must be there to sign."""
        if not keys:
            raise ValueError("tokens need a key")
        self._signers = {}
        for purpose in Purpose:
            believed = [*keys, *(retired if purpose is Purpose.UNSUBSCRIBE else ())]
            derived = [
                hmac.digest(key.encode(), f"l3mail.{purpose}".encode(), "sha256")
                for key in believed
            ]
            # itsdangerous wants the newest last, and signs with that. It would derive the same
            # keys, at every signature anew.
            self._signers[purpose] = Signer(
                derived[::-1], key_derivation="none", algorithm=_HmacSha256()
            )

    def make(self, purpose: Purpose, *numbers: int, expires_at: datetime | None = None) -> str:
        """Sign `numbers` for `purpose`; the result is safe in a URL's path.

        The same call gives the same token for as long as the newest key stays the same.
        """
        ends = 0 if expires_at is None else int(expires_at.timestamp())
        payload = "-".join(map(str, (ends, *numbers))).encode()
        return self._signers[purpose].sign(payload).decode("ascii")

    def read(self, purpose: Purpose, text: str, now: datetime) -> Token:
        """What a token says; raises TokenError, "broken" or "expired" (then with the token)."""
        if len(text) > LONGEST_TOKEN or not text.isascii():
            raise TokenError("broken")
        try:
            payload = self._signers[purpose].unsign(text).decode("ascii")
            ends, *numbers = (int(number) for number in payload.split("-"))
            signature = text.rpartition(".")[2]
            # Base64's last letter has bits to spare; one token is to have one spelling.
            if base64_encode(base64_decode(signature)).decode("ascii") != signature:
                raise TokenError("broken")
            # Nor is there a row of a number that no database can hold.
            if any(abs(number) > LARGEST_NUMBER for number in numbers):
                raise TokenError("broken")
        except (BadSignature, ValueError) as fault:
            raise TokenError("broken") from fault
        expires_at = datetime.fromtimestamp(ends, UTC) if ends else None
        token = Token(purpose, tuple(numbers), expires_at)
        if expires_at is not None and expires_at <= now:
            raise TokenError("expired", token)
        return token
