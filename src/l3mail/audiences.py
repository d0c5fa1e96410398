"""Saved segments: the questions that operators gave a name.

Owns the rows of `segment`. What a question means is `segments`; who is mailed because of it is
the business of whoever asks.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    delete,
    exists,
    func,
    literal,
    select,
    union_all,
)

from l3mail.database import upsert
from l3mail.errors import SegmentError, did_you_mean, quoted
from l3mail.models import (
    CAMPAIGN,
    CAMPAIGN_MESSAGE,
    COURSE,
    DELIVERY,
    LESSON,
    MESSAGE,
    SEGMENT,
    STREAM,
    SUBSCRIBER,
    TRIGGER,
)
from l3mail.planning import IS_MEMBER, MEMBER, bindings, mailable, member
from l3mail.segments import (
    Attribute,
    Explaining,
    Expression,
    Grouping,
    Part,
    Question,
    Vocabulary,
    asked_attributes,
    comparisons,
    grouping,
    is_of_another,
    mentions,
    parse,
)
from l3mail.segments import compile as compile_question

Questions = Callable[[Connection, str, datetime], Question]
"""Reads a segment's question, by name or text; raises an L3mailError where it can't be asked."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 60
_ASKED = "conditions"  # where a compiled text has them
_SOLE_WORDS = frozenset({"tracking"})  # a question already, without being saved


_NAMES = ("streams", "courses", "messages", "segments")
# One statement for all of it: triggers that name a segment are looked at every few seconds.
_KNOWN = union_all(
    select(literal("segments").label("what"), SEGMENT.c.name, SEGMENT.c.expression),
    *(
        select(literal(what), column, literal("")).distinct()
        for what, column in (
            ("streams", STREAM.c.slug),
            ("courses", COURSE.c.slug),
            ("messages", MESSAGE.c.slug),
            ("messages", LESSON.c.slug),
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a question depends on beside the database, all of it from the workspace's settings.

    `question` is how others ask: by name or text, at a moment.
    """

    zone: ZoneInfo
    tracking_mode: str
    locale: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    streams: Collection[str] = ()

    def vocabulary(self, connection: Connection) -> Vocabulary:
        """All names that a question may speak of now.

        Texts are those ever published and those a course is made of, published or not yet.
        """
        known: dict[str, dict[str, str]] = {what: {} for what in _NAMES}
        for what, name, text in connection.execute(_KNOWN):
            known[what][name] = text
        return Vocabulary(
            attributes=self.attributes,
            streams=known["streams"].keys() | set(self.streams),
            courses=set(known["courses"]),
            messages=set(known["messages"]),
            segments=known["segments"],
        )

    def compiled(self, expression: Expression, now: datetime) -> Question:
        """The question of an expression as it stands at `now`."""
        return compile_question(expression, now, self.zone, self.tracking_mode, self.locale)

    def explaining(self, expression: Expression, now: datetime) -> Explaining:
        """The same expression, to be told part by part of one person."""
        return Explaining(expression, now, self.zone, self.tracking_mode, self.locale)

    def grouping(self, text: str, vocabulary: Vocabulary, now: datetime) -> Grouping:
        """What tells people apart by the attribute that a text names; raises `SegmentError`."""
        return grouping(text, vocabulary, now, self.zone, self.locale)

    def misfits(self, connection: Connection, text: str) -> dict[str, int]:
        """By attribute that a text asks for, how many people have a value of another kind."""
        expression = read(text, self.vocabulary(connection))
        declared = {one.name for one in comparisons(expression.tree) if one.declared}
        return misfits(connection, declared, self)

    def asked(self, expression: Expression, now: datetime) -> list[Grouping]:
        """The attributes that an expression asks of."""
        return asked_attributes(expression, now, self.zone, self.locale)

    def question(self, connection: Connection, text: str, now: datetime) -> Question:
        """The question of a saved segment's name, or of a text; raises `SegmentError`."""
        return self.compiled(read(text, self.vocabulary(connection)), now)


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved segment; `last_count` is how many it selected when it was saved."""

    name: str
    expression: str
    saved_at: datetime
    last_count: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many people a question selects, and of how many nobody knows."""

    count: int
    unknown: int


def is_name(text: str) -> bool:
    """Whether a text can only be the name of a saved segment."""
    name = text.strip()
    return bool(_NAME.fullmatch(name)) and name not in _SOLE_WORDS


def read(text: str, vocabulary: Vocabulary) -> Expression:
    """Understand a saved segment's name, or else a text; raises `SegmentError`."""
    saved = vocabulary.segments or {}
    name = text.strip()
    if name in saved:
        return parse(f'segment("{name}")', vocabulary)
    if is_name(name):
        raise _unknown(name, saved)
    return parse(text, vocabulary)


def save(connection: Connection, name: str, text: str, terms: Terms, now: datetime) -> Count:
    """Give a text a name, or a name a new text; return whom it selects now.

    Raises `SegmentError` where name or text can't be used, and where the new text would break a
    segment that names this one.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME or name in _SOLE_WORDS:
        raise SegmentError(
            f"{quoted(name)} can't be the name of a segment; take a-z, 0-9 and hyphens,"
            f" at most {_LONGEST_NAME}"
        )
    known = terms.vocabulary(connection)
    vocabulary = Vocabulary(
        attributes=known.attributes,
        streams=known.streams,
        courses=known.courses,
        messages=known.messages,
        segments={**(known.segments or {}), name: text},
    )
    expression = read(name, vocabulary)
    for other in sorted(_asking(name, vocabulary.segments or {})):
        read(other, vocabulary)
    found = count(connection, terms.compiled(expression, now))
    values = {"expression": text.strip(), "saved_at": now, "last_count": found.count}
    connection.execute(
        upsert(connection, SEGMENT)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[SEGMENT.c.name], set_=values)
    )
    return found


def count(connection: Connection, question: Question) -> Count:
    """Count whom a question selects, mailable or not, and of whom it can't be told."""
    row = connection.execute(counting(question)).one()
    return Count(int(row.people), int(row.unknown))


def misfits(connection: Connection, names: Iterable[str], terms: Terms) -> dict[str, int]:
    """By declared attribute, of how many people the value is not what it is declared to be."""
    here = (SUBSCRIBER.c.erased_at.is_(None), SUBSCRIBER.c.restricted_at.is_(None))
    found = {}
    for name in sorted(names):
        declared = terms.attributes[name]
        condition = is_of_another(name, declared.type, declared.choices)
        query = select(func.count()).select_from(SUBSCRIBER).where(*here, condition)
        if number := connection.execute(query).scalar_one():
            found[name] = int(number)
    return found


def counting(question: Question) -> Select[int, int]:
    """The statement of a count: `people` and `unknown`."""
    if question.is_of_values:
        # Each look into a person's JSON costs: both are asked in one.
        people, unknown = (func.count().filter(one) for one in (question.yes, question.unknown))
        return select(people.label("people"), unknown.label("unknown")).select_from(SUBSCRIBER)

    def those(condition: ColumnElement[bool]) -> ScalarSelect[int]:
        # Asked in a WHERE, a database may look for all of them at once.
        return select(func.count()).select_from(SUBSCRIBER).where(condition).scalar_subquery()

    return select(those(question.yes).label("people"), those(question.unknown).label("unknown"))


def selecting(question: Question) -> Select[Any]:
    """The statement of whom a question selects: `id` and `address`, in the order of joining."""
    people = select(SUBSCRIBER.c.id, SUBSCRIBER.c.address)
    return people.where(question.yes).order_by(SUBSCRIBER.c.id)


def count_by(connection: Connection, question: Question, by: Grouping) -> list[tuple[Any, int]]:
    """How many of those selected have which value, the most frequent first; None is missing."""
    # In a part of its own: what binds values can't be named again to be grouped by.
    people = select(by.column.label("value")).where(question.yes).subquery("people")
    number = func.count()
    rows = connection.execute(
        select(people.c.value, number.label("n"))
        .group_by(people.c.value)
        .order_by(number.desc(), people.c.value.is_(None), people.c.value)
    )
    return [(by.shown(row.value), row.n) for row in rows]


def known_of_nobody(connection: Connection, asked: Sequence[Grouping]) -> list[str]:
    """Of some attributes the names of those that nobody has at all."""
    is_here = SUBSCRIBER.c.erased_at.is_(None)
    held = [
        exists(select(SUBSCRIBER.c.id).where(is_here, one.column.is_not(None))) for one in asked
    ]
    if not held:
        return []
    found = connection.execute(select(*held)).one()
    return [one.name for one, somebody in zip(asked, found, strict=True) if not somebody]


def count_by_stream(connection: Connection, question: Question) -> list[tuple[Any, int]]:
    """How many of those selected are confirmed for which stream, the most frequent first.

    Who is confirmed for two is counted in both, who for none in neither.
    """
    number = func.count()
    rows = connection.execute(
        select(STREAM.c.slug, number.label("n"))
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .join(STREAM, STREAM.c.id == MEMBER.c.stream_id)
        .where(IS_MEMBER, question.yes)
        .group_by(STREAM.c.slug)
        .order_by(number.desc(), STREAM.c.slug)
    )
    return [(row.slug, row.n) for row in rows]


def reachable(connection: Connection, question: Question, now: datetime) -> dict[str, int]:
    """How many of those selected may be mailed now, by stream, as planning asks it."""
    rows = connection.execute(
        select(STREAM.c.slug, func.count().label("n"))
        .select_from(MEMBER)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == MEMBER.c.subscriber_id)
        .join(STREAM, STREAM.c.id == MEMBER.c.stream_id)
        .where(IS_MEMBER, question.yes, mailable(member()))
        .group_by(STREAM.c.slug)
        .order_by(STREAM.c.slug),
        bindings(now, (), ""),
    )
    return {row.slug: row.n for row in rows}


def explain(connection: Connection, explaining: Explaining, subscriber_id: int) -> Part | None:
    """Each part of a question with its answer for one person; None for nobody we know."""
    asked = explaining.statement().where(SUBSCRIBER.c.id == subscriber_id)
    row = connection.execute(asked).first()
    return None if row is None else explaining.read(dict(row._mapping))


def listing(connection: Connection, search: str | None = None) -> list[Saved]:
    """Saved segments by name; `search` is part of a name or a text."""
    query: Select[Any] = select(
        SEGMENT.c.name, SEGMENT.c.expression, SEGMENT.c.saved_at, SEGMENT.c.last_count
    ).order_by(SEGMENT.c.name)
    if search:
        query = query.where(
            SEGMENT.c.name.icontains(search, autoescape=True)
            | SEGMENT.c.expression.icontains(search, autoescape=True)
        )
    return [Saved(*row) for row in connection.execute(query)]


def find(connection: Connection, name: str) -> Saved:
    """One saved segment; raises `SegmentError` naming the nearest where there is none."""
    saved = {one.name: one for one in listing(connection)}
    if name not in saved:
        raise _unknown(name, saved)
    return saved[name]


def users(connection: Connection, name: str) -> list[str]:
    """What would break without this segment: segments, campaigns not yet planned, triggers, texts.

    Texts are those that ask for it in an `::: if`: in force, or in mails that have not begun.
    """
    saved = {one.name: one.expression for one in listing(connection)}
    found = [f"segment {other}" for other, text in saved.items() if name in mentions(text)]
    waiting = connection.execute(
        select(CAMPAIGN.c.slug, CAMPAIGN.c.segment)
        .where(
            CAMPAIGN.c.segment.is_not(None),
            CAMPAIGN.c.planned_at.is_(None),
            CAMPAIGN.c.cancelled_at.is_(None),
        )
        .order_by(CAMPAIGN.c.id)
    )
    found += [f"campaign {row.slug}" for row in waiting if names(row.segment, name)]
    rules = connection.execute(
        select(TRIGGER.c.slug, TRIGGER.c.rule)
        .where(TRIGGER.c.retired_at.is_(None))
        .order_by(TRIGGER.c.slug)
    )
    found += [f"trigger {row.slug}" for row in rules if names(row.rule.get("segment"), name)]
    return found + [f"text {slug}" for slug in _texts(connection, name)]


def _texts(connection: Connection, name: str) -> list[str]:
    """The slugs of texts whose conditions name a segment and that may still be sent."""
    rows = connection.execute(
        select(MESSAGE.c.id, MESSAGE.c.slug, MESSAGE.c.superseded_at, MESSAGE.c.compiled[_ASKED])
        .where(MESSAGE.c.generated.is_(False))
        .order_by(MESSAGE.c.slug)
    )
    naming = [row for row in rows if any(name in mentions(one["if"]) for one in row[3] or ())]
    old = [row.id for row in naming if row.superseded_at is not None]
    waiting = select(DELIVERY.c.message_id).where(
        DELIVERY.c.message_id.in_(old), DELIVERY.c.state.in_(("held", "queued", "deferred"))
    )
    unplanned = (
        select(CAMPAIGN_MESSAGE.c.message_id)
        .join(CAMPAIGN, CAMPAIGN.c.id == CAMPAIGN_MESSAGE.c.campaign_id)
        .where(
            CAMPAIGN_MESSAGE.c.message_id.in_(old),
            CAMPAIGN.c.planned_at.is_(None),
            CAMPAIGN.c.cancelled_at.is_(None),
        )
    )
    pinned = set(connection.execute(waiting.union(unplanned)).scalars()) if old else set()
    return list(dict.fromkeys(r.slug for r in naming if r.superseded_at is None or r.id in pinned))


def removable(connection: Connection, name: str) -> Saved:
    """A saved segment that nothing asks for; raises `SegmentError` naming what does."""
    saved = find(connection, name)
    using = users(connection, name)
    if using:
        more = f" and {len(using) - 3} more" if len(using) > 3 else ""
        raise SegmentError(
            f"{quoted(name)} is still asked for by {', '.join(using[:3])}{more}; change that first"
        )
    return saved


def remove(connection: Connection, name: str) -> None:
    """Forget a saved segment; raises `SegmentError` while something still asks for it."""
    removable(connection, name)
    connection.execute(delete(SEGMENT).where(SEGMENT.c.name == name))


def names(text: object, name: str) -> bool:
    """Whether a question is a saved segment's name, or asks for it somewhere."""
    return isinstance(text, str) and (text.strip() == name or name in mentions(text))


def _asking(name: str, saved: Mapping[str, str]) -> set[str]:
    """The segments that come to a segment by naming it, over any number of steps."""
    naming = {other: mentions(text) for other, text in saved.items()}
    found: set[str] = set()
    reached = {name}
    while reached:
        reached = {other for other, named in naming.items() if named & reached} - found - {name}
        found |= reached
    return found


def _unknown(name: str, saved: Collection[str]) -> SegmentError:
    hint = did_you_mean(name, saved, "`l3mail segments list` shows what there is")
    return SegmentError(f"there is no saved segment {quoted(name)}; {hint}")
