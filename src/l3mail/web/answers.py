"""Questions of a mail, answered: a quiz with what is right and why, a feedback with one's words.

Owns the pages of `/quiz` and `/feedback`. Answering needs no consent to tracking: somebody pressed
a button that said what it does.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import courses, events, outbox, publishing
from l3mail.addresses import clean_name
from l3mail.events import Sheet
from l3mail.models import MESSAGE
from l3mail.web.acts import act_of, hold, standing_behind
from l3mail.web.door import Form, Visit, Visiting, one

router = APIRouter()

LONGEST_COMMENT = 2_000
"""Characters somebody may add in their own words."""

_JOINERS = "\u200c\u200d"

_Question = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question of a mail, to the person it was sent to; `given` is what counts so far."""

    row: Mapping[str, Any]
    locale: str
    questions: Sequence[_Question]
    question: _Question
    given: Mapping[str, Mapping[str, Any]]

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.row["subscriber_id"], self.row["enrollment_id"], self.row["slug"])

    @property
    def several(self) -> bool:
        return len(_right(self.question)) > 1


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a form said: the value of an answer, "" where it is none, and a comment."""

    value: str
    comment: str

    @property
    def faults(self) -> dict[str, str]:
        """The word for what is wrong, by field."""
        found = {} if self.value else {"answer": "errors.choice_broken"}
        if len(self.comment) > LONGEST_COMMENT:
            found["comment"] = "errors.too_long"
        return found


@router.get("/quiz/{token:path}")
async def show_quiz(visit: Visiting, token: str) -> Response:
    """Ask; a scanner that opens each answer's link has answered nothing."""
    return await _show(visit, token, "quiz")


@router.post("/quiz/{token:path}")
async def take_quiz(visit: Visiting, token: str) -> Response:
    """Store an answer, and tell what is right and why."""
    return await _take(visit, token, "quiz")


@router.get("/feedback/{token:path}")
async def show_feedback(visit: Visiting, token: str) -> Response:
    """Ask for a mark."""
    return await _show(visit, token, "feedback")


@router.post("/feedback/{token:path}")
async def take_feedback(visit: Visiting, token: str) -> Response:
    """Store a mark, and a comment where the question wants one."""
    return await _take(visit, token, "feedback")


async def _show(visit: Visit, token: str, kind: str) -> Response:
    query = visit.request.query_params
    delivery, of = act_of(visit, token), clean_name(query.get("of", ""))
    if delivery is None:
        return visit.stale()
    asked = await visit.read(lambda connection: _asked(connection, visit, delivery, kind, of))
    if asked is None:
        return visit.stale()
    before = asked.given.get(asked.question["name"], {})
    picked = _value(asked, [query.get("pick", "")]) or str(before.get("value", ""))
    reply = _Reply(picked, str(before.get("comment", "")))
    return _form(visit, asked, reply, before=bool(before))


async def _take(visit: Visit, token: str, kind: str) -> Response:
    form = await visit.form()
    delivery = act_of(visit, token)
    of = clean_name(one(form, "of") or visit.request.query_params.get("of", ""))
    if delivery is None:
        return visit.stale()

    def verb(connection: Connection) -> tuple[_Asked, _Reply, bool] | None:
        hold(connection, delivery)
        asked = _asked(connection, visit, delivery, kind, of)
        if asked is None:
            return None
        reply = _reply(asked, form)
        return asked, reply, not reply.faults and _store(connection, visit, asked, reply)

    found = await visit.write(verb)
    if found is None:
        return visit.stale()
    asked, reply, completed = found
    if reply.faults:
        return _form(visit, asked, reply, faults=reply.faults)
    return _result(visit, asked, reply, token, completed=completed)


def _asked(
    connection: Connection, visit: Visit, delivery: int, kind: str, of: str
) -> _Asked | None:
    """The question of that name in the very version a delivery was sent in, if there is one.

    Without a name it is the first of its kind that is not answered yet, else the first.
    """
    rows = outbox.lookup(connection, [delivery])
    if standing_behind(connection, visit, rows) is None or rows[0]["message_id"] is None:
        return None
    text = publishing.load(connection, [rows[0]["message_id"]]).get(rows[0]["message_id"])
    questions = text.compiled.get("questions", []) if text else []
    own = [question for question in questions if question["kind"] == kind]
    if text is None or not own:
        return None
    first = _Asked(rows[0], text.locale, questions, own[0], {})
    given = events.latest(connection, first.sheet)
    if of:
        named = [question for question in own if question["name"] == of]
    else:
        named = [question for question in own if question["name"] not in given] or own
    return _Asked(rows[0], text.locale, questions, named[0], given) if named else None


def _reply(asked: _Asked, form: Form) -> _Reply:
    comment = _own_words(one(form, "comment")) if asked.question["comment"] else ""
    return _Reply(_value(asked, form.get("answer", [])), comment)


def _value(asked: _Asked, chosen: Sequence[str]) -> str:
    """What is stored of a choice: the letters of a quiz in their order, a mark; "" for none."""
    offered = [option["value"] for option in asked.question["options"]]
    if not set(chosen) <= set(offered) or (len(set(chosen)) > 1 and not asked.several):
        return ""
    return "".join(value for value in offered if value in chosen)


def _own_words(text: str) -> str:
    """A comment as it may be kept: its lines, and nothing in them that is not seen."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(
        one
        for one in lines
        if one == "\n" or one in _JOINERS or unicodedata.category(one)[0] != "C"
    ).strip()


def _store(connection: Connection, visit: Visit, asked: _Asked, reply: _Reply) -> bool:
    """Add the answer; whether the course is completed by it."""
    message_id = asked.row["message_id"]
    digest = connection.execute(select(MESSAGE.c.hash).where(MESSAGE.c.id == message_id)).scalar()
    data = {"value": reply.value, "message_hash": digest}
    fact = {
        "at": visit.now,
        "delivery_id": asked.row["id"],
        "message_id": message_id,
        "name": asked.question["name"],
        "data": data | ({"comment": reply.comment} if reply.comment else {}),
    }
    events.answer(connection, asked.sheet, fact)
    enrollment, fallback = asked.row["enrollment_id"], visit.door.settings.workspace.locale
    if enrollment is None or asked.question["kind"] != "quiz":
        return False
    return courses.complete(connection, enrollment, visit.now, fallback)


def _form(
    visit: Visit,
    asked: _Asked,
    reply: _Reply,
    *,
    before: bool = False,
    faults: Mapping[str, str] | None = None,
) -> Response:
    question, faults = asked.question, faults or {}
    return visit.page(
        "question",
        422 if faults else 200,
        kind=question["kind"],
        question=question,
        lang=asked.locale,
        several=asked.several,
        chosen=reply.value,
        comment=reply.comment,
        longest=LONGEST_COMMENT,
        before=before,
        errors={name: visit.say(word, limit=LONGEST_COMMENT) for name, word in faults.items()},
    )


def _result(visit: Visit, asked: _Asked, reply: _Reply, token: str, *, completed: bool) -> Response:
    question, name = asked.question, asked.question["name"]
    open_ = [one for one in asked.questions if one["name"] not in {*asked.given, name}]
    return visit.page(
        "answered",
        kind=question["kind"],
        question=question,
        lang=asked.locale,
        verdict=_verdict(reply.value, _right(question)) if question["kind"] == "quiz" else "thanks",
        chosen=reply.value,
        explanation=[part for part in question["explanation"].split("\n\n") if part],
        next=_link(visit, open_[0], token) if open_ else "",
        again=_link(visit, question, token),
        course=f"{visit.door.prefix}/course/{token}" if asked.row["enrollment_id"] else "",
        completed=completed,
        certificate=f"{visit.door.prefix}/certificate/{token}" if completed else "",
    )


def _verdict(chosen: str, right: str) -> str:
    if chosen == right:
        return "right"
    return "partly" if set(chosen) & set(right) else "wrong"


def _right(question: _Question) -> str:
    return "".join(option["value"] for option in question["options"] if option["right"])


def _link(visit: Visit, question: _Question, token: str) -> str:
    wanted = {"of": question["name"]}
    if locale := visit.request.query_params.get("locale"):
        wanted["locale"] = locale
    query = urlencode(wanted, errors="replace")
    return f"{visit.door.prefix}/{question['kind']}/{token}?{query}"
