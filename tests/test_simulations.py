"""What a simulation says comes true, and asking changes nothing."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from l3mail import courses, newsletters, rounds, simulations, subscribers
from l3mail.addresses import parse_address
from l3mail.audiences import Terms as AskingTerms
from l3mail.calendars import wall_to_utc
from l3mail.courses import Outline
from l3mail.models import CAMPAIGN, DELIVERY, ENROLLMENT, EVENT, METADATA, SEGMENT
from l3mail.outbox import AWAITING_APPROVAL, Outcome
from l3mail.rounds import Agenda
from l3mail.simulations import Forecast, Terms, compare
from l3mail.subscribers import Request, Rules
from tests.fakes import parish
from tests.fakes.parish import ASKING, berlin
from tests.fakes.village import MONDAY_TEN, PEPPER, Village
from tests.test_courses import BERLIN, DAILY, KURS, deliver, enroll, local, plan, school, tick

WEEK = timedelta(days=7)
TERMS = AskingTerms(BERLIN, "opt-in", "de", {}, ("newsletter",))
AGENDA = Agenda(Rules(PEPPER, BERLIN, "de"), TERMS.question)
CLOSED = Outline(
    "zu", "Zu", KURS.cadence, [(f"zu/{n}", "lesson") for n in range(1, 5)],
    {"closed": ["2027-03-29..2027-04-06"], "skip_holidays": "DE-SN"},
)  # fmt: skip


def foresee(
    village: Village,
    weeks: int = 8,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Forecast]:
    terms = Terms(village.now, until or (since or village.now) + weeks * WEEK, since)
    return village.database.read(lambda c: simulations.simulate(c, terms, AGENDA))


def live(village: Village, days: int) -> None:
    """Run the real planner and sender through so many days, at the hours that matter."""
    first = village.now.astimezone(BERLIN).date()
    for day in range(days):
        for hour in (time(7, 30), time(8), time(10), time(20)):
            moment = wall_to_utc(first + timedelta(days=day), hour, BERLIN)
            if moment >= village.now:
                village.clock.set(moment)
                rounds.run(village.database, village.clock, AGENDA)
                tick(village)


def told(forecasts: list[Forecast]) -> list[tuple[str, str]]:
    return [(mail.message, local(mail.due_at)) for mail in forecasts]


def dump(village: Village) -> dict[str, list[str]]:
    return {table.name: sorted(map(str, village.rows(table))) for table in METADATA.sorted_tables}


def test_what_is_foreseen_is_what_the_planner_then_does(village: Village) -> None:
    """Across the change of clocks, a pause, closed days, a lesson in flight and someone barred."""
    village.clock.set(datetime(2027, 3, 2, 12, tzinfo=UTC))
    for outline in (KURS, DAILY, CLOSED):
        school(village, outline)
    people = [village.learner(f"p{n}@schule.example") for n in range(7)]
    for person, slug in zip(
        people, ["kurs", "tag", "zu", "kurs", "kurs", "zu", "kurs"], strict=True
    ):
        enroll(village, person, slug=slug)
    enroll(village, people[0], slug="tag")
    enroll(village, people[1], village.now + 3 * WEEK)
    live(village, 15)
    village.do(courses.pause, 4, village.now + timedelta(days=9), village.now)
    village.do(courses.pause, 5, None, village.now)
    village.suppress(people[6], "never")
    live(village, 1)
    known = {row["id"] for row in village.rows()}
    before = dump(village)
    foreseen = foresee(village)
    assert dump(village) == before
    live(village, 8 * 7 + 1)
    addresses = {person: f"p{n}@schule.example" for n, person in enumerate(people)}
    came = sorted(
        Forecast(row["due_at"], addresses[row["subscriber_id"]], row["slug"], row["kind"])
        for row in village.rows()
        if row["id"] not in known and row["state"] == "accepted"
    )
    assert foreseen == came
    assert len(foreseen) > 15
    assert ("zu/4", "Mon 12 Apr 10:00") in told(foreseen)
    assert "evaluation" in {mail.kind for mail in foreseen}
    assert "p6@schule.example" not in {mail.email for mail in foreseen}


def test_a_year_of_lifecycle_mails_is_foreseen_as_it_comes(village: Village) -> None:
    """Birthdays, anniversaries, a yearly mailing, facts, silence: the same rows on both clocks."""
    village.clock.set(berlin("2027-01-01 12:00"))
    agenda = Agenda(AGENDA.rules, ASKING.question)
    parish.declare(village, "lifecycle/geburtstag", trigger="birthday", once="yearly")
    parish.declare(village, "lifecycle/jahrestag", trigger="anniversary", at="07:00")
    parish.declare(village, "lifecycle/tag", trigger="yearly", on="09-08", valid_for="2d")
    parish.declare(village, "lifecycle/neu", trigger="joined", after="30d")
    parish.declare(village, "lifecycle/still", trigger="inactive", after="60d", once="ever")
    parish.declare(
        village, "lifecycle/video", trigger="interested", of="video", after="80d", at="10:00"
    )
    parish.declare(village, "lifecycle/zwei", trigger="yearly", on="10-31", approval="required")
    births = [(2, 29), (1, 1), (3, 28), (12, 31), (None, None)]
    for n, (month, day) in enumerate(births):
        joined = village.now - timedelta(days=n * 100)
        values: dict[str, Any] = {"birth_month": month, "birth_day": day, "tracking": n == 1}
        person = parish.friend(village, f"p{n}", joined=joined, **values)
        parish.happen(village, person, "interested", name="video", at=joined + timedelta(hours=n))
    village.suppress(3, "never")
    before = dump(village)
    terms = Terms(village.now, village.now + timedelta(days=366))
    foreseen = village.database.read(lambda c: simulations.simulate(c, terms, agenda))
    assert dump(village) == before
    while village.now < terms.until:
        rounds.run(village.database, village.clock, agenda)
        for started in village.start(lane=2):
            village.record(started, Outcome.ACCEPTED)
        village.clock.advance(timedelta(days=1))
    rows = village.rows()
    came = sorted(
        (row["due_at"], f"p{row['subscriber_id'] - 1}@schule.example", row["slug"])
        for row in rows
        if row["state"] == "accepted"
    )
    planned = [mail for mail in foreseen if mail.status == "planned"]
    assert [(mail.due_at, mail.email, mail.message) for mail in planned] == came
    assert {slug for _, _, slug in came} == {
        f"lifecycle/{name}" for name in ("geburtstag", "jahrestag", "tag", "neu", "still", "video")
    }
    held = [(mail.message, mail.reason) for mail in foreseen if mail.status == "held"]
    assert held == [("lifecycle/zwei", AWAITING_APPROVAL)] * 4
    assert [row["state"] for row in rows if row["slug"] == "lifecycle/zwei"] == ["lapsed"] * 4


def test_what_waits_in_a_paused_campaign_is_not_foreseen(village: Village) -> None:
    campaign = village.campaign()
    village.change(CAMPAIGN, campaign, planned_at=village.now)
    village.publish("newsletter/2026-12")
    person = village.learner()
    stream = village.stream("newsletter", "newsletter")
    village.subscribe(person, stream)
    village.delivery(
        person, "newsletter", slug="newsletter/2026-12", campaign_id=campaign, stream_id=stream
    )
    assert [mail.kind for mail in foresee(village, weeks=1)] == ["newsletter"]
    village.change(CAMPAIGN, campaign, paused_at=village.now)
    assert foresee(village, weeks=1) == []


def test_a_campaign_to_come_is_foreseen_with_the_audience_it_will_have_by_then(
    village: Village,
) -> None:
    """Its segment asks for a lesson that one of the two has not had yet, but will."""
    school(village)
    stream = village.stream("newsletter", "newsletter")
    village.publish("newsletter/2026-12", stream="newsletter")
    village.insert(SEGMENT, name="lernende", expression='received("kurs/01")', saved_at=village.now)
    for number, weeks in enumerate([0, 1, 5]):
        person = village.learner(f"p{number}@schule.example")
        village.subscribe(person, stream)
        enroll(village, person, village.now + weeks * WEEK)
    tick(village)
    at = village.now + timedelta(days=9)
    village.do(
        newsletters.schedule,
        "newsletter/2026-12",
        at,
        segment="lernende",
        by="eva",
        now=village.now,
    )
    known = {row["id"] for row in village.rows()}
    before = dump(village)
    foreseen = foresee(village, weeks=3)
    assert dump(village) == before
    assert [mail.email for mail in foreseen if mail.kind == "newsletter"] == [
        "p0@schule.example",
        "p1@schule.example",
    ]
    assert {mail.due_at for mail in foreseen if mail.kind == "newsletter"} == {at}
    for _ in range(3 * 7 * 2):
        village.clock.advance(timedelta(hours=12))
        rounds.run(village.database, village.clock, AGENDA)
        for lane in (1, 2):
            for started in village.start(lane=lane):
                village.record(started, Outcome.ACCEPTED)
    came = sorted((row["due_at"], row["slug"]) for row in village.rows() if row["id"] not in known)
    assert sorted((mail.due_at, mail.message) for mail in foreseen) == came


def test_one_learner_is_foreseen_week_by_week_at_ten_across_the_end_of_summer(
    village: Village,
) -> None:
    village.clock.set(datetime(2026, 10, 6, 12, tzinfo=UTC))
    school(village)
    enroll(village, village.learner())
    assert told(foresee(village)) == [
        ("kurs/01", "Mon 12 Oct 10:00"),
        ("kurs/02", "Mon 19 Oct 10:00"),
        ("kurs/03", "Mon 26 Oct 10:00"),
        ("kurs/04", "Mon 02 Nov 10:00"),
        ("kurs/05", "Mon 09 Nov 10:00"),
        ("kurs/06", "Mon 16 Nov 10:00"),
        ("kurs/evaluation", "Mon 23 Nov 10:00"),
    ]


def test_the_end_is_included_and_what_is_due_before_the_beginning_is_not_told(
    village: Village,
) -> None:
    school(village)
    enroll(village, village.learner())
    assert told(foresee(village, since=MONDAY_TEN + WEEK, until=MONDAY_TEN + 2 * WEEK)) == [
        ("kurs/02", "Mon 30 Nov 10:00"),
        ("kurs/03", "Mon 07 Dec 10:00"),
    ]
    assert foresee(village, since=MONDAY_TEN + 9 * WEEK) == []


def test_a_beginning_in_the_past_lets_the_clock_start_there(village: Village) -> None:
    school(village)
    enroll(village, village.learner(), datetime(2026, 1, 5, 9, tzinfo=UTC))
    since = datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert told(foresee(village, since=since, weeks=2))[:2] == [
        ("kurs/01", "Mon 05 Jan 10:00"),
        ("kurs/02", "Mon 12 Jan 10:00"),
    ]
    village.clock.advance(timedelta(days=3))
    assert told(foresee(village))[0] == ("kurs/01", "Mon 30 Nov 10:00")


def test_what_waits_today_leads_on_from_today_wherever_the_clock_starts(village: Village) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    assert told(foresee(village, since=MONDAY_TEN - 4 * WEEK, weeks=5)) == [
        ("kurs/01", "Mon 23 Nov 10:00"),
        ("kurs/02", "Mon 30 Nov 10:00"),
    ]


@pytest.mark.parametrize("outcome", [None, Outcome.DEFERRED, Outcome.UNKNOWN])
def test_what_waits_in_the_outbox_goes_out_first_and_is_not_told_twice(
    village: Village, outcome: Outcome | None
) -> None:
    school(village)
    enroll(village, village.learner())
    plan(village)
    if outcome:
        deliver(village, outcome)
    village.clock.advance(timedelta(minutes=5))
    assert told(foresee(village, weeks=1)) == [
        ("kurs/01", "Mon 23 Nov 10:00"),
        ("kurs/02", "Mon 30 Nov 10:00"),
    ]


def test_who_asked_to_join_gets_one_confirmation_and_no_lesson_since_nobody_clicks(
    village: Village,
) -> None:
    school(village)
    request = Request(parse_address("neu@schule.example"), ("kurs",))
    village.do(subscribers.sign_up, AGENDA.rules, request, village.now)
    before = dump(village)
    assert [(mail.email, mail.kind) for mail in foresee(village)] == [
        ("neu@schule.example", "confirmation")
    ]
    assert dump(village) == before


def test_a_queued_mail_to_somebody_who_left_is_not_told(village: Village) -> None:
    school(village)
    person = village.learner()
    enroll(village, person)
    plan(village)
    village.suppress(person, "complaint")
    assert foresee(village) == []


def test_a_lesson_nobody_published_is_told_as_held_and_nothing_after_it(village: Village) -> None:
    school(village)
    outline = Outline("neu", "Neu", KURS.cadence, [("kurs/01", "lesson"), ("neu/02", "lesson")])
    village.do(courses.define, outline, village.stream(), village.now)
    enroll(village, village.learner(), slug="neu")
    foreseen = foresee(village)
    assert [(mail.message, mail.status) for mail in foreseen] == [
        ("kurs/01", "planned"),
        ("neu/02", "held"),
    ]
    assert "published" in str(foreseen[1].reason)


def test_a_course_without_an_open_day_ends_the_simulation_all_the_same(village: Village) -> None:
    never = {"closed": ["2026-11-24..2099-12-31"]}
    school(village, Outline("kurs", "Kurs", KURS.cadence, KURS.lessons, never))
    enroll(village, village.learner())
    assert told(foresee(village)) == [("kurs/01", "Mon 23 Nov 10:00")]


def test_history_is_copied_where_a_segment_may_ask_for_it(sqlite_village: Village) -> None:
    village = sqlite_village
    person = village.learner()
    village.delivery(person, state="accepted", ended_at=village.now)

    def copied() -> int:
        def verb(connection: object) -> int:
            with simulations.copied(connection) as memory:  # type: ignore[arg-type]
                return len(memory.execute(DELIVERY.select()).all())

        return village.database.read(verb)

    assert copied() == 0
    village.campaign()
    assert copied() == 1
    village.change(CAMPAIGN, 1, cancelled_at=village.now)
    assert copied() == 0


def test_every_table_is_copied_or_of_no_account_to_planning(sqlite_village: Village) -> None:
    """A halt is taken as lifted; the others are records of what was."""
    of_no_account = {"actions", "certificate", "consent", "counter", "halt", "source"}
    of_no_account |= {"aged_delivery", "aged_event", "aging"}
    copied = {table.name for table in (*simulations._WHOLE, DELIVERY, EVENT)}
    assert copied | of_no_account == set(METADATA.tables)
    assert not copied & of_no_account


def test_the_simulation_says_which_moment_it_is_at(sqlite_village: Village) -> None:
    village = sqlite_village
    school(village)
    enroll(village, village.learner())
    village.change(ENROLLMENT, 1, anchor_on=date(2026, 11, 23))
    heard: list[datetime] = []
    terms = Terms(village.now, village.now + 2 * WEEK)
    village.database.read(lambda c: simulations.simulate(c, terms, AGENDA, heard.append))
    assert heard == [MONDAY_TEN, MONDAY_TEN + WEEK, MONDAY_TEN + 2 * WEEK]


def mail(message: str, day: int, email: str = "a@b.example") -> dict[str, str]:
    return {"email": email, "message": message, "due_at": f"2026-12-{day:02}T10:00:00+01:00"}


def test_two_forecasts_differ_by_what_was_added_removed_and_moved() -> None:
    before = [mail("k/1", 7), mail("k/2", 14), mail("k/3", 21), mail("k/1", 7, "b@b.example")]
    after = [mail("k/1", 7), mail("k/2", 21), mail("k/4", 28), mail("k/1", 7, "b@b.example")]
    found = compare(before, after)
    assert found.added == [mail("k/4", 28)]
    assert found.removed == [mail("k/3", 21)]
    assert found.moved == [(mail("k/2", 14), mail("k/2", 21))]
    assert not compare(before, list(reversed(before)))


def test_the_same_mail_twice_is_compared_by_its_moments() -> None:
    assert compare([mail("k/1", 7), mail("k/1", 14)], [mail("k/1", 14)]).removed == [mail("k/1", 7)]
    moved = compare([mail("k/1", 7), mail("k/1", 14)], [mail("k/1", 14), mail("k/1", 21)]).moved
    assert moved == [(mail("k/1", 7), mail("k/1", 21))]
