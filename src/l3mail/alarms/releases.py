"""The question to a second person: one mail to each approver but whoever scheduled the issue.

Owns what is asked, and at once. What an answer does is the newsletters' business.
"""

from datetime import datetime

from sqlalchemy import Connection

from l3mail import newsletters, staff
from l3mail.alarms.duty import Duty, take_turn
from l3mail.alarms.letters import Sheet
from l3mail.alarms.questions import Asking, Put, Sample, sample_for, samples_of, sheet, to_people
from l3mail.newsletters import Unreleased

RELEASE = "notice/release"


def ask_others(connection: Connection, duty: Duty, asking: Asking, now: datetime) -> int:
    """Plan the mails about campaigns that wait for a second person; how many."""
    if asking.release is None:
        return 0
    waiting = newsletters.unreleased(connection, now)
    if not any(_unasked(connection, one, asking) for one in waiting) or not take_turn(connection):
        return 0
    planned = 0
    for one in waiting:
        unasked = _unasked(connection, one, asking)
        messages = newsletters.pinned(connection, one.id) if unasked else {}
        samples = samples_of(connection, messages, asking.values)
        for approver in unasked:
            link = asking.release(one.id, approver, one.lapses_at)
            letter = duty.letter(RELEASE, _letter(duty, one, samples, link))
            planned += len(
                staff.plan(
                    connection,
                    letter,
                    _occurrence(one),
                    [approver],
                    now,
                    lapses_at=one.lapses_at,
                )
            )
    return planned


def _unasked(connection: Connection, one: Unreleased, asking: Asking) -> list[str]:
    others = [
        approver
        for approver in asking.approvers
        if not newsletters.is_same_person(approver, one.scheduled_by)
    ]
    return staff.missing(connection, _occurrence(one), others) if others else []


def _occurrence(one: Unreleased) -> str:
    return f"notice:release:{one.id}"


def _letter(duty: Duty, one: Unreleased, samples: list[Sample], link: str) -> Sheet:
    due, until = duty.time(one.scheduled_at), duty.time(one.lapses_at)
    to, by = to_people(duty, one.expected or 0), one.scheduled_by
    put = Put(
        verb=duty.say({"de": "Freigeben?", "en": "Release?"}),
        what=duty.say(
            {
                "de": f"{one.slug} soll am {due} {to} gehen. Eingeplant hat das {by}; gesendet wird"
                " erst, wenn eine zweite Person freigibt.",
                "en": f"{one.slug} is to go {to} on {due}. {by} has scheduled it; it goes out only"
                " when a second person releases it.",
            }
        ),
        commands=f"`l3mail newsletters release {one.slug}`",
        end=duty.say(
            {
                "de": f"Gibt bis {until} niemand frei, wird sie nicht gesendet.",
                "en": f"If nobody releases it by {until}, it is not sent.",
            }
        ),
        link=link,
    )
    return sheet(duty, sample_for(duty, samples, one.slug), put)
