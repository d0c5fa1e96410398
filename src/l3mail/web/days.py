"""Days done: "Heute gelernt" in a mail, one's own days, and what everybody did together.

Owns the pages of `/done` and `/together`. An entry is an explicit act and needs no consent to
tracking. The public page tells a number and nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import courses, events, outbox
from l3mail.courses import Diary
from l3mail.locales import number, weekday_in_words
from l3mail.web.acts import act_of, hold, standing_behind
from l3mail.web.door import Visit, Visiting, one

router = APIRouter()


@dataclass(frozen=True, slots=True)
class _Behind:
    """Whose days a link leads to, and the mail it stood in."""

    row: Mapping[str, Any]
    diary: Diary


@router.get("/done/{token:path}")
async def show_days(visit: Visiting, token: str) -> Response:
    """One's own days, with a button for what is open; a scanner that looks has learned nothing."""
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()
    found = await visit.read(lambda connection: _behind(connection, visit, delivery))
    return await _answer(visit, found, token)


@router.post("/done/{token:path}")
async def take_day(visit: Visiting, token: str) -> Response:
    """Enter a day, or take it back, and show at once how things stand.

    The form names the day: who pressed at midnight means the day the button showed.
    """
    form = await visit.form()
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()
    day, undo = _day(one(form, "day")), one(form, "action") == "undo"

    def verb(connection: Connection) -> tuple[_Behind | str | None, str]:
        hold(connection, delivery)
        found = _behind(connection, visit, delivery)
        if not isinstance(found, _Behind) or found.diary.is_cancelled:
            return found, ""
        if day not in found.diary.open_on(_today(visit)):
            return found, "shut"
        assert day is not None
        said = _take_back(connection, found, day) if undo else _enter(connection, visit, found, day)
        return _behind(connection, visit, delivery), said

    found, said = await visit.write(verb)
    return await _answer(visit, found, token, said)


@router.get("/together/{course}")
async def show_together(visit: Visiting, course: str) -> Response:
    """The days done of everybody in a course."""

    def verb(connection: Connection) -> tuple[str, int] | None:
        title = courses.title_of(connection, course)
        return (
            None
            if title is None
            else (title, visit.door.together.of(connection, course, visit.now))
        )

    # PostgreSQL takes no NUL, not even to look for it.
    found = await visit.read(verb) if course.isprintable() else None
    if found is None:
        return visit.note("missing", 404)
    return visit.page("together", course=found[0], together=_together(visit, found[1]))


def _behind(connection: Connection, visit: Visit, delivery: int) -> _Behind | str | None:
    """What a link leads to; the word of a page for who is gone, None for a mail of no course.

    Who began anew is led on from the mails of the time before.
    """
    rows = outbox.lookup(connection, [delivery])
    standing = standing_behind(connection, visit, rows)
    if standing is None:
        return "gone" if rows else None
    own = next((e for e in standing.enrollments if e.id == rows[0]["enrollment_id"]), None)
    if own is None:
        return None
    going = [e for e in standing.enrollments if e.course == own.course and e.state != "cancelled"]
    journey = own if own in going or not going else going[-1]
    diary = courses.diary(connection, journey.id, visit.door.settings.zone)
    if diary is None:
        return None
    return _Behind(rows[0], diary)


def _enter(connection: Connection, visit: Visit, found: _Behind, day: date) -> str:
    row, enrollment = found.row, found.diary.enrollment_id
    fact = {
        "at": visit.now,
        "subscriber_id": row["subscriber_id"],
        "delivery_id": row["id"],
        "message_id": row["message_id"],
        "enrollment_id": enrollment,
    }
    if not events.mark(connection, fact, day):
        return "before"
    fallback = visit.door.settings.workspace.locale
    if courses.complete(connection, enrollment, visit.now, fallback):
        return "completed"
    return "first" if not found.diary.done else "entered"


def _take_back(connection: Connection, found: _Behind, day: date) -> str:
    enrollment = found.diary.enrollment_id
    if not events.unmark(connection, found.row["subscriber_id"], enrollment, day):
        return ""
    courses.reconsider(connection, enrollment)
    return "taken_back"


async def _answer(
    visit: Visit, found: _Behind | str | None, token: str, said: str = ""
) -> Response:
    if found is None:
        return visit.stale()
    if isinstance(found, str):
        return visit.note(found)
    diary, today = found.diary, _today(visit)
    if diary.is_cancelled:
        return visit.note("left")
    # Read by itself: everybody's days take a moment to count, and no writer waits for it.
    anew, all_ = visit.request.method == "POST", visit.door.together
    together = await visit.read(lambda c: all_.of(c, diary.course, visit.now, anew=anew))
    open_ = diary.open_on(today)
    done = len(diary.done)
    return visit.page(
        "done",
        422 if said == "shut" else 200,
        course=diary.title,
        said=said,
        done=number(done, visit.tag),
        days=number(diary.days, visit.tag) if done <= diary.days else "",
        bar=(min(done, diary.days), diary.days),
        begins=weekday_in_words(diary.first_on, visit.tag) if today < diary.first_on else "",
        is_over=not open_ and today >= diary.first_on,
        enter=_buttons(visit, [day for day in open_ if day not in diary.done], today),
        taken=_buttons(visit, [day for day in open_ if day in diary.done], today),
        listed=_listed(visit, diary, open_, today),
        together=_together(visit, together),
        links=_links(visit, diary, token),
    )


def _buttons(visit: Visit, days: Sequence[date], today: date) -> list[dict[str, str]]:
    return [
        {
            "day": day.isoformat(),
            "when": "today" if day == today else "yesterday",
            "name": weekday_in_words(day, visit.tag),
        }
        for day in days
    ]


def _listed(visit: Visit, diary: Diary, open_: Sequence[date], today: date) -> list[dict[str, str]]:
    def state(day: date) -> str:
        if day in diary.done:
            return "done"
        if day in open_:
            return "today" if day == today else "yesterday"
        return "to_come" if day > today else "none"

    return [
        {"day": weekday_in_words(day, visit.tag), "state": state(day)}
        for day in diary.listed_on(today)
    ]


def _together(visit: Visit, days: int) -> str:
    word = "together.one" if days == 1 else "together.many"
    return visit.say(word, n=number(days, visit.tag))


def _links(visit: Visit, diary: Diary, token: str) -> dict[str, str]:
    wish = visit.request.query_params.get("locale")
    query = "?" + urlencode({"locale": wish}, errors="replace") if wish else ""
    prefix = visit.door.prefix
    return {
        "course": f"{prefix}/course/{token}{query}",
        "certificate": f"{prefix}/certificate/{token}{query}",
        "together": f"{prefix}/together/{diary.course}{query}",
    }


def _today(visit: Visit) -> date:
    return visit.now.astimezone(visit.door.settings.zone).date()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
