"""Rounds: everything that falls due by itself, planned in bounded steps.

What the tick, `run --once`, the demo and a simulation share, so that all of them plan alike.
Each step is one transaction of at most a batch of rows; whoever asks goes on asking until no
step wants more. Nothing is remembered between two rounds: a missed one costs nothing.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select

from l3mail import courses, events, newsletters, outbox, retention, subscribers, triggers
from l3mail.audiences import Questions
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import DatabaseUnavailableError
from l3mail.models import CAMPAIGN, DELIVERY, ENROLLMENT, LESSON, MESSAGE, UtcDateTime
from l3mail.planning import NOW
from l3mail.segments import SETTLED_AFTER
from l3mail.subscribers import Rules

BATCH = 5_000
"""Rows one step writes at most; a web write behind it waits about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """What planning needs to know of a workspace; the moment comes with each round.

    An audience that grew to more than `growth` times what was shown pauses its campaign; 0 is
    never. `grown` says which did, of those that were `look`ed at; without it planning counts for
    itself. `planners` are what parts above this one plan by themselves, in their order, after the
    rest. Without what is `kept` for how long nothing grows too old. One that only `tidies` plans
    nothing and has its chores alone.
    """

    rules: Rules
    questions: Questions
    batch: int = BATCH
    growth: float = 0
    grown: Mapping[int, bool] | None = None
    planners: "tuple[Planner, ...]" = ()
    kept: retention.Terms | None = None
    tidies: bool = False


@dataclass(frozen=True, slots=True)
class Round:
    """What steps came to: rows by what was done with them, and whether `more` is waiting.

    `settled` openings and clicks got their verdict, `planned` deliveries were made, `woken`
    enrollments ended their pause, `led_on` ones were given their next lesson, `moved` ones put
    off to a later slot, `withdrawn` deliveries ended with their campaign, `lapsed` ones with a
    batch, or campaigns, nobody approved, `let_on` ones were spared somebody until now and
    `outlived` ones too long, `purged` sign-ups, wishes for another address, proofs of the erased
    and people who left long ago ran out, `aged` mails and events were too old. `stuck` cohorts
    found no open day, `paused` campaigns could not ask their segment or grew beyond what was
    shown, `unasked` triggers could not ask theirs: all three need a person. `unseen` campaigns are
    to be looked at before they begin.
    """

    settled: int = 0
    planned: int = 0
    woken: int = 0
    led_on: int = 0
    moved: int = 0
    withdrawn: int = 0
    lapsed: int = 0
    let_on: int = 0
    outlived: int = 0
    purged: int = 0
    aged: int = 0
    stuck: int = 0
    paused: int = 0
    unasked: int = 0
    unseen: int = 0
    more: bool = False

    @property
    def wrote(self) -> bool:
        """Whether rows were changed, or more of them wait."""
        return replace(self, stuck=0, unasked=0, unseen=0) != Round()

    def __add__(self, other: "Round") -> "Round":
        """Both together; more is waiting where either says so."""
        counts = {
            name: getattr(self, name) + getattr(other, name)
            for name in (f.name for f in fields(self))
            if name != "more"
        }
        return Round(**counts, more=self.more or other.more)

    def then(self, other: "Round") -> "Round":
        """Both, one after the other: what is stuck or still waiting is what the later one says."""
        latest = {name: getattr(other, name) for name in ("stuck", "unasked", "unseen", "more")}
        return replace(self + other, **latest)


Sign = ColumnElement[Any]
"""Whether something is due, as one value in SQL: false or null where nothing is."""
Step = Callable[[Connection, datetime, Agenda], Round]
NextMoment = Callable[[Connection, datetime, Agenda], datetime | None]


@dataclass(frozen=True, slots=True)
class Planner:
    """Something that falls due by itself: how it is planned, and when there is something next.

    `opening` is done before all else of a round, for who has to know when planning begins.
    """

    step: Step
    next_moment: NextMoment
    opening: Step | None = None


def _settle(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    settled = events.settle(connection, now, agenda.batch)
    return Round(settled=settled, more=settled >= agenda.batch)


def _let_on(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    queued, lapsed = outbox.go_on(connection, now, agenda.batch)
    return Round(let_on=queued, outlived=lapsed, more=max(queued, lapsed) >= agenda.batch)


def _ask_again(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    planned = subscribers.plan_confirmations(connection, agenda.rules, now, agenda.batch)
    return Round(planned=planned, more=planned >= agenda.batch)


def _wake(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    woken = courses.wake(connection, now, agenda.rules.zone, agenda.batch)
    return Round(woken=woken, more=woken >= agenda.batch)


def _lead_on(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    led_on = courses.advance(connection, now, agenda.rules.zone, agenda.batch)
    return Round(led_on=led_on, more=led_on >= agenda.batch)


def _plan_lessons(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    done = courses.plan(connection, now, agenda.rules.zone, agenda.batch)
    return Round(planned=done.deliveries, moved=done.moved, stuck=done.stuck, more=done.more)


def _plan_campaigns(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    done = newsletters.plan(
        connection,
        now,
        question=agenda.questions,
        fallback_locale=agenda.rules.fallback_locale,
        limit=agenda.batch,
        growth=agenda.growth,
        seen=agenda.grown,
    )
    return Round(
        planned=done.deliveries,
        withdrawn=done.withdrawn,
        lapsed=done.lapsed,
        paused=done.paused,
        unseen=done.unseen,
        more=done.more,
    )


def _plan_triggers(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    done = triggers.plan(connection, trigger_terms(now, agenda), agenda.batch)
    return Round(planned=done.deliveries, lapsed=done.lapsed, unasked=done.unasked, more=done.more)


def trigger_terms(now: datetime, agenda: Agenda) -> triggers.Terms:
    """What triggers depend on, of an agenda and at a moment."""
    rules = agenda.rules
    return triggers.Terms(now, rules.zone, agenda.questions, rules.fallback_locale)


def _purge(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    purged = subscribers.purge(connection, now, agenda.batch)
    moves = subscribers.end_moves(connection, now, agenda.batch)
    return Round(purged=purged + moves, more=max(purged, moves) >= agenda.batch)


def _expire_proofs(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    walk = partial(subscribers.expire_proofs, limit=agenda.batch)
    return _walked("proofs", walk, connection, now, agenda)


def _age_out(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    if agenda.kept is None:
        return Round()
    done = retention.age_out(connection, now, agenda.kept)
    return Round(aged=done.gone, more=done.more)


def _erase_departed(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    if agenda.kept is None:
        return Round()
    walk = partial(subscribers.erase_departed, limit=retention.PIECE)
    return _walked("departed", walk, connection, now, agenda)


def _walked(
    name: str,
    walk: Callable[..., tuple[int, int | None]],
    connection: Connection,
    now: datetime,
    agenda: Agenda,
) -> Round:
    """A step of a day's walk through all people, by its name: it goes on after whom it reached."""
    zone = agenda.rules.zone
    reached = retention.turn(connection, name, now, zone)
    if reached is None:
        return Round()
    gone, reached = walk(connection, agenda.rules, now, after=reached)
    retention.note_turn(connection, name, reached, now, zone)
    return Round(purged=gone, more=reached is not None)


STEPS: tuple[Step, ...] = (
    _settle,
    _let_on,
    _ask_again,
    _wake,
    _lead_on,
    _plan_lessons,
    _plan_campaigns,
    _plan_triggers,
)
"""In this order: what segments and triggers ask of clicks is settled before they ask, and those who
are led on, or woken, are planned for where they are due."""
CHORES: tuple[Step, ...] = (_purge, _expire_proofs, _age_out, _erase_departed)
"""What once an hour is enough for."""
SIGNS: Mapping[Step, Sign] = {
    _settle: events.ANY_RAW,
    _let_on: outbox.ANY_TO_GO_ON,
    _ask_again: subscribers.ANYBODY_UNASKED,
    _wake: courses.ANYBODY_TO_WAKE,
    _lead_on: courses.ANYBODY_UNDER_WAY,
    _plan_lessons: courses.ANY_LESSON_DUE,
    _plan_campaigns: newsletters.ANY_CAMPAIGN_DUE,
}
"""Without which a step would do nothing; one that has none here looks for itself."""
_GLANCE = select(
    outbox.RESTORED_AT.label("restored_at"),
    *(sign.label(step.__name__) for step, sign in SIGNS.items()),
)


def glance(connection: Connection, now: datetime) -> tuple[bool, Collection[Step]]:
    """Whether the database is a restored copy, and the steps that have nothing to do.

    One question instead of a dozen: as a rule nothing is due.
    """
    values = {"now": now, "raw_until": now - SETTLED_AFTER}
    restored_at, *signs = connection.execute(_GLANCE, values).one()
    idle = {step for step, sign in zip(SIGNS, signs, strict=True) if not sign}
    return restored_at is not None, idle


def due(connection: Connection, now: datetime, agenda: Agenda) -> Round:
    """Every step once, in the transaction given; no chores."""
    done = Round()
    for step in _all_of(agenda):
        done += step(connection, now, agenda)
    return done


def _all_of(agenda: Agenda) -> tuple[Step, ...]:
    if agenda.tidies:
        return ()
    openings = [planner.opening for planner in agenda.planners if planner.opening]
    return (*openings, *STEPS, *(planner.step for planner in agenda.planners))


class Stretch:
    """A verb: steps of a round as far as the first that changes something, in one transaction.

    Others write in between wherever something is written, and a round with nothing to do is one
    transaction. `rest` is what is left. Of one that ended in a fault that is all but the faulty
    step: what the others did was rolled back with it.

    On a restored database they do nothing: what the lost time may have sent already would be put
    off to a later slot, and sent again there. `due` is how `db reconcile` catches up.
    """

    def __init__(self, clock: Clock, agenda: Agenda, steps: Sequence[Step]) -> None:
        """Nothing is asked before it is called."""
        self._clock = clock
        self._agenda = agenda
        self._steps = steps
        self._taken = 0
        self._failed = False

    @classmethod
    def whole(cls, clock: Clock, agenda: Agenda, *, chores: bool = False) -> "Stretch":
        """A round from its beginning, perhaps with chores."""
        return cls(clock, agenda, (*_all_of(agenda), *(CHORES if chores else ())))

    def __call__(self, connection: Connection) -> Round:
        """What the steps came to; may be repeated where the transaction is."""
        # Should the glance fail, there is no step to go on with.
        total, self._taken, self._failed = Round(), len(self._steps), False
        is_restored, idle = glance(connection, self._clock.now())
        if is_restored:
            return total
        self._taken, self._failed = 0, True
        for step in self._steps:
            self._taken += 1
            if step in idle:
                continue
            done = step(connection, self._clock.now(), self._agenda)
            total += done
            if done.wrote:
                break
        self._failed = False
        return total

    @property
    def rest(self) -> "Stretch | None":
        """What is to be done after this; None at the end of the round."""
        before = self._steps[: self._taken - 1] if self._failed else ()
        left = (*before, *self._steps[self._taken :])
        return Stretch(self._clock, self._agenda, left) if left else None


def unlooked(agenda: Agenda) -> Agenda:
    """An agenda by which no campaign begins before `look` was asked how it grew."""
    return replace(agenda, grown={}) if agenda.growth else agenda


def look(connection: Connection, now: datetime, agenda: Agenda) -> Agenda:
    """The agenda, knowing how those campaigns grew that a round left `unseen`; reads only."""
    grown = newsletters.grown(connection, now, question=agenda.questions, growth=agenda.growth)
    return replace(agenda, grown=grown)


def run(database: Database, clock: Clock, agenda: Agenda, *, chores: bool = False) -> Round:
    """Round after round until no step wants more: all that is due is planned.

    A fault of ours in one step ends with the round: the other steps are done first.
    """
    total, agenda = Round(), unlooked(agenda)
    while True:
        done, fault = Round(), None
        stretch: Stretch | None = Stretch.whole(clock, agenda, chores=chores)
        while stretch is not None:
            try:
                done += database.write(stretch)
            except DatabaseUnavailableError:
                raise
            except Exception as one:  # noqa: BLE001 - raised below
                fault = fault or one
            stretch = stretch.rest
        if fault is not None:
            raise fault
        total = total.then(done)
        if done.unseen:
            knowing = partial(look, now=clock.now(), agenda=agenda)
            agenda = database.read(knowing)
        elif not done.more:
            return total


_MOMENTS: tuple[Select[Any], ...] = tuple(
    select(func.min(column, type_=UtcDateTime)).where(column > NOW, *conditions)
    for column, *conditions in (
        (ENROLLMENT.c.next_due_at, ENROLLMENT.c.state == "active"),
        (ENROLLMENT.c.paused_until, ENROLLMENT.c.state == "paused"),
        (
            CAMPAIGN.c.scheduled_at,
            CAMPAIGN.c.planned_at.is_(None),
            CAMPAIGN.c.paused_at.is_(None),
            CAMPAIGN.c.cancelled_at.is_(None),
        ),
        (CAMPAIGN.c.lapses_at, newsletters.IS_UNRELEASED),
        (DELIVERY.c.next_attempt_at, DELIVERY.c.state == "deferred"),
        (DELIVERY.c.next_attempt_at, DELIVERY.c.state == "uncertain"),
        (DELIVERY.c.next_attempt_at, DELIVERY.c.state == "held"),
    )
)


def next_moment(connection: Connection, now: datetime, agenda: Agenda) -> datetime | None:
    """The first moment after `now` at which something will be due to plan or to send, if any.

    A lesson, the end of a pause, a campaign, a trigger, another attempt, the end of quiet hours, a
    click to be judged, or what a planner knows of. What is due already is not it.
    """
    found = [connection.execute(query, {"now": now}).scalar_one() for query in _MOMENTS]
    found.append(events.next_settlement(connection, now))
    found.append(triggers.next_moment(connection, trigger_terms(now, agenda)))
    found += [planner.next_moment(connection, now, agenda) for planner in agenda.planners]
    return min((moment for moment in found if moment is not None), default=None)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to go out: a message's slug, when, and to how many; None before it is planned."""

    due_at: datetime
    slug: str
    people: int | None


def upcoming(connection: Connection, now: datetime, agenda: Agenda, limit: int = 5) -> list[Due]:
    """What is due next and not planned: lessons by slot, campaigns, triggers; the first ones."""
    lessons = connection.execute(
        _WAITING_LESSONS.group_by(ENROLLMENT.c.next_due_at, LESSON.c.slug)
        .order_by(ENROLLMENT.c.next_due_at, LESSON.c.slug)
        .limit(limit)
    )
    issues = connection.execute(_WAITING_ISSUES.order_by(CAMPAIGN.c.scheduled_at).limit(limit))
    found = [Due(*row) for row in lessons] + [Due(*row, people=None) for row in issues]
    expected = triggers.upcoming(connection, trigger_terms(now, agenda))
    found += [Due(one.due_at, one.slug, one.people) for one in expected]
    return sorted(found, key=lambda due: (due.due_at, due.slug))[:limit]


def due_by(connection: Connection, until: datetime) -> list[Due]:
    """Lessons and campaigns that are to go out until then and are not planned."""
    lessons = connection.execute(
        _WAITING_LESSONS.where(ENROLLMENT.c.next_due_at <= until).group_by(
            ENROLLMENT.c.next_due_at, LESSON.c.slug
        )
    )
    return [Due(*row) for row in lessons] + [
        Due(row.scheduled_at, row.slug, None)
        for row in connection.execute(_WAITING_ISSUES.where(CAMPAIGN.c.scheduled_at <= until))
    ]


_UNPUBLISHED = select(LESSON.c.slug).where(
    ~exists(
        select(MESSAGE.c.id).where(
            MESSAGE.c.slug == LESSON.c.slug, MESSAGE.c.superseded_at.is_(None)
        )
    )
)
ANY_UNPUBLISHED = exists(_UNPUBLISHED)
"""Whether there is a lesson without a published text, due or not."""


def unpublished(connection: Connection, until: datetime) -> list[Due]:
    """Lessons due until then of which no version is published: they would be held, or are."""
    # Lessons are few, learners many: as a rule there is nobody to be counted.
    slugs = connection.execute(_UNPUBLISHED.distinct()).scalars().all()
    if not slugs:
        return []
    coming = _WAITING_LESSONS.where(
        ENROLLMENT.c.next_due_at <= until, LESSON.c.slug.in_(slugs)
    ).group_by(ENROLLMENT.c.next_due_at, LESSON.c.slug)
    people: Counter[tuple[datetime, str]] = Counter()
    for query in (coming, *(_planned_in(state, slugs) for state in ("queued", "held"))):
        for due_at, slug, n in connection.execute(query):
            people[due_at, slug] += n
    return [Due(*key, people[key]) for key in sorted(people)]


def _planned_in(state: str, slugs: Collection[str]) -> Select[Any]:
    return (
        select(DELIVERY.c.due_at, DELIVERY.c.slug, func.count())
        .where(
            DELIVERY.c.state == state,
            DELIVERY.c.enrollment_id.is_not(None),
            DELIVERY.c.message_id.is_(None),
            DELIVERY.c.slug.in_(slugs),
        )
        .group_by(DELIVERY.c.due_at, DELIVERY.c.slug)
    )


_WAITING_LESSONS = (
    select(ENROLLMENT.c.next_due_at, LESSON.c.slug, func.count().label("people"))
    .join(
        LESSON,
        and_(
            LESSON.c.structure_id == ENROLLMENT.c.structure_id,
            LESSON.c.position == ENROLLMENT.c.next_position,
        ),
    )
    .where(ENROLLMENT.c.state == "active", ENROLLMENT.c.next_due_at.is_not(None))
)

_WAITING_ISSUES = select(CAMPAIGN.c.scheduled_at, CAMPAIGN.c.slug).where(
    CAMPAIGN.c.planned_at.is_(None),
    CAMPAIGN.c.paused_at.is_(None),
    CAMPAIGN.c.cancelled_at.is_(None),
)
