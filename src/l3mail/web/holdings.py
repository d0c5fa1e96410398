"""What we hold on a person: shown to them in plain words, and handed over as a copy.

Owns the words for it. What is held, the copy says; what is for programs only, such as what the
mail server answered, stands in the copy alone.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import privacy, publishing
from l3mail.errors import RenderingError
from l3mail.locales import canonical, long_date, own_name
from l3mail.models import DELIVERY
from l3mail.publishing import Published
from l3mail.web import fresh
from l3mail.web.asking import in_words
from l3mail.web.door import Visit, Visiting
from l3mail.web.fresh import Fresh
from l3mail.web.letters import neutral_subject

MOST_MAILS = 20
MOST_MEASURED = 20
MOST_ACTS = 20
_AGREED = ("requested", "confirmed", "attested", "tracking_granted")
"""The acts beside which a wording stood."""

_HAND_OVER = ("accepted", "uncertain")
_Fact = tuple[str, str]
_Row = Mapping[str, Any]

router = APIRouter()


@router.get("/preferences/{token}/data")
async def show_data(visit: Visiting, token: str) -> Response:
    """Everything, in the words of the page."""

    def verb(connection: Connection, found: Fresh) -> tuple[_Row, list[_Row], dict[int, Published]]:
        held = privacy.copy_of(connection, found.standing.subscriber_id, visit.door.settings.zone)
        mails = _newest(connection, found.standing.subscriber_id)
        ids = {row["message_id"] for row in mails if row["message_id"]}
        return held, mails, publishing.load(connection, ids)

    seen = await fresh.reads(visit, token, verb)
    if seen is None:
        return await fresh.turned_away(visit, token)
    found, (held, mails, texts) = seen
    titles = {row["stream"]: row["title"] for row in held["subscriptions"]}
    sent = sum(one["first_tried_at"] is not None for one in held["mails"])
    return visit.page(
        "data",
        home=found.home,
        person=_person(visit, held["person"]),
        barred=_barred(visit, held["suppression"]),
        streams=[_stream(visit, row) for row in held["subscriptions"]],
        asked=[_asked(visit, row, titles) for row in held["signups"]],
        courses=[_course(visit, row) for row in held["enrollments"]],
        interests=_interests(visit, held["acts"]),
        answers=[_answer(visit, row) for row in held["answers"]],
        acts=_acts(visit, held["acts"]),
        consents=[_consent(visit, row, titles) for row in held["consents"]],
        mails=[_mail(visit, row, texts) for row in mails],
        more_mails=max(sent - len(mails), 0),
        measured=[_measured(visit, row) for row in held["measured"][-MOST_MEASURED:][::-1]],
        more_measured=max(len(held["measured"]) - MOST_MEASURED, 0),
        tracked=found.standing.tracking,
    )


@router.post("/preferences/{token}/copy")
async def take_copy(visit: Visiting, token: str) -> Response:
    """The copy as a file that programs read."""

    def verb(connection: Connection, found: Fresh) -> dict[str, Any]:
        zone = visit.door.settings.zone
        return privacy.copy_of(connection, found.standing.subscriber_id, zone)

    seen = await fresh.reads(visit, token, verb)
    if seen is None:
        return await fresh.turned_away(visit, token)
    headers = {"Content-Disposition": 'attachment; filename="l3mail-copy.json"'}
    text = json.dumps(seen[1], ensure_ascii=False, indent=2) + "\n"
    return Response(text.encode("utf-8", "replace"), media_type="application/json", headers=headers)


def _newest(connection: Connection, subscriber_id: int) -> list[_Row]:
    """The last mails that were begun, newest first."""
    rows = connection.execute(
        select(
            DELIVERY.c.id,
            DELIVERY.c.slug,
            DELIVERY.c.message_id,
            DELIVERY.c.first_started_at,
            DELIVERY.c.state,
        )
        .where(DELIVERY.c.subscriber_id == subscriber_id, DELIVERY.c.first_started_at.is_not(None))
        .order_by(DELIVERY.c.id.desc())
        .limit(MOST_MAILS)
    )
    return [dict(row._mapping) for row in rows]


def _on(visit: Visit, moment: str | datetime | None) -> str:
    """The day of a moment, in words; nothing for none."""
    if moment is None:
        return ""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return long_date(at.astimezone(visit.door.settings.zone).date(), visit.tag)


def _facts(visit: Visit, page: str, *told: tuple[str, object]) -> list[_Fact]:
    """What is there of it, under its words."""
    return [(visit.say(f"{page}.{name}"), str(value)) for name, value in told if value]


def _person(visit: Visit, person: _Row) -> list[_Fact]:
    attributes = visit.door.settings.attributes
    facts = [(visit.say("subscribe.email"), str(person["email"]))]
    facts += [
        (visit.say(f"subscribe.{name}"), in_words(visit, name, person[name]))
        for name in ("salutation", "first_name", "last_name", "district", "birthday")
        if person[name]
    ]
    for name, value in person["attributes"].items():
        declared = attributes.get(name)
        shown = in_words(visit, name, value)
        facts.append(((declared.title if declared else "") or name, shown))
    language = person["language"]
    facts += _facts(
        visit,
        "held",
        ("language", _tongue(visit, language) if language else ""),
        ("known_since", _on(visit, person["known_since"])),
        ("restricted_since", _on(visit, person["restricted_since"])),
    )
    return facts


def _tongue(visit: Visit, tag: str) -> str:
    words = visit.door.words
    if canonical(tag) in words.locales:
        return words.say(tag, "house.language")
    return own_name(tag)


def _barred(visit: Visit, row: _Row | None) -> str:
    if row is None:
        return ""
    return visit.say(f"held.barred_{row['reason']}", day=_on(visit, row["since"]))


def _stream(visit: Visit, row: _Row) -> tuple[str, list[_Fact]]:
    facts = [(visit.say("held.state"), visit.say(f"state.{row['state']}"))]
    facts += _facts(
        visit,
        "held",
        ("asked_on", _on(visit, row["since"])),
        ("confirmed_on", _on(visit, row["confirmed_at"])),
        ("left_on", _on(visit, row["unsubscribed_at"])),
        ("source", row["source"]),
    )
    return row["title"], facts


def _asked(visit: Visit, row: _Row, titles: Mapping[str, str]) -> tuple[str, list[_Fact]]:
    """One sign-up: when, for what, by which form, and what was said in it."""
    said = row["said"]
    own = {name: value for name, value in said.items() if isinstance(value, str)}
    facts = _facts(
        visit,
        "held",
        ("for", ", ".join(titles.get(slug, slug) for slug in row["streams"])),
        ("form", _form(visit, row["form"])),
        ("source", row["source"]),
        ("confirmed_on", _on(visit, row["confirmed_at"])),
    )
    facts += [(visit.say(f"subscribe.{name}"), in_words(visit, name, v)) for name, v in own.items()]
    declared = visit.door.settings.attributes
    facts += [
        ((declared[name].title if name in declared else "") or name, in_words(visit, name, value))
        for name, value in said.get("attributes", {}).items()
    ]
    return _on(visit, row["requested_at"]), facts


def _form(visit: Visit, form: object) -> str:
    known = {"web", "api", "operator", "import", "preferences"}
    return visit.say(f"held.form_{form}") if form in known else str(form or "")


def _course(visit: Visit, row: _Row) -> tuple[str, list[_Fact]]:
    came = sum(lesson["state"] in _HAND_OVER for lesson in row["lessons"])
    paper = row["certificate"]
    facts = [(visit.say("held.state"), visit.say(f"held.course_{row['state']}"))]
    facts += _facts(
        visit,
        "held",
        ("started_on", _on(visit, row["started_at"])),
        ("received", came),
        ("next_on", _on(visit, row["next_lesson_at"]) if row["state"] == "active" else ""),
        ("paused_until", _on(visit, row["paused_until"]) if row["state"] == "paused" else ""),
        ("completed_on", _on(visit, row["completed_at"])),
        ("certificate", f"{paper['name']}, {paper['code']}" if paper else ""),
    )
    return row["title"], facts


def _interests(visit: Visit, acts: Sequence[_Row]) -> list[_Fact]:
    last = {row["name"]: row["at"] for row in acts if row["act"] == "interested"}
    return [(str(name), _on(visit, at)) for name, at in last.items()]


def _answer(visit: Visit, row: _Row) -> tuple[str, list[_Fact]]:
    said = row["said"]
    facts = _facts(
        visit,
        "held",
        ("answer", row["answer_text"] or said.get("value")),
        ("comment", said.get("comment")),
        ("day", _on(visit, row["at"])),
    )
    return row["question_text"] or row["question"], facts


def _acts(visit: Visit, acts: Sequence[_Row]) -> dict[str, Any]:
    """Days of learning, and what came back from the address; the rest stands elsewhere."""
    days = [row for row in acts if row["act"] == "done"]
    told = [row for row in acts if row["act"] in {"replied", "bounced", "complained"}]
    shown = told[-MOST_ACTS:][::-1]
    return {
        "days": len(days),
        "told": [(_on(visit, row["at"]), visit.say(f"held.act_{row['act']}")) for row in shown],
        "more": len(told) - len(shown),
    }


def _consent(visit: Visit, row: _Row, titles: Mapping[str, str]) -> dict[str, Any]:
    evidence = row["evidence"]
    streams = [titles.get(slug, slug) for slug in evidence.get("streams", ())]
    wordings = evidence.get("wordings", ()) if row["act"] in _AGREED else ()
    return {
        "day": _on(visit, row["at"]),
        "act": visit.say(f"held.consent_{row['act']}"),
        "facts": _facts(
            visit,
            "held",
            ("for", ", ".join(streams)),
            ("form", _form(visit, evidence.get("form"))),
            ("source", evidence.get("source")),
            ("note", evidence.get("note")),
        ),
        "texts": [one["text"] for one in wordings if one.get("text")],
    }


def _mail(visit: Visit, row: _Row, texts: Mapping[int, Published]) -> tuple[str, str, str]:
    text = texts.get(row["message_id"])
    try:
        subject = neutral_subject(visit, text) if text else row["slug"]
    except RenderingError:
        subject = row["slug"]
    return _on(visit, row["first_started_at"]), subject, visit.say(f"held.mail_{row['state']}")


def _measured(visit: Visit, row: _Row) -> tuple[str, str, str]:
    what = visit.say(f"held.measured_{row['act']}")
    return _on(visit, row["at"]), what, row["link_name"] or row["link"] or row["text"] or ""
