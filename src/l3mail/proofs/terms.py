"""What a proof is made of, and who hands it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class House:
    """Who hands the proof out: name, postal address and e-mail, and by which clocks."""

    name: str
    address: str
    email: str
    zone: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A confirmation mail as it can be shown now; `content` is None where it can't.

    `identical` says that these bytes are those the relay took, None that nobody knows.
    """

    delivery: int
    content: bytes | None
    identical: bool | None

    @property
    def file(self) -> str | None:
        """Its name in the ZIP."""
        return None if self.content is None else f"mails/{self.delivery}.eml"


@dataclass(frozen=True, slots=True)
class Proof:
    """All that goes into one ZIP: the address as typed, what `evidence` found, mails, the chain."""

    email: str
    found: Mapping[str, Any]
    mails: Sequence[Mail]
    chain: Mapping[str, Any]
    made_at: datetime
