"""From a segment's tree to SQL over subscribers: who is meant, and of whom nobody knows.

Owns what each attribute and function asks of the tables. Every moment and text is a bound value;
nothing reads a clock.

Each part of a tree becomes a pair of conditions that are never NULL: it is true, it is false.
`not` swaps them, `and` is true where all are true and false where one is false; where neither
holds, the answer is unknown.
"""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from l3mail.calendars import wall_to_utc
from l3mail.errors import NaiveDatetimeError, SegmentError, quoted
from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK,
    MESSAGE,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.segments.language import Call, Combined, Compare, Count, Expression, Node, Not, Truth

SETTLED_AFTER: Final = timedelta(minutes=10)
"""How long after a click its verdict counts: a scanner's other clicks may still come."""

SIGNS_OF_LIFE: Final = ("answered", "interested", "done", "replied", "confirmed")
"""Acts of a person that, beside opening and clicking, end a time of inactivity."""

_BEHAVIOUR: Final = frozenset({"opened", "clicked", "inactive_days"})
_FARTHEST: Final = 500_000  # days; dates end soon after, and nobody is that old

Column = ColumnElement[Any]

# Under names of their own: a planner selects from the same tables, and an EXISTS that named
# them alike would ask of anybody instead of this person.
_CONSENT = CONSENT.alias("consent_of_segment")
_COURSE = COURSE.alias("course_of_segment")
_DELIVERY = DELIVERY.alias("delivery_of_segment")
_ENROLLMENT = ENROLLMENT.alias("enrollment_of_segment")
_EVENT = EVENT.alias("event_of_segment")
_LINK = LINK.alias("link_of_segment")
_MESSAGE = MESSAGE.alias("message_of_segment")
_STREAM = STREAM.alias("stream_of_segment")
_SUBSCRIPTION = SUBSCRIPTION.alias("subscription_of_segment")
_LATER = EVENT.alias("later_answer")
_LATER_DELIVERY = DELIVERY.alias("delivery_of_later_answer")
_LATER_MESSAGE = MESSAGE.alias("message_of_later_answer")


@dataclass(frozen=True, slots=True)
class Question:
    """Two conditions on a row of SUBSCRIBER, which the statement must select from by that name.

    `yes` holds for exactly those selected, `unknown` for those of whom it can't be told; never
    both, and neither for an erased person. Neither is ever NULL.
    """

    yes: ColumnElement[bool]
    unknown: ColumnElement[bool]


def compile(  # noqa: A001 - the word for it; this module has no use for Python's
    expression: Expression,
    now: datetime,
    zone: ZoneInfo,
    tracking_mode: str,
    fallback_locale: str | None = None,
) -> Question:
    """Build the question as it stands at `now`, in the local days of `zone`.

    `tracking_mode` is the workspace's: unless it is "consent", behaviour is unknown of everybody.
    `fallback_locale` stands for the locale of those who named none. Raises `SegmentError` where
    the expression was parsed without the segments it names.
    """
    if now.tzinfo is None:
        raise NaiveDatetimeError(now)
    answer = _Compiling(now, zone, tracking_mode, fallback_locale).answer(expression.tree)
    here = SUBSCRIBER.c.erased_at.is_(None)
    if not observes(expression.tree):
        return Question(and_(here, answer.yes), false())
    return Question(and_(here, answer.yes), and_(here, not_(answer.yes), not_(answer.no)))


def bits(questions: Sequence[Question], first: int = 0) -> ColumnElement[int]:
    """One number of several questions: bit `first` is set where the first selects, and so on."""
    held = [case((one.yes, 1 << number), else_=0) for number, one in enumerate(questions, first)]
    return functools.reduce(operator.add, held)


class _Answer(NamedTuple):
    yes: Column
    no: Column


class _JsonText(FunctionElement[str]):
    """A member of a JSON object as text, alike on both databases; NULL where it is missing."""

    inherit_cache = True
    type = String()


class _JsonNumber(FunctionElement[float]):
    """A member of a JSON object that is a number; NULL for everything else."""

    inherit_cache = True
    type = Double()


@compiles(_JsonText, "postgresql")
def _postgres_text(element: _JsonText, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} ->> CAST({key} AS TEXT))"


@compiles(_JsonText)
def _sqlite_text(element: _JsonText, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    path = f"'$.' || {key}"
    # SQLite would make true and false 1 and 0.
    return (
        f"CASE json_type({column}, {path}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" ELSE CAST(json_extract({column}, {path}) AS TEXT) END"
    )


@compiles(_JsonNumber, "postgresql")
def _postgres_number(element: _JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    key = f"CAST({key} AS TEXT)"
    # JSON knows numbers that would make the cast fail, and with it everybody's answer.
    number = f"greatest(least(CAST({column} ->> {key} AS NUMERIC), 1e18), -1e18)"
    return (
        f"CASE WHEN jsonb_typeof({column} -> {key}) = 'number'"
        f" THEN CAST({number} AS DOUBLE PRECISION) END"
    )


@compiles(_JsonNumber)
def _sqlite_number(element: _JsonNumber, compiler: SQLCompiler, **kw: Any) -> str:
    column, key = (compiler.process(part, **kw) for part in element.clauses)
    path = f"'$.' || {key}"
    return (
        f"CASE WHEN json_type({column}, {path}) IN ('integer', 'real')"
        f" THEN json_extract({column}, {path}) END"
    )


def observes(node: Node) -> bool:
    """Whether a tree asks for behaviour anywhere."""
    match node:
        case Not(item):
            return observes(item)
        case Combined(_, items):
            return any(observes(item) for item in items)
        case Compare(name, declared=False):
            return name in _BEHAVIOUR
        case Call(function):
            return function in _BEHAVIOUR
    return False


class _Compiling:
    """One call of `compile`: its moment and its day."""

    def __init__(
        self, now: datetime, zone: ZoneInfo, tracking_mode: str, fallback_locale: str | None
    ) -> None:
        self.now = now
        self.zone = zone
        self.today = now.astimezone(zone).date()
        self.fallback_locale = fallback_locale
        self.seen = SUBSCRIBER.c.tracking if tracking_mode == "consent" else false()

    def answer(self, node: Node) -> _Answer:
        match node:
            case Truth(value):
                return _told(true() if value else false())
            case Not(item):
                inner = self.answer(item)
                return _Answer(inner.no, inner.yes)
            case Combined(every, items):
                answers = [self.answer(item) for item in items]
                yes, no = [a.yes for a in answers], [a.no for a in answers]
                return _Answer(and_(*yes), or_(*no)) if every else _Answer(or_(*yes), and_(*no))
            case Compare():
                compared = self.compared(node)
                return self.observed(compared) if observes(node) else _told(compared)
            case Count(call, operator, values):
                return _told(_counted(_COUNTS[call.function](*call.arguments), operator, values))
            case Call(function, arguments):
                asked = self.asked(function, arguments)
                return self.observed(asked) if function in _BEHAVIOUR else _told(asked)

    def observed(self, condition: Column) -> _Answer:
        """What only those know of whom we may take note."""
        return _Answer(and_(self.seen, condition), and_(self.seen, not_(condition)))

    # -- attributes

    def compared(self, node: Compare) -> Column:
        if node.kind == "days":
            return self.days(node)
        column = self.attribute(node)
        if node.operator != "in":
            (value,) = node.values
            order = column.bool_op(node.operator)(_bound(self.stored(node, value), column))
            return and_(column.is_not(None), order)
        values = [self.stored(node, value) for value in node.values if value != ""]
        grounds = []
        if values:
            among = column.in_(bindparam(None, values, type_=column.type, expanding=True))
            grounds.append(and_(column.is_not(None), among))
        if "" in node.values:
            grounds.append(column.is_(None))
        return or_(*grounds)

    def attribute(self, node: Compare) -> Column:
        """The value of one person, NULL where it is missing."""
        if node.declared:
            return _declared(node)
        if node.name == "age":
            return self.age()
        if node.name == "birthday":
            return SUBSCRIBER.c.birth_month * 100 + SUBSCRIBER.c.birth_day
        if node.name == "email":
            return func.lower(SUBSCRIBER.c.address, type_=String)
        if node.name == "tracking":
            return SUBSCRIBER.c.tracking
        given = func.nullif(SUBSCRIBER.c[node.name], "", type_=String)
        if node.name == "locale" and self.fallback_locale is not None:
            return func.coalesce(given, self.fallback_locale, type_=String)
        return given

    def stored(self, node: Compare, value: Any) -> Any:
        """A value as the tables hold it."""
        if node.kind == "birthday":
            month, _, day = value.removeprefix("--").partition("-")
            return int(month) * 100 + int(day)
        if node.kind == "whole":
            return _within(value)
        if node.name == "email" and not node.declared:
            return value.lower()
        if node.kind == "bool" and node.declared:
            return "true" if value else "false"
        return value

    def age(self) -> Column:
        """Whole years; who was born on 29 February has had the day on 1 March (§ 188 BGB)."""
        day = SUBSCRIBER.c.birth_month * 100 + SUBSCRIBER.c.birth_day
        had = func.coalesce(day <= self.today.month * 100 + self.today.day, false())
        years: Column = literal(self.today.year) - SUBSCRIBER.c.birth_year

        return case((and_(day.is_not(None), had), years), (day.is_not(None), years - 1))

    def days(self, node: Compare) -> Column:
        """Whole local days that passed since a moment, against each value."""
        past = self.joined if node.name == "joined_days" else self.inactive
        tests: Mapping[str, Callable[[int], Column]] = {
            "in": lambda days: and_(past(days), not_(past(days + 1))),
            ">=": past,
            ">": lambda days: past(days + 1),
            "<": lambda days: not_(past(days)),
            "<=": lambda days: not_(past(days + 1)),
        }
        return or_(*(tests[node.operator](int(value)) for value in node.values))

    def joined(self, days: int) -> Column:
        return SUBSCRIBER.c.created_at < self.since(days)

    def inactive(self, days: int) -> Column:
        """Whether that many days passed since the last sign of life.

        Before somebody joined, or last allowed tracking, there was nothing we could have seen.
        """
        since = self.since(days)
        alive = select(_EVENT.c.id).where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind.in_(("opened", "clicked", *SIGNS_OF_LIFE)),
            _EVENT.c.at >= since,
            or_(_EVENT.c.verdict == "human", _EVENT.c.kind.in_(SIGNS_OF_LIFE)),
        )
        allowed = select(_CONSENT.c.seq).where(
            _CONSENT.c.subscriber_id == SUBSCRIBER.c.id,
            _CONSENT.c.act == "tracking_granted",
            _CONSENT.c.at >= since,
        )
        return and_(SUBSCRIBER.c.created_at < since, not_(_any(alive)), not_(_any(allowed)))

    def since(self, days: int) -> datetime:
        """The moment before which something is at least so many local days ago."""
        day = self.today - timedelta(days=_within(days) - 1)
        return wall_to_utc(day, time(0), self.zone)

    # -- functions

    def asked(self, function: str, arguments: Sequence[str]) -> Column:
        match function:
            case "stream":
                return _confirmed(*arguments)
            case "enrolled":
                return _enrolled(arguments[0], _ENROLLMENT.c.state.in_(("active", "paused")))
            case "finished":
                return _enrolled(arguments[0], _ENROLLMENT.c.state == "finished")
            case "completed":
                return _enrolled(arguments[0], _ENROLLMENT.c.completed_at.is_not(None))
            case "received":
                return _received(*arguments)
            case "opened":
                return _any(_about(arguments[0], "opened").where(_EVENT.c.verdict == "human"))
            case "clicked":
                return _clicked(self.now - SETTLED_AFTER, *arguments)
            case "answered":
                return _answered(*arguments)
            case "interested":
                return _interested(*arguments)
        raise SegmentError(f"{quoted(arguments[0])} is a segment this expression was read without")


def _told(condition: Column) -> _Answer:
    return _Answer(condition, not_(condition))


def _any(rows: Select[Any]) -> Column:
    """Whether there is such a row of this person, whatever else the statement selects from."""
    return exists(rows.correlate(SUBSCRIBER))


def _within(years_or_days: int) -> int:
    """A number no person reaches, instead of one no database or calendar can count to."""
    return max(-_FARTHEST, min(years_or_days, _FARTHEST))


def _bound(value: Any, column: Column) -> Column:
    return literal(value, column.type)


def _declared(node: Compare) -> Column:
    if node.kind == "number":
        return _JsonNumber(SUBSCRIBER.c.attributes, literal(node.name, String))
    text = _JsonText(SUBSCRIBER.c.attributes, literal(node.name, String))
    if node.kind == "bool":
        return case((text.in_(("true", "false")), text))
    if node.kind == "date":
        return case((text.like("____-__-__"), text))
    return func.nullif(text, "", type_=String)


def _confirmed(stream: str) -> Column:
    named = select(_STREAM.c.id).where(_STREAM.c.slug == stream).scalar_subquery()
    return _any(
        select(_SUBSCRIPTION.c.id).where(
            _SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id,
            _SUBSCRIPTION.c.stream_id == named,
            _SUBSCRIPTION.c.state == "confirmed",
        )
    )


def _enrolled(course: str, condition: Column) -> Column:
    named = select(_COURSE.c.id).where(_COURSE.c.slug == course).scalar_subquery()
    return _any(
        select(_ENROLLMENT.c.id).where(
            _ENROLLMENT.c.subscriber_id == SUBSCRIBER.c.id,
            _ENROLLMENT.c.course_id == named,
            condition,
        )
    )


def _received(slug: str) -> Column:
    return _any(
        select(_DELIVERY.c.id).where(
            _DELIVERY.c.subscriber_id == SUBSCRIBER.c.id,
            _DELIVERY.c.slug == slug,
            _DELIVERY.c.state == "accepted",
        )
    )


def _about(slug: str, kind: str) -> Select[Any]:
    """Events of a kind, of one person, that belong to a text, by its delivery or its version."""
    return (
        select(_EVENT.c.id)
        .outerjoin(_DELIVERY, _DELIVERY.c.id == _EVENT.c.delivery_id)
        .outerjoin(_MESSAGE, _MESSAGE.c.id == _EVENT.c.message_id)
        .where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == kind,
            func.coalesce(_DELIVERY.c.slug, _MESSAGE.c.slug) == slug,
        )
    )


def _clicked(until: datetime, slug: str, link: str | None = None) -> Column:
    clicks = _about(slug, "clicked").where(_EVENT.c.verdict == "human", _EVENT.c.at <= until)
    if link is not None:
        clicks = clicks.join(_LINK, _LINK.c.id == _EVENT.c.link_id).where(_LINK.c.name == link)
    return _any(clicks)


def _answered(slug: str, question: str, value: str | None = None) -> Column:
    """Whether somebody answered; with a value, whether an enrollment's latest answer is that."""
    answers = _about(slug, "answered").where(_EVENT.c.name == question)
    if value is None:
        return _any(answers)
    later = (
        select(_LATER.c.id)
        .outerjoin(_LATER_DELIVERY, _LATER_DELIVERY.c.id == _LATER.c.delivery_id)
        .outerjoin(_LATER_MESSAGE, _LATER_MESSAGE.c.id == _LATER.c.message_id)
        .where(
            _LATER.c.subscriber_id == SUBSCRIBER.c.id,
            _LATER.c.kind == "answered",
            func.coalesce(_LATER_DELIVERY.c.slug, _LATER_MESSAGE.c.slug) == slug,
            _LATER.c.name == question,
            _LATER.c.enrollment_id.is_not_distinct_from(_EVENT.c.enrollment_id),
            or_(
                _LATER.c.at > _EVENT.c.at,
                and_(_LATER.c.at == _EVENT.c.at, _LATER.c.id > _EVENT.c.id),
            ),
        )
        .correlate(SUBSCRIBER, _EVENT)
    )
    return _any(answers.where(_member(_EVENT, "value") == value, not_(exists(later))))


def _counted(column: Column, operator: str, values: Sequence[int]) -> Column:
    if operator == "in":
        return column.in_([_within(value) for value in values])
    return column.bool_op(operator)(literal(_within(values[0]), column.type))


def _done_days(course: str) -> Column:
    """How many days a person has done in a course, whether they began it once or again."""
    return (
        select(func.count(_EVENT.c.name.distinct()))
        .join(_ENROLLMENT, _ENROLLMENT.c.id == _EVENT.c.enrollment_id)
        .join(_COURSE, _COURSE.c.id == _ENROLLMENT.c.course_id)
        .where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == "done",
            _COURSE.c.slug == course,
        )
        .correlate(SUBSCRIBER)
        .scalar_subquery()
    )


_COUNTS: Final[Mapping[str, Callable[..., Column]]] = {"done_days": _done_days}


def _interested(name: str) -> Column:
    return _any(
        select(_EVENT.c.id).where(
            _EVENT.c.subscriber_id == SUBSCRIBER.c.id,
            _EVENT.c.kind == "interested",
            _EVENT.c.name == name,
        )
    )


def _member(event: Any, key: str) -> Column:
    return _JsonText(event.c.data, literal(key, String))
