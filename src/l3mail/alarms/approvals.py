"""The question to the approvers: one mail for each batch that waits for a yes, at eight o'clock.

Owns when and what is asked, and by which number an approver is known. What an answer does is the
triggers' business.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from l3mail import publishing, rendering, staff, triggers
from l3mail.alarms.duty import Duty, take_turn
from l3mail.alarms.letters import Part, Sheet
from l3mail.calendars import wall_to_utc
from l3mail.errors import RenderingError
from l3mail.publishing import Published
from l3mail.triggers import Pending, Terms

APPROVAL = "notice/approval"
ASKED_AT = time(8)
_FIRST_LINES = 6


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, and how: `link` leads one of them to one batch, `values` fill a sample."""

    approvers: tuple[str, ...]
    link: Callable[[int, str, datetime], str]
    values: Callable[[Published], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail as it will be sent, to nobody in particular."""

    locale: str
    subject: str
    text: str
    html: str


def approver_number(address: str) -> int:
    """What stands for an approver in a link; who is no longer listed has no number any more."""
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=7).digest())


def who_is(number: int, approvers: Collection[str]) -> str | None:
    """The approver with this number, if there is one."""
    return next((one for one in approvers if approver_number(one) == number), None)


def ask(connection: Connection, duty: Duty, asking: Asking, terms: Terms) -> int:
    """Plan the mails about batches that wait and whose hour has come; how many."""
    due = [
        batch
        for batch in triggers.pending(connection, terms.now)
        if _asked_at(batch, duty.zone) <= terms.now and _unasked(connection, batch, asking)
    ]
    if not due or not take_turn(connection):
        return 0
    planned = 0
    for batch in due:
        samples = samples_of(connection, batch, asking.values)
        people = triggers.waiting_for(connection, batch, terms)
        for approver in _unasked(connection, batch, asking):
            link = asking.link(batch.id, approver, batch.lapses_at)
            letter = duty.letter(APPROVAL, _sheet(duty, batch, samples, people, link))
            ids = staff.plan(
                connection,
                letter,
                _occurrence(batch),
                [approver],
                terms.now,
                lapses_at=batch.lapses_at,
            )
            planned += len(ids)
    return planned


def next_ask(connection: Connection, now: datetime, zone: ZoneInfo) -> datetime | None:
    """When the next question that waits for its hour is put."""
    moments = [_asked_at(batch, zone) for batch in triggers.pending(connection, now)]
    return min((moment for moment in moments if moment > now), default=None)


def samples_of(
    connection: Connection, batch: Pending, values: Callable[[Published], Mapping[str, Any]]
) -> list[Sample]:
    """The pinned versions of a batch, filled, by language; what can't be filled is left out."""
    texts = publishing.load(connection, set(batch.messages.values()))
    found = []
    for locale, version in sorted(batch.messages.items()):
        text = texts[version]
        try:
            parts = [
                rendering.fill(text.compiled, part, values(text)) if text.compiled.get(part) else ""
                for part in ("subject", "text", "html")
            ]
        except RenderingError:
            continue
        found.append(Sample(locale, *parts))
    return found


def _asked_at(batch: Pending, zone: ZoneInfo) -> datetime:
    """Eight o'clock of the day a batch was opened on; one opened later is asked for at once."""
    eight = wall_to_utc(batch.requested_at.astimezone(zone).date(), ASKED_AT, zone)
    return max(batch.requested_at, eight)


def _unasked(connection: Connection, batch: Pending, asking: Asking) -> list[str]:
    return staff.missing(connection, _occurrence(batch), asking.approvers)


def _occurrence(batch: Pending) -> str:
    return f"notice:approval:{batch.id}"


def _sheet(duty: Duty, batch: Pending, samples: list[Sample], people: int, link: str) -> Sheet:
    sample = next((one for one in samples if one.locale == duty.locale), None)
    sample = sample or next(iter(samples), Sample(duty.locale, batch.slug, "", ""))
    due, until = duty.time(batch.due_at), duty.time(batch.lapses_at)
    lines = [line.strip() for line in sample.text.splitlines() if line.strip()]
    if people == 1:
        to = duty.say({"de": "an eine Person", "en": "to one person"})
    else:
        to = duty.say({"de": f"an {people} Personen", "en": f"to {people} people"})
    return duty.sheet(
        duty.say({"de": f"Freigeben? {sample.subject}", "en": f"Approve? {sample.subject}"}),
        [
            Part(
                [
                    duty.say(
                        {
                            "de": f"{batch.slug} ({batch.occasion}) soll am {due} {to} gehen und"
                            " wartet auf Ihre Freigabe.",
                            "en": f"{batch.slug} ({batch.occasion}) is to go {to} on {due} and"
                            " waits for your approval.",
                        }
                    )
                ]
            ),
            Part(
                lines[:_FIRST_LINES],
                duty.say({"de": "So beginnt sie", "en": "It begins so"}),
                is_quote=True,
            ),
            Part(
                [duty.say({"de": "Ganz ansehen und entscheiden", "en": "Read it and decide"})],
                link=link,
            ),
            Part(
                [
                    duty.say(
                        {
                            "de": "Der Link gilt für Sie persönlich; bitte leiten Sie ihn nicht"
                            f" weiter. Oder mit einem Befehl: `l3mail triggers approve {batch.id}`"
                            f" oder `l3mail triggers reject {batch.id}`.",
                            "en": "The link is yours personally; please do not pass it on. Or by"
                            f" command: `l3mail triggers approve {batch.id}` or"
                            f" `l3mail triggers reject {batch.id}`.",
                        }
                    ),
                    duty.say(
                        {
                            "de": f"Entscheidet bis {until} niemand, wird sie nicht gesendet.",
                            "en": f"If nobody decides by {until}, it is not sent.",
                        }
                    ),
                ]
            ),
        ],
    )
