"""From a segment's tree to SQL over subscribers: who is meant, and of whom nobody knows.

Owns what each attribute and function asks of the tables. Every moment and text is a bound value;
nothing reads a clock.

Each part of a tree becomes a pair of conditions that are never NULL: it is true, it is false.
`not` swaps them, `and` is true where all are true and false where one is false; where neither
holds, the answer is unknown.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    ColumnElement,
    String,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)

from l3mail.calendars import wall_to_utc
from l3mail.errors import NaiveDatetimeError, SegmentError, quoted
from l3mail.models import SUBSCRIBER
from l3mail.segments import acts, days, kinds
from l3mail.segments.days import Span, Today
from l3mail.segments.language import (
    Call,
    Combined,
    Compare,
    Count,
    Expression,
    Named,
    Node,
    Not,
    Truth,
)

SETTLED_AFTER: Final = timedelta(minutes=10)
"""How long after a click its verdict counts: a scanner's other clicks may still come."""

_BEHAVIOUR: Final = frozenset({"opened", "clicked", "inactive_days"})
_FARTHEST: Final = 500_000  # days; dates end soon after, and nobody is that old
_LONG_AGO, _FAR_OFF = date(1900, 1, 1), date(2999, 12, 31)  # between them everybody joins

_ORDERS: Final[Mapping[str, Callable[[int, Sequence[int]], bool]]] = {
    "in": lambda number, values: number in values,
    "<": lambda number, values: number < values[0],
    "<=": lambda number, values: number <= values[0],
    ">": lambda number, values: number > values[0],
    ">=": lambda number, values: number >= values[0],
}

Column = ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Two conditions on a row of SUBSCRIBER, which the statement must select from by that name.

    `yes` holds for exactly those selected, `unknown` for those of whom it can't be told; never
    both, and neither for an erased person. Neither is ever NULL. `is_of_values` where what makes
    something unknown stands in the person's own row.
    """

    yes: ColumnElement[bool]
    unknown: ColumnElement[bool]
    is_of_values: bool = False


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
    compiling = Compiling(now, zone, tracking_mode, fallback_locale)
    answer = compiling.answer(expression.tree)
    here = is_here()
    asked = [one for one in kinds.comparisons(expression.tree) if kinds.may_be_of_another(one)]
    doubts = [kinds.is_of_another(one.name, one.kind) for one in asked]
    observing = observes(expression.tree)
    if observing:
        doubts.append(not_(compiling.seen))
    if not doubts:
        return Question(and_(here, answer.yes), false())
    # Of whom none of these is so nothing is unknown: without saying so, all were asked thrice.
    unknown = and_(here, or_(*doubts), not_(answer.yes), not_(answer.no))
    return Question(and_(here, answer.yes), unknown, is_of_values=not observing)


def is_here() -> Column:
    """Whether anything at all may be asked of a person."""
    # Whose data rest are stored and nothing else (DSGVO Art. 18): no question finds them.
    return and_(SUBSCRIBER.c.erased_at.is_(None), SUBSCRIBER.c.restricted_at.is_(None))


def bits(questions: Sequence[Question], first: int = 0) -> ColumnElement[int]:
    """One number of several questions: bit `first` is set where the first selects, and so on."""
    held = [case((one.yes, 1 << number), else_=0) for number, one in enumerate(questions, first)]
    return functools.reduce(operator.add, held)


class Answer(NamedTuple):
    """Two conditions of one part of a tree, neither ever NULL: it is true, it is false."""

    yes: Column
    no: Column


def observes(node: Node) -> bool:
    """Whether a tree asks for behaviour anywhere."""
    match node:
        case Not(item) | Named(item=item):
            return observes(item)
        case Combined(_, items):
            return any(observes(item) for item in items)
        case Compare(name, declared=False):
            return name in _BEHAVIOUR
        case Call(function):
            return function in _BEHAVIOUR
    return False


class Compiling:
    """What a tree's parts mean at one moment, on its local day."""

    def __init__(
        self, now: datetime, zone: ZoneInfo, tracking_mode: str, fallback_locale: str | None
    ) -> None:
        """Stand at `now`, which has a zone, in the local days of `zone`."""
        if now.tzinfo is None:
            raise NaiveDatetimeError(now)
        self.now = now
        self.zone = zone
        self.today = now.astimezone(zone).date()
        self.fallback_locale = fallback_locale
        self.seen = SUBSCRIBER.c.tracking if tracking_mode == "consent" else false()

    def answer(self, node: Node) -> Answer:
        """The answer of one part."""
        match node:
            case Named(_, item):
                return self.answer(item)
            case Truth(value):
                return _told(true() if value else false())
            case Not(item):
                inner = self.answer(item)
                return Answer(inner.no, inner.yes)
            case Combined(every, items):
                answers = [self.answer(item) for item in items]
                yes, no = [a.yes for a in answers], [a.no for a in answers]
                return Answer(and_(*yes), or_(*no)) if every else Answer(or_(*yes), and_(*no))
            case Compare():
                compared = self.compared(node)
                if kinds.may_be_of_another(node):
                    return _understood(node, compared)
                return self.observed(compared) if observes(node) else _told(compared)
            case Count(call, operator, values):
                return _told(self.numbered(call, operator, values))
            case Call(function, arguments):
                asked = self.asked(function, arguments)
                return self.observed(asked) if function in _BEHAVIOUR else _told(asked)

    def observed(self, condition: Column) -> Answer:
        """What only those know of whom we may take note."""
        return Answer(and_(self.seen, condition), and_(self.seen, not_(condition)))

    # -- attributes

    def compared(self, node: Compare) -> Column:
        """Whether an attribute is as a comparison says; a missing one is not."""
        if node.kind == "days":
            return self.passed(node)
        if node.name == "joined" and not node.declared:
            return self.joined_on(node)
        column = self.attribute(node)
        if node.operator != "in":
            (value,) = node.values
            order = column.bool_op(node.operator)(_bound(self.stored(node, value), column))
            return _known(order)
        grounds = []
        values = []
        for value in node.values:
            if isinstance(value, Span):
                grounds.append(self.within(node, column, days.ends(value, self.today)))
            elif isinstance(value, Today):
                day = days.on(value, self.today)
                grounds.append(self.within(node, column, (day, day)))
            elif value != "":
                values.append(self.stored(node, value))
        if values:
            among = column.in_(bindparam(None, values, type_=column.type, expanding=True))
            grounds.append(_known(among))
        if "" in node.values:
            grounds.append(column.is_(None))
        return or_(*grounds)

    def within(self, node: Compare, column: Column, span: tuple[date, date]) -> Column:
        """Whether a day is one of a span's; of birthdays, whether it is kept on one."""
        first, last = span
        ends: Iterable[tuple[Any, Any]] = [(first.isoformat(), last.isoformat())]
        if node.kind == "birthday":
            ends = days.birthdays(first, last)
        runs = (and_(column >= _bound(a, column), column <= _bound(b, column)) for a, b in ends)
        return _known(or_(false(), *runs))

    def joined_on(self, node: Compare) -> Column:
        """The local day on which somebody joined, against days; it is never missing."""
        joined = SUBSCRIBER.c.created_at
        if node.operator != "in":
            (value,) = node.values
            assert isinstance(value, str | Today)
            day = days.on(value, self.today)
            bound = self.midnight(day, 1 if node.operator in {">", "<="} else 0)
            return joined >= bound if node.operator in {">", ">="} else joined < bound
        spans = [
            days.ends(value, self.today)
            if isinstance(value, Span)
            else (days.on(value, self.today),) * 2
            for value in node.values
            if value != "" and isinstance(value, str | Today | Span)
        ]
        return or_(
            false(),
            *(
                and_(joined >= self.midnight(first), joined < self.midnight(last, 1))
                for first, last in spans
            ),
        )

    def midnight(self, day: date, later: int = 0) -> datetime:
        """The moment a local day begins, or one so many days later."""
        within = max(_LONG_AGO, min(day, _FAR_OFF)) + timedelta(days=later)
        return wall_to_utc(within, time(0), self.zone)

    def attribute(self, node: Compare) -> Column:
        """The value of one person, NULL where it is missing."""
        if node.declared:
            return kinds.valued(node.name, node.kind)
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
        if isinstance(value, Today):
            return days.on(value, self.today).isoformat()
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

    def passed(self, node: Compare) -> Column:
        """Whole local days that passed since a moment, against each value."""
        past = self.joined if node.name == "joined_days" else self.inactive
        tests: Mapping[str, Callable[[int], Column]] = {
            "in": lambda days: and_(past(days), not_(past(days + 1))),
            ">=": past,
            ">": lambda days: past(days + 1),
            "<": lambda days: not_(past(days)),
            "<=": lambda days: not_(past(days + 1)),
        }
        return or_(
            *(tests[node.operator](value) for value in node.values if isinstance(value, int))
        )

    def joined(self, days: int) -> Column:
        """Whether that many local days passed since somebody joined."""
        return SUBSCRIBER.c.created_at < self.since(days)

    def inactive(self, days: int) -> Column:
        """Whether that many days passed since the last sign of life.

        Before somebody joined, or last allowed tracking, there was nothing we could have seen.
        """
        since = self.since(days)
        return and_(SUBSCRIBER.c.created_at < since, not_(acts.alive(since)))

    def since(self, days: int) -> datetime:
        """The moment before which something is at least so many local days ago."""
        day = self.today - timedelta(days=_within(days) - 1)
        return wall_to_utc(day, time(0), self.zone)

    # -- functions

    def counted(self, call: Call) -> Column:
        """What a function that counts comes to, of one person."""
        return acts.COUNTS[call.function](*call.arguments)

    def numbered(self, call: Call, operator: str, values: Sequence[int]) -> Column:
        """Whether a count is as a comparison says; counted only of those with anything to count."""
        some = acts.ANYTHING[call.function]()
        number = _counted(self.counted(call), operator, values)
        if _ORDERS[operator](0, values):
            return or_(not_(some), number)
        return and_(some, number)

    def asked(self, function: str, arguments: Sequence[str]) -> Column:
        """What a function asks, whether or not we may take note of it."""
        if function == "segment":
            raise SegmentError(
                f"{quoted(arguments[0])} is a segment this expression was read without"
            )
        if function == "clicked":
            return acts.clicked(self.now - SETTLED_AFTER, *arguments)
        return acts.ACTS[function](*arguments)


def _known(condition: Column) -> Column:
    """The same, but false where it is NULL; what it is about is looked up once and not twice."""
    return func.coalesce(condition, false(), type_=Boolean)


def _told(condition: Column) -> Answer:
    return Answer(condition, not_(condition))


def _understood(node: Compare, condition: Column) -> Answer:
    """What a value of another kind means nobody knows: it is neither so nor otherwise."""
    plain = not_(kinds.is_of_another(node.name, node.kind))
    yes = and_(condition, plain) if "" in node.values else condition
    return Answer(yes, and_(not_(condition), plain))


def _within(years_or_days: int) -> int:
    """A number no person reaches, instead of one no database or calendar can count to."""
    return max(-_FARTHEST, min(years_or_days, _FARTHEST))


def _bound(value: Any, column: Column) -> Column:
    return literal(value, column.type)


def _counted(column: Column, operator: str, values: Sequence[int]) -> Column:
    if operator == "in":
        return column.in_([_within(value) for value in values])
    return column.bool_op(operator)(literal(_within(values[0]), column.type))
