"""How an act of evidence becomes two hashes: pure, and the same for ever.

Every chain there is was made by these rules; a change of them is another chain.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

PERSON: Final = b"l3mail-consent"
"""Sets our hashes apart from all others of BLAKE2b (its parameter `person`)."""


def canonical(act: str, subscriber_id: int, content: Mapping[str, Any], at: datetime) -> str:
    """The one spelling of an act: JSON without blanks, keys in order, the moment in UTC."""
    row = [act, subscriber_id, at.astimezone(UTC).isoformat(), content]
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest_of(
    salt: bytes, act: str, subscriber_id: int, content: Mapping[str, Any], at: datetime
) -> bytes:
    """What an act is known by; without its salt it says nothing of it."""
    return joined(salt, canonical(act, subscriber_id, content, at).encode())


def joined(first: bytes, second: bytes) -> bytes:
    """One hash of two: of salt and act, of the link before and a digest."""
    # The length keeps one pair of inputs from passing for another.
    return hashlib.blake2b(
        len(first).to_bytes(4) + first + second, digest_size=32, person=PERSON
    ).digest()
