"""Campaigns: scheduled, planned for whom, paused, cancelled; on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, and_, delete, event, exists, false, not_, select

from l3mail import newsletters
from l3mail.audiences import Questions
from l3mail.errors import L3mailError
from l3mail.models import (
    CAMPAIGN,
    CAMPAIGN_MESSAGE,
    DELIVERY,
    MESSAGE,
    SEGMENT,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
)
from l3mail.newsletters import Audience, LastTime, Planned
from l3mail.outbox import Outcome, restored
from l3mail.segments import Question
from tests.fakes.village import MONDAY_TEN, Village

ISSUE = "newsletter/2026-12"
TOMORROW = MONDAY_TEN + timedelta(days=1)
BULK = 2


def in_gorbitz(connection: Connection, name: str, now: datetime) -> Question:
    """The only segment of these tests, whatever it is called."""
    return Question(SUBSCRIBER.c.district == "Gorbitz", SUBSCRIBER.c.district.is_(None))


def unreadable(connection: Connection, name: str, now: datetime) -> Question:
    raise L3mailError("districts: no such attribute")


@pytest.fixture
def town(village: Village) -> Village:
    """A published issue, and three people who read the newsletter."""
    village.stream("newsletter", "newsletter")
    publish(village)
    for name in ("ada", "bea", "cem"):
        reader(village, name)
    return village


def publish(village: Village, locale: str = "de", slug: str = ISSUE, **parts: Any) -> int:
    return village.publish(slug, locale, **{"stream": "newsletter"} | parts)


def reader(village: Village, name: str, state: str = "confirmed", **values: Any) -> int:
    """Somebody who joined days before anything is scheduled, if they are confirmed."""
    person = village.person(f"{name}@schule.example", **values)
    joined_at = village.now - timedelta(days=3) if state == "confirmed" else None
    stream = village.stream("newsletter", "newsletter")
    village.subscribe(person, stream, state, confirmed_at=joined_at)
    return person


def schedule(
    village: Village,
    at: datetime | None = None,
    slug: str = ISSUE,
    segment: str | None = None,
) -> int:
    return village.do(
        newsletters.schedule, slug, at or village.now, segment=segment, by="editor", now=village.now
    )


def plan(village: Village, limit: int = 100, question: Questions = in_gorbitz) -> Planned:
    return village.do(
        newsletters.plan, village.now, question=question, fallback_locale="de", limit=limit
    )


def plan_all(village: Village, limit: int) -> None:
    while plan(village, limit).more:
        pass


def audience(village: Village, question: Question | None = None) -> Audience:
    return village.do(
        newsletters.audience, village.stream("newsletter", "newsletter"), question, village.now
    )


def campaign(village: Village) -> newsletters.Campaign:
    found = village.do(newsletters.find, ISSUE)
    assert found is not None
    return found


def planned_for(village: Village) -> list[int]:
    return sorted(row["subscriber_id"] for row in village.rows())


def test_everybody_confirmed_gets_one_delivery_when_it_is_due(town: Village) -> None:
    number = schedule(town, TOMORROW)
    assert plan(town) == Planned()
    town.clock.set(TOMORROW)
    assert plan(town) == Planned(3)
    assert planned_for(town) == [1, 2, 3]
    (pinned,) = town.rows(CAMPAIGN_MESSAGE)
    for row in town.rows():
        expected = {
            "purpose": "stream",
            "kind": "newsletter",
            "occurrence": f"campaign:{number}",
            "campaign_id": number,
            "slug": ISSUE,
            "message_id": pinned["message_id"],
            "lane": BULK,
            "state": "queued",
            "due_at": TOMORROW,
            "planned_at": TOMORROW,
        }
        assert expected.items() <= row.items()
    assert town.row(CAMPAIGN, number)["planned_at"] == TOMORROW


def test_replay_adds_nothing(town: Village) -> None:
    number = schedule(town)
    assert plan(town) == Planned(3)
    town.change(CAMPAIGN, number, planned_at=None)  # as if the mark had been lost
    assert plan(town) == Planned()
    assert len(town.rows()) == 3


def test_an_interrupted_plan_goes_on_where_it_was(town: Village) -> None:
    number = schedule(town)
    assert plan(town, limit=2) == Planned(2, more=True)
    assert town.row(CAMPAIGN, number)["planned_at"] is None
    assert plan(town, limit=2) == Planned(1)
    assert planned_for(town) == [1, 2, 3]
    assert town.row(CAMPAIGN, number)["planned_at"] is not None


def test_who_confirms_while_batches_are_planned_is_not_passed_over(town: Village) -> None:
    late = reader(town, "dan", state="unconfirmed")
    reader(town, "eva")
    first = town.row(SUBSCRIPTION, 1)["subscriber_id"]
    town.change(SUBSCRIPTION, 1, state="unconfirmed")
    number = schedule(town)
    assert plan(town, limit=3) == Planned(3, more=True)
    for subscription in town.rows(SUBSCRIPTION):
        town.change(SUBSCRIPTION, subscription["id"], state="confirmed", confirmed_at=town.now)
    assert plan(town, limit=3) == Planned(2)
    assert {first, late} < set(planned_for(town))
    assert len(town.rows()) == 5
    assert town.row(CAMPAIGN, number)["planned_at"] is not None


MAY_BE_MAILED: dict[str, tuple[Callable[[Village], object], Callable[[Village], object]]] = {
    "released from a restriction": (
        lambda v: v.change(SUBSCRIBER, 1, restricted_at=v.now - timedelta(days=9)),
        lambda v: v.change(SUBSCRIBER, 1, restricted_at=None),
    ),
    "no longer suppressed": (
        lambda v: v.suppress(1, "operator"),
        lambda v: v.do(lambda connection: connection.execute(delete(SUPPRESSION))),
    ),
    "confirmed before, and written late": (
        lambda v: v.change(SUBSCRIPTION, 1, state="unconfirmed", confirmed_at=None),
        lambda v: v.change(
            SUBSCRIPTION, 1, state="confirmed", confirmed_at=v.now - timedelta(seconds=1)
        ),
    ),
    "moved to where it is meant for": (
        lambda v: v.change(SUBSCRIBER, 1, district="Prohlis"),
        lambda v: v.change(SUBSCRIBER, 1, district="Gorbitz"),
    ),
}
"""How the first one of all may not be mailed, and how they may be again."""


@pytest.mark.parametrize(("bar", "let"), MAY_BE_MAILED.values(), ids=MAY_BE_MAILED.keys())
@pytest.mark.parametrize("paused", [False, True], ids=["going on", "paused meanwhile"])
def test_who_may_be_mailed_again_when_they_were_looked_at_is_not_passed_over(
    town: Village, bar: Callable[[Village], object], let: Callable[[Village], object], paused: bool
) -> None:
    for person in (1, 2, 3):
        town.change(SUBSCRIBER, person, district="Gorbitz")
    bar(town)
    number = schedule(town, segment="gorbitz")
    assert plan(town, limit=1).more
    assert town.row(CAMPAIGN, number)["reached"] >= 1
    if paused:
        town.do(newsletters.pause, number, town.now, "a slip")
    let(town)
    if paused:
        town.do(newsletters.resume, number)
    plan_all(town, limit=1)
    assert planned_for(town) == [1, 2, 3]
    assert town.row(CAMPAIGN, number)["planned_at"] is not None


def test_a_campaign_that_goes_on_looks_again_at_all_though_it_had_come_far(town: Village) -> None:
    """Paused as its second look was nearly over, it begins that again."""
    for n in range(20):
        reader(town, f"p{n}")
    town.change(SUBSCRIBER, 1, restricted_at=town.now)
    number = schedule(town)
    while plan(town, limit=2).more and town.row(CAMPAIGN, number)["reached"] > -10:
        pass
    assert town.row(CAMPAIGN, number)["reached"] < -10
    town.do(newsletters.pause, number, town.now, "a slip")
    town.change(SUBSCRIBER, 1, restricted_at=None)
    town.do(newsletters.resume, number)
    plan_all(town, limit=2)
    assert planned_for(town) == list(range(1, 24))


def test_no_step_writes_more_than_its_limit_however_many_come_late(town: Village) -> None:
    for n in range(30):
        reader(town, f"p{n}", state="unconfirmed")
    reader(town, "zoe")
    number = schedule(town)
    assert plan(town, limit=4) == Planned(4, more=True)
    for subscription in range(4, 34):
        town.change(SUBSCRIPTION, subscription, state="confirmed", confirmed_at=town.now)
    made = []
    while (step := plan(town, limit=3)).more:
        made.append(step.deliveries)
    assert max(made) == 3
    assert planned_for(town) == list(range(1, 35))
    assert town.row(CAMPAIGN, number)["planned_at"] is not None


def test_looking_again_draws_no_numbers_for_whom_there_is_a_mail(town: Village) -> None:
    """Links and Message-IDs are made of them, and a restored database leaves out only so many."""
    for n in range(20):
        reader(town, f"p{n}")
    number = schedule(town)
    for _ in range(6):
        assert plan(town, limit=4).more
        town.do(newsletters.pause, number, town.now, "a slip")
        town.do(newsletters.resume, number)
    plan_all(town, limit=4)
    assert len(town.rows()) == 23
    assert town.do(restored.last_number) == 23


def test_a_step_looks_at_few_however_few_it_finds(town: Village) -> None:
    """Somebody waits to write while a segment is asked of people it does not select."""
    for n in range(20):
        reader(town, f"p{n}")
    last = reader(town, "zoe", district="Gorbitz")
    number = schedule(town, segment="gorbitz")
    reached = [0]
    while plan(town, limit=2).more:
        reached.append(town.row(CAMPAIGN, number)["reached"])
    # Once up to the last, then everybody again.
    assert reached == [0, 8, 16, 24, -7, -15, -23]
    assert planned_for(town) == [last]
    assert town.row(CAMPAIGN, number)["planned_at"] is not None


def test_a_step_that_is_nearly_full_does_not_ask_person_by_person(town: Village) -> None:
    """Each question takes its time, and somebody waits to write meanwhile."""
    for n in range(60):
        reader(town, f"p{n}", **({"district": "Gorbitz"} if n < 19 else {}))
    schedule(town, segment="gorbitz")
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(town.database.engine, "before_cursor_execute", note)
    try:
        assert plan(town, limit=20) == Planned(19, more=True)
    finally:
        event.remove(town.database.engine, "before_cursor_execute", note)
    assert len(asked) < 30


def test_a_batch_is_shared_by_campaigns_the_longest_due_first(town: Village) -> None:
    publish(town, slug="newsletter/2027-01")
    later = schedule(town, slug="newsletter/2027-01")
    town.change(CAMPAIGN, later, scheduled_at=MONDAY_TEN + timedelta(minutes=1))
    first = schedule(town)
    town.clock.advance(timedelta(hours=1))
    assert plan(town, limit=4) == Planned(4, more=True)
    assert [row["campaign_id"] for row in town.rows()] == [first] * 3 + [later]
    assert plan(town, limit=4) == Planned(2)


def test_two_planners_at_once_make_one_delivery_each_and_leave_nobody_out(town: Village) -> None:
    for n in range(40):
        reader(town, f"p{n}")
    schedule(town)

    def work(_: int) -> None:
        while plan(town, limit=5).more:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    while plan(town, limit=5).more:
        pass
    assert planned_for(town) == list(range(1, 44))
    assert campaign(town).planned_at is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda v: v.change(SUBSCRIPTION, 1, state="unconfirmed"), id="unconfirmed"),
        pytest.param(lambda v: v.change(SUBSCRIPTION, 1, state="unsubscribed"), id="unsubscribed"),
        pytest.param(lambda v: v.suppress(1, "complaint"), id="suppressed"),
        pytest.param(lambda v: v.change(SUBSCRIBER, 1, restricted_at=v.now), id="restricted"),
        pytest.param(lambda v: v.change(SUBSCRIBER, 1, erased_at=v.now), id="erased"),
    ],
)
def test_whom_nobody_may_mail_is_not_planned(
    town: Village, change: Callable[[Village], None]
) -> None:
    change(town)
    schedule(town)
    assert plan(town) == Planned(2)
    assert planned_for(town) == [2, 3]


def test_confirmed_for_another_stream_is_no_audience(town: Village) -> None:
    other = town.person("dan@schule.example")
    town.subscribe(other, town.stream("kurs"))
    schedule(town)
    assert plan(town) == Planned(3)
    assert other not in planned_for(town)


def test_a_segment_narrows_the_audience_and_unknown_selects_nobody(town: Village) -> None:
    town.insert(SEGMENT, name="gorbitz", expression="…", saved_at=town.now)
    town.change(SUBSCRIBER, 1, district="Gorbitz")
    town.change(SUBSCRIBER, 2, district="Prohlis")
    schedule(town, segment="gorbitz")
    assert plan(town) == Planned(1)
    assert planned_for(town) == [1]


def test_a_question_may_look_into_every_table_the_planner_reads(town: Village) -> None:
    """Whatever table it names, it asks of this person and not of anybody."""
    town.insert(SEGMENT, name="learners", expression="…", saved_at=town.now)
    town.subscribe(2, town.stream("kurs"))

    def learners(connection: Connection, name: str, now: datetime) -> Question:
        joined = exists(
            select(SUBSCRIPTION.c.id).where(
                SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id,
                SUBSCRIPTION.c.stream_id == town.stream("kurs"),
                SUBSCRIPTION.c.state == "confirmed",
            )
        )
        had_it = exists(
            select(DELIVERY.c.id)
            .join(CAMPAIGN, CAMPAIGN.c.id == DELIVERY.c.campaign_id)
            .where(DELIVERY.c.subscriber_id == SUBSCRIBER.c.id, CAMPAIGN.c.slug == "newsletter/x")
        )
        return Question(and_(joined, not_(had_it)), false())

    town.stream("kurs")
    schedule(town, segment="learners")
    assert plan(town, question=learners) == Planned(1)
    assert planned_for(town) == [2]


def test_a_segment_that_can_not_be_asked_pauses_its_campaign_and_no_other(town: Village) -> None:
    town.insert(SEGMENT, name="gorbitz", expression="…", saved_at=town.now)
    broken = schedule(town, segment="gorbitz")
    publish(town, slug="newsletter/2027-01")
    schedule(town, slug="newsletter/2027-01")
    assert plan(town, question=unreadable) == Planned(3, paused=1)
    row = town.row(CAMPAIGN, broken)
    assert row["paused_at"] is not None
    assert "no such attribute" in row["paused_reason"]
    assert {delivery["slug"] for delivery in town.rows()} == {"newsletter/2027-01"}


def test_each_gets_the_version_nearest_to_their_locale(town: Village) -> None:
    publish(town, "en")
    publish(town, "de-simple")
    for person, locale in ((1, "de-simple-CH"), (2, "en-GB"), (3, "fr")):
        town.change(SUBSCRIBER, person, locale=locale)
    schedule(town)
    plan(town)
    texts = {row["id"]: row["locale"] for row in town.rows(MESSAGE)}
    got = {row["subscriber_id"]: texts[row["message_id"]] for row in town.rows()}
    assert got == {1: "de-simple", 2: "en", 3: "de"}


def test_an_issue_in_neither_language_goes_out_in_the_one_it_has(town: Village) -> None:
    slug = "newsletter/special"
    message = publish(town, "en", slug)
    schedule(town, slug=slug)
    plan(town)
    assert {row["message_id"] for row in town.rows()} == {message}


def test_edited_after_scheduling_the_version_that_was_seen_is_sent(town: Village) -> None:
    (seen,) = town.rows(MESSAGE)
    schedule(town, TOMORROW)
    publish(town, subject="Anders")
    publish(town, "en")
    town.change(SUBSCRIBER, 1, locale="en")
    town.clock.set(TOMORROW)
    plan(town)
    publish(town, subject="Nochmals anders")
    assert {started.message_id for started in town.start(lane=BULK)} == {seen["id"]}


def test_unsubscribed_between_planning_and_sending_is_not_sent(town: Village) -> None:
    schedule(town)
    plan(town)
    town.change(SUBSCRIPTION, 2, state="unsubscribed", generation=2)
    assert [started.subscriber_id for started in town.start(lane=BULK)] == [1, 3]
    assert town.state(2) == "cancelled"


def test_confirmed_again_after_planning_is_not_sent_the_old_row(town: Village) -> None:
    schedule(town)
    plan(town)
    town.change(SUBSCRIPTION, 2, generation=3)
    assert [started.subscriber_id for started in town.start(lane=BULK)] == [1, 3]


def test_a_cancelled_campaign_ends_what_is_not_begun(town: Village) -> None:
    number = schedule(town)
    plan(town)
    (claim, *_) = town.claim(lane=BULK)
    (begun,) = town.begin([claim])
    assert town.do(newsletters.cancel, number, town.now)
    assert town.claim(lane=BULK) == []
    assert town.do(newsletters.withdraw, town.now) == 2
    assert [row["state"] for row in town.rows()] == ["sending", "cancelled", "cancelled"]
    assert campaign(town).status(town.now) == "cancelled"
    town.record(begun, Outcome.DEFERRED, stage="rcpt", code=450)
    assert plan(town) == Planned(withdrawn=1)
    assert {row["state"] for row in town.rows()} == {"cancelled"}


def test_what_a_sender_holds_of_a_cancelled_campaign_is_not_begun(town: Village) -> None:
    number = schedule(town)
    plan(town)
    claims = town.claim(lane=BULK)
    town.do(newsletters.cancel, number, town.now)
    town.do(newsletters.withdraw, town.now)
    assert town.begin(claims) == []
    assert {row["reason"] for row in town.rows()} == {"campaign cancelled"}


def test_a_row_in_doubt_stays_so_and_is_not_sent_again(town: Village) -> None:
    number = schedule(town)
    plan(town)
    doubted = town.rows()[0]["id"]
    town.change(DELIVERY, doubted, state="uncertain", next_attempt_at=town.now)
    town.do(newsletters.cancel, number, town.now)
    town.do(newsletters.withdraw, town.now)
    assert town.settle() == 0
    assert town.state(doubted) == "uncertain"


def test_cancelled_before_it_is_due_nothing_is_planned(town: Village) -> None:
    number = schedule(town, TOMORROW)
    town.do(newsletters.cancel, number, town.now)
    town.clock.set(TOMORROW)
    assert plan(town) == Planned()
    assert not town.do(newsletters.cancel, number, town.now)
    assert not town.do(newsletters.pause, number, town.now, "by editor")


def test_paused_it_is_neither_planned_nor_sent_until_it_is_resumed(town: Village) -> None:
    number = schedule(town)
    plan(town, limit=1)
    assert town.do(newsletters.pause, number, town.now, "by editor")
    assert not town.do(newsletters.pause, number, town.now, "by somebody else")
    assert plan(town) == Planned()
    assert town.claim(lane=BULK) == []
    assert campaign(town).status(town.now) == "paused"
    assert town.do(newsletters.resume, number)
    assert not town.do(newsletters.resume, number)
    assert plan(town) == Planned(2)
    assert len(town.start(lane=BULK)) == 3


def test_who_confirms_while_it_waits_is_in_the_audience(town: Village) -> None:
    schedule(town, TOMORROW)
    late = reader(town, "dan")
    town.clock.set(TOMORROW)
    plan(town)
    assert late in planned_for(town)


def test_the_audience_says_who_who_not_and_why(town: Village) -> None:
    town.change(SUBSCRIBER, 1, district="Gorbitz")
    town.change(SUBSCRIBER, 2, district="Prohlis")
    reader(town, "dan", state="unconfirmed")
    reader(town, "eva", restricted_at=town.now)
    town.suppress(reader(town, "fay", district="Gorbitz"), "complaint")
    reader(town, "gus", state="unsubscribed")
    reader(town, "hal", erased_at=town.now)  # nobody any more
    barred = {"not confirmed": 1, "restricted": 1, "suppressed: complaint": 1, "unsubscribed": 1}
    assert audience(town) == Audience(3, 0, 0, barred)
    asked = town.do(in_gorbitz, "gorbitz", town.now)
    assert audience(town, asked) == Audience(1, 1, 1, barred)


def test_the_audience_names_the_last_time(town: Village) -> None:
    schedule(town)
    plan(town)
    last = LastTime(ISSUE, MONDAY_TEN, 3)
    assert audience(town).last == last
    publish(town, slug="newsletter/2027-01")
    number = schedule(town, slug="newsletter/2027-01")
    assert audience(town).last == last  # that one is not planned yet
    town.do(newsletters.cancel, number, town.now)
    assert audience(town).last == last


@pytest.mark.parametrize(
    ("arrange", "line"),
    [
        (
            lambda v: schedule(v, MONDAY_TEN - timedelta(seconds=1)),
            "Mon 2026-11-23 08:59 is past; name a time to come, or now",
        ),
        (
            lambda v: schedule(v, slug="newsletter/2026-21"),
            '"newsletter/2026-21" is not published; did you mean "newsletter/2026-12"?',
        ),
        (lambda v: schedule(v, slug="kurs/01"), '"kurs/01" is no issue; an issue is named'),
        (
            lambda v: publish(v, stream="newsleter") and schedule(v),
            'newsletter/2026-12: "stream" is "newsleter", which there is not;',
        ),
        (
            lambda v: publish(v, "en", stream="lifecycle") and schedule(v),
            "newsletter/2026-12: its versions name different streams (de: newsletter, en: life",
        ),
        (
            lambda v: schedule(v) and schedule(v, TOMORROW),
            "newsletter/2026-12 is scheduled already: campaign 1, for Mon 2026-11-23 09:00;",
        ),
        (
            lambda v: schedule(v) and schedule(v, TOMORROW.astimezone(ZoneInfo("Europe/Berlin"))),
            "newsletter/2026-12 is scheduled already: campaign 1, for Mon 2026-11-23 10:00;",
        ),
    ],
    ids=["past", "unpublished", "a lesson", "stream", "streams", "twice", "in the asker's zone"],
)
def test_what_can_not_be_scheduled_is_refused_in_a_line(
    town: Village, arrange: Callable[[Village], object], line: str
) -> None:
    town.insert(SEGMENT, name="gorbitz", expression="…", saved_at=town.now)
    with pytest.raises(L3mailError) as refused:
        arrange(town)
    assert str(refused.value).startswith(line)


def test_a_cancelled_issue_may_be_scheduled_again_and_nobody_gets_it_twice_from_one(
    town: Village,
) -> None:
    first = schedule(town)
    town.do(newsletters.cancel, first, town.now)
    second = schedule(town)
    assert plan(town) == Planned(3)
    assert campaign(town).id == second
    assert {row["campaign_id"] for row in town.rows()} == {second}


def test_the_segment_an_issue_names_holds_unless_another_is_given(town: Village) -> None:
    for name in ("gorbitz", "prohlis"):
        town.insert(SEGMENT, name=name, expression="…", saved_at=town.now)
    publish(town, segment="gorbitz")
    number = schedule(town)
    assert town.row(CAMPAIGN, number)["segment"] == "gorbitz"
    town.do(newsletters.cancel, number, town.now)
    number = schedule(town, segment="prohlis")
    assert town.row(CAMPAIGN, number)["segment"] == "prohlis"


def test_its_status_is_asked_of_the_rows(town: Village) -> None:
    schedule(town, TOMORROW)
    assert campaign(town).status(town.now) == "scheduled"
    town.clock.set(TOMORROW)
    assert campaign(town).status(town.now) == "planning"
    plan(town)
    assert campaign(town).status(town.now) == "sending"
    assert campaign(town).states == {"queued": 3}
    for started in town.start(lane=BULK):
        town.record(started, Outcome.ACCEPTED)
    assert campaign(town).status(town.now) == "finished"


def test_published_issues_are_listed_once_each(town: Village) -> None:
    publish(town, "en")
    publish(town, slug="lifecycle/birthday")
    ((slug, stream, _),) = town.do(newsletters.published)
    assert (slug, stream) == (ISSUE, "newsletter")
