"""What one SMTP attempt returned, and what that makes of a delivery.

Pure values and rules: the back-off, the policy for uncertain rows, the reasons behind a
refusal. Knows neither sockets nor the database.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

UNPUBLISHED = "nothing is published under this slug"
"""Why a delivery without a text is held; publishing one queues it again."""

AWAITING_APPROVAL = "waits for approval"
"""Why a triggered mail is held; the yes of whoever approves its batch queues it."""

TRIAL = "trial"
"""In `details` of a mail to staff that shows a text: as which person's, and what it belongs to."""


class Outcome(StrEnum):
    """Whether the relay took the mail."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Whose problem a refusal is; only `PERSON` says anything about the address."""

    PERSON = "person"
    SOFT = "soft"
    SENDER = "sender"
    CONTENT = "content"


class Uncertainty(StrEnum):
    """What becomes of a row whose mail may or may not have been taken."""

    RESEND = "resend"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Started:
    """A delivery whose intent is committed: all a sender needs to write and hand over one mail.

    `fence` proves the claim it was started under; `attempts` counts this one. `person` holds
    the subscriber's values as they were in the intent's transaction; of a mail to staff those of
    whom a text is tried on, empty for all others. `tracked` is whether this mail measures the
    person. `shown` has a bit for each condition of the text, None where it has none or nobody has
    asked yet.

    A mail that answers a sign-up or a link request says in `asked` what was asked: `streams`
    (titles) and `expires_at`. A lesson says in `course` its `title`, `slug`, `lesson` (from 1)
    and `lessons`; both are empty otherwise.
    """

    id: int
    fence: int
    purpose: str
    kind: str
    slug: str
    occurrence: str
    address: str
    message_id: int
    attempts: int
    started_at: datetime
    first_started_at: datetime
    generation: int = 1
    subscriber_id: int | None = None
    address_key: bytes | None = None
    stream_id: int | None = None
    stream: str | None = None
    stream_title: str | None = None
    signup_id: int | None = None
    link_request_id: int | None = None
    enrollment_id: int | None = None
    campaign_id: int | None = None
    tracked: bool = False
    shown: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    course: Mapping[str, Any] = field(default_factory=dict)
    person: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one delivery: outcome, the stage it ended in, and the relay's words.

    `code` is the three-digit reply, `status` the enhanced status code (RFC 3463), both None
    when no whole reply came. `reused` tells that the connection had carried mail before, `stray`
    that the answer may have been another mail's, so that it is to be asked again, `breach` that it
    ended because the relay broke the rules of the dialogue. `sha256` (hex) and `size` are those of
    the bytes the relay took, where somebody will ask for them.
    """

    delivery: Started
    outcome: Outcome
    stage: str
    code: int | None = None
    status: str | None = None
    text: str = ""
    cause: Cause | None = None
    reused: bool = False
    stray: bool = False
    breach: bool = False
    sha256: str | None = None
    size: int | None = None


PERMANENT = 500
"""From this reply code on a refusal is for good (RFC 5321 section 4.2.1)."""

UNCERTAIN_REST = timedelta(minutes=10)
"""How long after its lease an uncertain row rests before a policy may send it again."""

TRIES_IN_DOUBT = 3
"""After so many attempts an uncertain row waits for a person: a relay that takes every mail and
never says so would otherwise be sent copies for ever."""

GIVE_UP_AFTER = timedelta(days=5)
_INTERVALS = (timedelta(minutes=30), timedelta(minutes=30), timedelta(hours=2))
_LATER = timedelta(hours=3)
_JITTER = 0.25


def retry_at(
    delivery_id: int, attempts: int, first_started_at: datetime, now: datetime
) -> datetime | None:
    """When to try a deferred mail again, or None when it is time to give up.

    Two tries in the first hour, then every two to three hours, for five days (RFC 5321
    section 4.5.4.1). Up to a quarter is added, the same for the same row and attempt, so
    that a batch deferred together does not come back together.
    """
    if now - first_started_at >= GIVE_UP_AFTER:
        return None
    interval = _INTERVALS[attempts - 1] if attempts <= len(_INTERVALS) else _LATER
    seed = hashlib.blake2b(b"%d:%d" % (delivery_id, attempts), digest_size=4).digest()
    return now + interval * (1 + _JITTER * int.from_bytes(seed) / 2**32)
