"""The question to the approvers: one mail for each batch that waits for a yes, at eight o'clock.

Owns when and what is asked. What an answer does is the triggers' business.
"""

from datetime import datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from l3mail import staff, triggers
from l3mail.alarms.duty import Duty, take_turn
from l3mail.alarms.letters import Sheet
from l3mail.alarms.questions import Asking, Put, Sample, sample_for, samples_of, sheet, to_people
from l3mail.calendars import wall_to_utc
from l3mail.triggers import Pending, Terms

APPROVAL = "notice/approval"
ASKED_AT = time(8)


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
        samples = samples_of(connection, batch.messages, asking.values)
        people = triggers.waiting_for(connection, batch, terms)
        for approver in _unasked(connection, batch, asking):
            link = asking.link(batch.id, approver, batch.lapses_at)
            letter = duty.letter(APPROVAL, _letter(duty, batch, samples, people, link))
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


def _asked_at(batch: Pending, zone: ZoneInfo) -> datetime:
    """Eight o'clock of the day a batch was opened on; one opened later is asked for at once."""
    eight = wall_to_utc(batch.requested_at.astimezone(zone).date(), ASKED_AT, zone)
    return max(batch.requested_at, eight)


def _unasked(connection: Connection, batch: Pending, asking: Asking) -> list[str]:
    return staff.missing(connection, _occurrence(batch), asking.approvers)


def _occurrence(batch: Pending) -> str:
    return f"notice:approval:{batch.id}"


def _letter(duty: Duty, batch: Pending, samples: list[Sample], people: int, link: str) -> Sheet:
    due, until, to = duty.time(batch.due_at), duty.time(batch.lapses_at), to_people(duty, people)
    approve, reject = (f"`l3mail triggers {verb} {batch.id}`" for verb in ("approve", "reject"))
    put = Put(
        verb=duty.say({"de": "Freigeben?", "en": "Approve?"}),
        what=duty.say(
            {
                "de": f"{batch.slug} ({batch.occasion}) soll am {due} {to} gehen und wartet auf"
                " Ihre Freigabe.",
                "en": f"{batch.slug} ({batch.occasion}) is to go {to} on {due} and waits for your"
                " approval.",
            }
        ),
        commands=duty.say({"de": f"{approve} oder {reject}", "en": f"{approve} or {reject}"}),
        end=duty.say(
            {
                "de": f"Entscheidet bis {until} niemand, wird sie nicht gesendet.",
                "en": f"If nobody decides by {until}, it is not sent.",
            }
        ),
        link=link,
    )
    return sheet(duty, sample_for(duty, samples, batch.slug), put)
