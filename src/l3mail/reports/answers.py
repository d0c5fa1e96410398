"""What people answered, one by one: the answers that count, in lists and as a whole.

Owns the columns answers are listed and exported by, and the words for a stored value. Reads only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, func, or_, select, true

from l3mail.models import COURSE, DELIVERY, ENROLLMENT, EVENT, MESSAGE, SUBSCRIBER

COLUMNS = (
    "answered_at",
    "email",
    "course",
    "lesson",
    "question",
    "value",
    "words",
    "comment",
)
_PAGE = 1_000

_LESSON = func.coalesce(DELIVERY.c.slug, MESSAGE.c.slug)
_COMMENT = EVENT.c.data["comment"].as_string()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which answers; everything left out means all that count.

    `search` finds parts of an address, a name or a comment; `lesson` is a slug or its last part;
    `people` is a condition on who answered.
    """

    search: str | None = None
    course: str | None = None
    lesson: str | None = None
    question: str | None = None
    people: ColumnElement[bool] | None = None


def listing(connection: Connection, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` answers that are wanted, the newest last."""
    answers = _answers(wanted)
    query = select(answers).order_by(answers.c.at.desc(), answers.c.id.desc()).limit(limit)
    questions = _questions(connection)
    return [_view(dict(row), questions) for row in connection.execute(query).mappings()][::-1]


def count(connection: Connection, wanted: Wanted) -> int:
    """How many answers are wanted."""
    query = select(func.count()).select_from(_answers(wanted))
    return int(connection.execute(query).scalar_one())


def everything(connection: Connection, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """All answers that are wanted, oldest first."""
    questions = _questions(connection)
    answers = _answers(wanted)
    query = select(answers).order_by(answers.c.at, answers.c.id)
    for row in connection.execute(query.execution_options(yield_per=_PAGE)).mappings():
        yield _view(dict(row), questions)


_Questions = Mapping[int, Mapping[str, Mapping[str, Any]]]


def _answers(wanted: Wanted) -> Subquery:
    """The latest answer of each person, enrollment, text and question, as far as it is wanted."""
    whose = (EVENT.c.subscriber_id, EVENT.c.enrollment_id, _LESSON, EVENT.c.name)
    latest_first = (EVENT.c.at.desc(), EVENT.c.id.desc())
    ranked = (
        select(
            EVENT.c.id,
            EVENT.c.at,
            EVENT.c.data,
            EVENT.c.message_id,
            EVENT.c.name.label("question"),
            SUBSCRIBER.c.address.label("email"),
            COURSE.c.slug.label("course"),
            _LESSON.label("lesson"),
            func.row_number().over(partition_by=whose, order_by=latest_first).label("place"),
        )
        .select_from(EVENT)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .outerjoin(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .outerjoin(MESSAGE, MESSAGE.c.id == EVENT.c.message_id)
        .outerjoin(ENROLLMENT, ENROLLMENT.c.id == EVENT.c.enrollment_id)
        .outerjoin(COURSE, COURSE.c.id == ENROLLMENT.c.course_id)
        .where(
            EVENT.c.kind == "answered",
            SUBSCRIBER.c.erased_at.is_(None),
            SUBSCRIBER.c.restricted_at.is_(None),
            true() if wanted.people is None else wanted.people,
        )
        .add_columns(SUBSCRIBER.c.first_name, SUBSCRIBER.c.last_name, _COMMENT.label("comment"))
        .subquery("answers")
    )
    query = select(ranked).where(ranked.c.place == 1)
    if wanted.course:
        query = query.where(ranked.c.course == wanted.course)
    if wanted.lesson:
        query = query.where(_is_lesson(ranked.c.lesson, wanted.lesson))
    if wanted.question:
        query = query.where(ranked.c.question == wanted.question)
    for word in (wanted.search or "").split():
        places = (ranked.c[name] for name in ("email", "first_name", "last_name", "comment"))
        query = query.where(or_(*(place.icontains(word, autoescape=True) for place in places)))
    return query.subquery("wanted")


def _is_lesson(slug: ColumnElement[Any], lesson: str) -> ColumnElement[bool]:
    if "/" in lesson:
        return slug == lesson
    return slug.endswith(f"/{lesson}", autoescape=True)


def _questions(connection: Connection) -> _Questions:
    """What each version that somebody answered asks, by name."""
    answered = select(EVENT.c.message_id).where(EVENT.c.kind == "answered")
    query = select(MESSAGE.c.id, MESSAGE.c.compiled["questions"]).where(MESSAGE.c.id.in_(answered))
    return {
        number: {question["name"]: question for question in questions or ()}
        for number, questions in connection.execute(query)
    }


def _view(row: Mapping[str, Any], questions: _Questions) -> dict[str, Any]:
    value = row["data"].get("value")
    said = "" if value is None else str(value)
    question = questions.get(row["message_id"], {}).get(row["question"], {})
    return {
        "answered_at": row["at"],
        "email": row["email"],
        "course": row["course"] or "",
        "lesson": row["lesson"] or "",
        "question": row["question"] or "",
        "value": said,
        "words": _in_words(question.get("options", ()), said),
        "comment": row["data"].get("comment", ""),
    }


def _in_words(options: Sequence[Mapping[str, Any]], value: str) -> str:
    """What a value stands for: each letter of a quiz is an answer."""
    return "; ".join(option["text"] for option in options if option["value"] in value)
