"""What a report counts, from rows made by hand, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from l3mail import consents, courses, events
from l3mail.courses import Outline
from l3mail.database import Database
from l3mail.errors import ReportError
from l3mail.models import (
    APPROVAL,
    CAMPAIGN,
    CONSENT,
    COUNTER,
    ENROLLMENT,
    EVENT,
    LINK,
    STREAM,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
    TRIGGER,
)
from l3mail.needs import Cause
from l3mail.outbox import AWAITING_APPROVAL
from l3mail.publishing import Standing
from l3mail.reports import Report, Terms, look, look_at_course, look_at_issue, needs_of, spans
from l3mail.reports.documents import Paragraph
from l3mail.reports.hiding import Cell
from l3mail.reports.joining import Pair
from l3mail.reports.mails import Reach
from l3mail.reports.sections import course_section
from l3mail.reports.wording import Words
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules
from tests.fakes import parish
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground
from tests.test_courses import KURS, enroll, school, tick

BERLIN = ZoneInfo("Europe/Berlin")
TERMS = Terms("Amt", "de", BERLIN)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
ISSUE = "newsletter/2026-12"


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("reports")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    """A Monday, 10:00; the last week is that of 16 November."""
    village = Village(database)
    village.empty()
    return village


def report(village: Village, week: str = "2026-W47", terms: Terms = TERMS) -> Report:
    span = spans.week(week, BERLIN, village.now)
    return village.database.read(lambda c: look(c, span, village.now, terms))


def sent(village: Village, person: int, slug: str = ISSUE, **values: object) -> int:
    """A mail of last Tuesday that the relay took."""
    at = MONDAY_TEN - 6 * DAY
    kind = str(values.pop("kind", "newsletter"))
    row = {"slug": slug, "state": "accepted", "due_at": at, "ended_at": at, **values}
    return village.delivery(person, kind, **row)


def fact(village: Village, kind: str, delivery: int | None = None, **values: object) -> int:
    row = {"kind": kind, "at": MONDAY_TEN - 5 * DAY, "delivery_id": delivery, "data": {}}
    return village.insert(EVENT, **row | values)


def crowd(village: Village, number: int, **values: object) -> list[int]:
    return [village.person(f"p{n}@schule.example", **values) for n in range(number)]


# -- mails


def test_mails_are_counted_by_kind_state_and_the_week_they_were_due(village: Village) -> None:
    person = village.learner()
    monday = datetime(2026, 11, 15, 23, 0, tzinfo=UTC)  # 00:00 in Berlin
    tick_ = timedelta(microseconds=1)
    for due_at, state in (
        (monday - tick_, "accepted"),
        (monday, "accepted"),
        (monday + DAY, "failed"),
        (monday + DAY, "deferred"),
        (monday + WEEK - tick_, "lapsed"),
        (monday + WEEK, "queued"),
    ):
        village.delivery(person, "lesson", due_at=due_at, state=state)
    village.report(due_at=monday + DAY)
    mails = report(village).mails
    (lessons,) = mails.kinds
    assert (lessons.kind, lessons.planned, lessons.waiting) == ("lesson", 4, 1)
    assert {state: n for state, n in lessons.states.items() if n} == {
        "accepted": 1,
        "failed": 1,
        "deferred": 1,
        "lapsed": 1,
    }
    assert (lessons.planned_before, lessons.accepted_before) == (1, 1)
    assert (mails.total(), mails.total("accepted", "failed")) == (4, 2)


@pytest.mark.parametrize(
    ("week", "inside", "outside"),
    [
        # Clocks go back on Sunday 25 October at 03:00: that week has an hour more.
        ("2026-W43", "2026-10-25T22:59Z", "2026-10-25T23:00Z"),
        ("2026-W13", "2026-03-29T21:59Z", "2026-03-29T22:00Z"),
        ("2026-W53", "2027-01-03T22:59Z", "2027-01-03T23:00Z"),
        ("2027-W01", "2027-01-03T23:00Z", "2027-01-03T22:59Z"),
    ],
)
def test_a_week_ends_at_midnight_by_the_zone(
    village: Village, week: str, inside: str, outside: str
) -> None:
    village.clock.set(datetime(2027, 2, 1, tzinfo=UTC))
    person = village.learner()
    for moment in (inside, outside):
        village.delivery(person, due_at=datetime.fromisoformat(moment), state="accepted")
    assert report(village, week).mails.total() == 1


def test_rates_are_over_measured_mails_and_a_mail_counts_once(village: Village) -> None:
    people = crowd(village, 8)
    message = village.publish(ISSUE)
    mails = [sent(village, one, message_id=message, tracked=one != people[7]) for one in people]
    failed = sent(village, people[0], tracked=True, state="failed")
    for delivery in (*mails[:3], mails[0], mails[0]):
        fact(village, "opened", delivery, verdict="human")
    fact(village, "opened", mails[7], verdict="human")  # was not measured
    fact(village, "opened", failed, verdict="human")
    fact(village, "clicked", mails[1], verdict="human")
    for verdict in ("machine", "machine", "unsure", "raw"):
        fact(village, "clicked", mails[2], verdict=verdict)
    found = report(village).mails
    (mailing,) = found.mailings
    assert mailing.reach == Reach(accepted=8, measurable=7, opened=3, clicked=1)
    assert mailing.reach.tells
    assert (found.judged.machine, found.judged.unsure, found.judged.raw) == (2, 1, 1)


def test_too_few_measured_mails_tell_no_rate() -> None:
    assert not Reach(accepted=100, measurable=4, opened=4).tells


@pytest.mark.parametrize(("unmeasured", "shown"), [(5, True), (4, False)])
def test_clicks_are_told_by_link_and_without_a_person_apart(
    village: Village, unmeasured: int, shown: bool
) -> None:
    """And not at all where few could have clicked without being known."""
    people = crowd(village, 6)
    message = village.publish(ISSUE)
    for n in range(unmeasured):
        sent(village, village.person(f"q{n}@schule.example"), message_id=message)
    named = village.insert(
        LINK, message_id=message, number=1, url="https://a.example/x", name="termine"
    )
    bare = village.insert(LINK, message_id=message, number=2, url="https://vhs.example/y?z=1")
    for number, person in enumerate(people):
        delivery = sent(village, person, message_id=message, tracked=True)
        both = {"subscriber_id": person, "verdict": "human", "message_id": message}
        fact(village, "clicked", delivery, link_id=named, **both)
        fact(village, "clicked", delivery, link_id=named, **both)
        if number < 4:
            fact(village, "clicked", delivery, link_id=bare, **both)
    for day, n in ((date(2026, 11, 15), 100), (date(2026, 11, 16), 2), (date(2026, 11, 22), 3)):
        village.insert(COUNTER, message_id=message, link_id=named, kind="clicked", day=day, n=n)
    found = report(village).mails
    hidden = Cell(None, "covered")
    assert [(one.name, one.people, one.uncounted) for one in found.links] == [
        ("termine", Cell(6), Cell(5) if shown else hidden),
        ("vhs.example", Cell(None, "small"), Cell(0) if shown else hidden),
    ]
    assert found.mailings[0].uncounted_clicks == (Cell(5) if shown else hidden)


# -- people


def join(
    village: Village,
    person: int,
    at: datetime,
    source: str | None = None,
    stream: str = "newsletter",
) -> None:
    number = village.subscribe(person, village.stream(stream, "newsletter"), source=source)
    village.change(SUBSCRIPTION, number, confirmed_at=at)


def test_who_came_and_left_is_compared_with_the_week_before(village: Village) -> None:
    people = crowd(village, 5)
    for number, person in enumerate(people[:4]):
        join(village, person, MONDAY_TEN - (2 + 3 * number) * DAY)
    gone = village.subscribe(people[4], village.stream(), "unsubscribed")
    village.change(SUBSCRIPTION, gone, unsubscribed_at=MONDAY_TEN - DAY)
    village.signup(people[0], requested_at=MONDAY_TEN - DAY)
    found = report(village).joining
    assert (found.requested, found.confirmed, found.left) == (Pair(1, 0), Pair(2, 2), Pair(1, 0))
    assert found.members == 4
    assert [(one.slug, one.confirmed, one.left, one.members) for one in found.offers] == [
        ("newsletter", Pair(2, 2), Pair(0, 0), 4),
        ("kurs", Pair(0, 0), Pair(1, 0), 0),
    ]


def test_a_retired_offer_is_told_of_while_somebody_is_in_it(village: Village) -> None:
    for slug in ("alt", "leer"):
        village.change(STREAM, village.stream(slug), retired_at=village.now)
    village.subscribe(village.person(), village.stream("alt"))
    assert [one.slug for one in report(village).joining.offers] == ["alt"]


def test_who_confirms_two_offers_is_one_person_of_one_source(village: Village) -> None:
    for person in crowd(village, 6, district="Gorbitz"):
        for stream in ("newsletter", "kurs"):
            join(village, person, MONDAY_TEN - DAY, "flyer", stream)
    found = report(village).joining
    assert found.confirmed == Pair(6, 0)
    assert found.by_source.rows == (("flyer", Cell(6), Cell(0)),)
    assert found.by_district.rows == (("Gorbitz", Cell(6), Cell(0)),)


def test_small_sources_and_districts_are_hidden(village: Village) -> None:
    districts = ["Gorbitz"] * 9 + ["Prohlis"] * 6 + ["Cotta"] * 3
    for person, district in zip(crowd(village, 18), districts, strict=True):
        village.change(SUBSCRIBER, person, district=district)
        join(village, person, MONDAY_TEN - DAY)
    found = report(village).joining
    assert found.by_source.rows == (("", Cell(18), Cell(0)),)
    assert {label: now for label, now, _ in found.by_district.rows} == {
        "Gorbitz": Cell(9),
        "Prohlis": Cell(None, "covered"),
        "Cotta": Cell(None, "small"),
    }


def test_interests_count_people_over_all_mails_and_answers_by_text(village: Village) -> None:
    people = crowd(village, 5)
    for person in people:
        for slug in ("kurs/01", "kurs/02"):
            delivery = sent(village, person, slug, kind="lesson")
            fact(village, "interested", delivery, subscriber_id=person, name="video")
            fact(village, "answered", delivery, subscriber_id=person, name="q1")
    found = report(village).joining
    assert [(one.kind, one.slug, one.name, one.people) for one in found.acts] == [
        ("answered", "kurs/01", "q1", Cell(5)),
        ("answered", "kurs/02", "q1", Cell(5)),
        ("interested", "", "video", Cell(5)),
    ]


# -- courses


def test_a_course_is_told_lesson_by_lesson(village: Village) -> None:
    school(village)
    people = [village.learner(f"l{n}@schule.example", tracking=True) for n in range(3)]
    for person in people:
        enroll(village, person)
    tick(village)
    village.clock.advance(WEEK)
    village.do(courses.cancel, people[2], [village.stream()], village.now)
    tick(village)
    lessons = [row for row in village.rows() if row["slug"] == "kurs/01"]
    fact(village, "answered", lessons[0]["id"], at=village.now, name="q1")
    village.change(ENROLLMENT, village.rows(ENROLLMENT)[0]["id"], completed_at=village.now)
    village.clock.advance(WEEK)
    (course,) = report(village, "2026-W49").courses
    assert dict(course.learners) == {"active": 2, "paused": 0, "finished": 0, "cancelled": 1}
    assert (course.completed, course.began, course.is_taken) == (1, 0, True)
    told = [
        (one.due, one.reach.accepted, one.in_span, one.answered, one.ahead)
        for one in course.lessons
    ]
    assert told[:3] == [(3, 3, 0, 1, 0), (2, 2, 2, 0, 0), (0, 0, 0, 0, 2)]
    assert course.lessons[6].kind == "evaluation"


def test_days_done_are_told_with_those_of_the_week(village: Village) -> None:
    school(village)
    for n in range(2):
        person = village.learner(f"l{n}@schule.example")
        enrollment = enroll(village, person)
        for days in range(3):
            at = village.now + days * WEEK
            fact = {"at": at, "subscriber_id": person, "enrollment_id": enrollment}
            village.do(events.mark, fact, at.date())
    village.clock.advance(3 * WEEK)
    told = report(village, "2026-W49")
    (course,) = told.courses
    assert (course.done_days, course.done_in_span) == (6, 2)
    words = Words("de", told.zone)
    first = course_section({}, course, words, name="kurs").blocks[1]
    assert isinstance(first, Paragraph)
    assert first.text.startswith("Zusammen 6 Lerntage, seit es den Kurs gibt.")
    assert first.text.endswith("In diesem Zeitraum kamen 2 dazu.")


def test_openings_of_lessons_count_as_far_as_they_are_measured(village: Village) -> None:
    school(village)
    person = village.learner(tracking=True)
    enrollment = enroll(village, person)
    for slug, tracked in (("kurs/01", True), ("kurs/02", False)):
        delivery = sent(
            village, person, slug, kind="lesson", tracked=tracked, enrollment_id=enrollment
        )
        fact(village, "opened", delivery, verdict="human")
    (course,) = report(village).courses
    assert [one.reach for one in course.lessons[:2]] == [Reach(1, 1, 1, 0), Reach(1, 0, 0, 0)]


# -- what comes


def test_the_next_days_hold_lessons_of_every_cadence_and_campaigns(village: Village) -> None:
    village.clock.set(MONDAY_TEN - timedelta(hours=2))
    school(village)
    daily = Outline(
        "tag", "Tag", {"every_days": 1, "at": "07:30"}, [(f"tag/{n}", "lesson") for n in range(3)]
    )
    village.do(courses.define, daily, village.stream(), village.now)
    for number in range(3):
        person = village.learner(f"l{number}@schule.example")
        enroll(village, person)
        if number:
            enroll(village, person, slug="tag")
    campaign = village.campaign()
    village.change(CAMPAIGN, campaign, scheduled_at=village.now + 2 * DAY)
    later = village.campaign("newsletter/2027-01")
    village.change(CAMPAIGN, later, scheduled_at=village.now + 8 * DAY)
    found = report(village).outlook
    told = [
        (f"{one.due_at.astimezone(BERLIN):%a %H:%M}", one.slug, one.people) for one in found.coming
    ]
    assert told == [
        ("Mon 10:00", "kurs/01", 3),
        ("Tue 07:30", "tag/0", 2),
        ("Wed 07:30", "tag/1", 2),
        ("Wed 08:00", ISSUE, None),
        ("Thu 07:30", "tag/2", 2),
    ]
    assert (found.first_on, found.last_on) == (date(2026, 11, 23), date(2026, 11, 29))


def test_a_holiday_that_hits_lessons_is_told_two_weeks_before(village: Village) -> None:
    village.clock.set(datetime(2027, 3, 16, 7, tzinfo=UTC))
    school(village)
    for number in range(2):
        enroll(village, village.learner(f"l{number}@schule.example"))
    (holiday,) = report(village, "2027-W10").outlook.holidays
    assert (holiday.on, holiday.name, holiday.lessons) == (date(2027, 3, 29), "Ostermontag", 2)


def test_courses_without_open_days_and_batches_that_wait_are_told_once(village: Village) -> None:
    school(village)
    enrollment = enroll(village, village.learner())
    school(village, replace(KURS, rules={"closed": ["2026-11-23..2099-12-31"]}))
    village.change(ENROLLMENT, enrollment, structure_id=village.rows(STRUCTURE)[-1]["id"])
    trigger = village.insert(
        TRIGGER, slug="lifecycle/x", kind="clicked", stream_id=village.stream(), rule={}
    )
    approval = village.insert(
        APPROVAL,
        trigger_id=trigger,
        occasion="1",
        due_at=village.now,
        requested_at=village.now,
        lapses_at=village.now + DAY,
    )
    person = village.rows(SUBSCRIBER)[0]["id"]
    village.delivery(
        person, "lifecycle", state="held", reason=AWAITING_APPROVAL, approval_id=approval
    )
    agenda = Agenda(Rules(b"p" * 32, BERLIN, "de"), parish.ASKING.question)
    found = report(village, terms=replace(TERMS, agenda=agenda))
    assert [(one.cause, one.subject, one.n) for one in found.needs] == [
        (Cause.STUCK, "kurs", 1),
        (Cause.APPROVAL, "lifecycle/x", 1),
    ]
    told = needs_of(found)
    assert [sum(name in line for line in told) for name in ("kurs", "lifecycle/x")] == [1, 1]


# -- the whole


def test_needs_texts_and_the_anchor_are_told(village: Village) -> None:
    village.delivery(village.learner(), state="held", reason="cap")
    person = village.rows(SUBSCRIBER)[0]["id"]
    village.do(consents.note, "confirmed", person, {"streams": ["kurs"]}, village.now)
    standings = (Standing("kurs/01", "de", "changed"), Standing("kurs/02", "de", "published"))
    found = report(village, terms=Terms("Amt", "de", BERLIN, ("no address",), standings))
    assert [need.cause for need in found.needs] == [Cause.REFUSED, Cause.HELD]
    assert [one.slug for one in found.unpublished] == ["kurs/01"]
    assert (found.proof.acts, found.proof.broken_at) == (1, None)
    assert found.proof.link == village.rows(CONSENT)[-1]["link"]


def test_the_same_rows_and_moment_give_the_same_report(village: Village) -> None:
    school(village)
    for number in range(7):
        enroll(village, village.learner(f"l{number}@schule.example", district=f"D{number % 2}"))
    tick(village)
    village.clock.advance(WEEK)
    assert report(village, "2026-W48") == report(village, "2026-W48")


def test_an_empty_house_is_known_as_one(village: Village) -> None:
    assert report(village).is_empty
    village.learner()
    assert not report(village).is_empty


def test_an_issue_and_a_course_have_reports_of_their_own(village: Village) -> None:
    school(village)
    campaign = village.campaign()
    village.change(CAMPAIGN, campaign, scheduled_at=MONDAY_TEN - 6 * DAY)
    for person in crowd(village, 3):
        sent(village, person)
    sent(village, person, "newsletter/2026-11")
    issue = village.do(look_at_issue, ISSUE, village.now, TERMS)
    assert [(one.slug, one.planned) for one in issue.mails.mailings] == [(ISSUE, 3)]
    assert village.do(look_at_course, "kurs", village.now, TERMS).course.slug == "kurs"
    with pytest.raises(ReportError, match="never scheduled"):
        village.do(look_at_issue, "newsletter/2027-09", village.now, TERMS)
    village.change(CAMPAIGN, campaign, scheduled_at=village.now + DAY)
    with pytest.raises(ReportError, match="has not begun"):
        village.do(look_at_issue, ISSUE, village.now, TERMS)
