"""What each attribute and function of a segment asks, on both databases."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import exists, select

from l3mail import events, segments
from l3mail.database import Database
from l3mail.models import (
    CONSENT,
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK,
    STREAM,
    STRUCTURE,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.segments import Attribute, Vocabulary
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
WORDS = Vocabulary(
    attributes={
        "role": Attribute("text"),
        "groups": Attribute("number"),
        "since": Attribute("date"),
        "mentor": Attribute("bool"),
        "school": Attribute("choice", ("kita", "schule", "vhs")),
    }
)

Arrange = Callable[[Village, int], object]
Case = tuple[str, Arrange | dict[str, Any], bool | None]
"""A text, what is true of the person, and the answer; None is unknown."""


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("segments")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


def asked(
    village: Village, text: str, words: Vocabulary = WORDS, mode: str = "consent", **options: Any
) -> dict[int, bool | None]:
    """The answer of everybody."""
    question = segments.compile(
        segments.parse(text, words), village.now, BERLIN, mode, options.get("locale")
    )
    rows = village.ask(select(SUBSCRIBER.c.id, question.yes, question.unknown))
    assert not [row for row in rows if None in row], "a condition is NULL"
    assert not [row for row in rows if row[1] and row[2]], "both selected and unknown"
    return {row[0]: True if row[1] else None if row[2] else False for row in rows}


def check(village: Village, case: Case) -> None:
    """Ask of the person, whose opposite must be opposite, with others around who differ."""
    text, arrange, expected = case
    values = arrange if isinstance(arrange, dict) else {}
    person = village.person("ada@schule.example", **{"tracking": True} | values)
    if callable(arrange):
        arrange(village, person)
    opposite = None if expected is None else not expected
    assert asked(village, text)[person] is expected
    assert asked(village, f"not ({text})")[person] is opposite


def table(cases: dict[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


BORN: dict[str, Any] = {"birth_year": 1966, "birth_month": 11, "birth_day": 23}  # 60 today
LEAP: dict[str, Any] = {"birth_year": 2000, "birth_month": 2, "birth_day": 29}


def has(**attributes: Any) -> dict[str, Any]:
    return {"attributes": attributes}


@table(
    {
        "text, same": ('district == "Gorbitz"', {"district": "Gorbitz"}, True),
        "text, other": ('district == "Gorbitz"', {"district": "Prohlis"}, False),
        "text, case counts": ('district == "Gorbitz"', {"district": "gorbitz"}, False),
        "text, missing is not it": ('district == "Gorbitz"', {}, False),
        "text, missing is other": ('district != "Gorbitz"', {}, True),
        "text, missing is empty": ('district == ""', {}, True),
        "text, empty is missing": ('district == ""', {"district": ""}, True),
        "text, given is not empty": ('district != ""', {"district": "Gorbitz"}, True),
        "text, value first": ('"Gorbitz" == district', {"district": "Gorbitz"}, True),
        "list, in": ('district in ["Gorbitz", "Prohlis"]', {"district": "Prohlis"}, True),
        "list, not in": ('district not in ["Gorbitz"]', {"district": "Prohlis"}, True),
        "list, missing is in none": ('district in ["Gorbitz"]', {}, False),
        "list, missing is not in": ('district not in ["Gorbitz"]', {}, True),
        "list, empty text among": ('district in ["Gorbitz", ""]', {}, True),
        "list, brackets and braces": ('district in ("a", "b")', {"district": "b"}, True),
        "first name": ('first_name == "Ada"', {"first_name": "Ada"}, True),
        "last name": ('last_name == "Loh"', {"last_name": "Loh"}, True),
        "salutation": ('salutation != ""', {"salutation": "Liebe Ada"}, True),
        "email, as typed or not": ('email == "ADA@schule.example"', {}, True),
        "email, other": ('email in ["bob@schule.example"]', {}, False),
        "locale": ('locale == "de-simple"', {"locale": "de-simple"}, True),
        "locale, missing": ('locale == "de"', {}, False),
        "everybody": ("True", {}, True),
        "nobody": ("False", {}, False),
        "tracking": ("tracking", {}, True),
        "tracking, not": ("tracking == False", {"tracking": False}, True),
        "both hold": ('tracking and district == ""', {}, True),
        "one fails": ('tracking and district == "x"', {}, False),
        "one holds": ('district == "x" or tracking', {}, True),
        "and binds closer": ('tracking or tracking and district == "x"', {}, True),
    }
)
def test_what_a_person_told_us(village: Village, case: Case) -> None:
    check(village, case)


@table(
    {
        "today": ("age >= 60", BORN, True),
        "tomorrow": ("age >= 60", BORN | {"birth_day": 24}, False),
        "older": ("age > 60", BORN, False),
        "younger": ("age < 60", BORN, False),
        "equal": ("age == 60", BORN, True),
        "unequal": ("age != 60", BORN, False),
        "between": ("18 <= age < 61", BORN, True),
        "not between": ("18 <= age < 60", BORN, False),
        "in": ("age in [59, 60]", BORN, True),
        "no year": ("age >= 0", {"birth_month": 3, "birth_day": 1}, False),
        "no year, below": ("age < 200", {"birth_month": 3, "birth_day": 1}, False),
        "no year, unequal": ("age != 60", {}, True),
        "year alone is no age": ("age >= 0", {"birth_year": 1960}, False),
        "missing": ('age == ""', {}, True),
        "given": ('age == ""', BORN, False),
        "leap day": ("age == 26", LEAP, True),
        "larger than any number": ("age < 999999999999999", BORN, True),
        "below any number": ("age > -999999999999999", BORN, True),
        "birthday": ('birthday == "11-23"', BORN, True),
        "birthday as it is stored": ('birthday == "--11-23"', BORN, True),
        "birthday without year": (
            'birthday in ["02-29"]',
            {"birth_month": 2, "birth_day": 29},
            True,
        ),
        "birthday in spring": ('"03-01" <= birthday < "06-01"', BORN | {"birth_month": 5}, True),
        "birthday missing": ('birthday == ""', {}, True),
        "birthday missing is not before": ('birthday <= "12-31"', {}, False),
    }
)
def test_age_and_birthday(village: Village, case: Case) -> None:
    check(village, case)


@pytest.mark.parametrize(
    ("moment", "age"),
    [
        (datetime(2027, 2, 28, 22, 59, tzinfo=UTC), 26),
        (datetime(2027, 2, 28, 23, 0, tzinfo=UTC), 27),  # 1 March in Berlin
        (datetime(2028, 2, 28, 23, 0, tzinfo=UTC), 28),
    ],
)
def test_who_is_born_on_a_leap_day_grows_older_on_1_march_local_time(
    village: Village, moment: datetime, age: int
) -> None:
    person = village.person(**LEAP)
    village.clock.set(moment)
    assert asked(village, f"age == {age}")[person] is True


@table(
    {
        "text": ('attrs.role == "vhs"', has(role="vhs"), True),
        "text, other": ('attrs.role == "vhs"', has(role="schule"), False),
        "text, missing": ('attrs.role == "vhs"', {}, False),
        "text, missing is other": ('attrs.role != "vhs"', {}, True),
        "text, null is missing": ('attrs.role == ""', has(role=None), True),
        "text, empty is missing": ('attrs.role == ""', has(role=""), True),
        "text, hostile": (
            """attrs.role == "x' OR 1=1 --" """,
            has(role="x' OR 1=1 --"),
            True,
        ),
        "text, percent is a character": ('attrs.role == "%"', has(role="vhs"), False),
        "text, umlaut": ('attrs.role == "Müße 🎓"', has(role="Müße 🎓"), True),
        "text, a number": ('attrs.role == "5"', has(role=5), True),
        "choice": ('attrs.school in ["kita", "vhs"]', has(school="vhs"), True),
        "choice, missing": ('attrs.school != "vhs"', {}, True),
        "number": ("attrs.groups == 3", has(groups=3), True),
        "number, more": ("attrs.groups > 2.5", has(groups=3), True),
        "number, as a number": ("attrs.groups < 10", has(groups=9), True),
        "number, fraction": ("attrs.groups == 2.5", has(groups=2.5), True),
        "number, negative": ("attrs.groups == -1", has(groups=-1), True),
        "number, chained": ("1 < attrs.groups <= 3", has(groups=3), True),
        "number, missing": ("attrs.groups < 10", {}, False),
        "number, missing is other": ("attrs.groups != 10", {}, True),
        "number, text is none": ("attrs.groups >= 0", has(groups="three"), None),
        "number, object is none": ('attrs.groups == ""', has(groups={"a": 1}), None),
        "number, truth is none": ("attrs.groups == 1", has(groups=True), None),
        "number, written as text": ("attrs.groups == 3", has(groups="3"), None),
        "number, empty text is missing": ('attrs.groups == ""', has(groups=""), True),
        "number, beyond every float": ("attrs.groups > 1", has(groups=10**400), True),
        "date": ('attrs.since == "2026-01-31"', has(since="2026-01-31"), True),
        "date, before": ('attrs.since < "2026-02-01"', has(since="2026-01-31"), True),
        "date, between": (
            '"2026-01-01" <= attrs.since <= "2026-12-31"',
            has(since="2027-01-01"),
            False,
        ),
        "date, missing": ('attrs.since < "2026-02-01"', {}, False),
        "date, not one": ('attrs.since > "2026-02-01"', has(since="yesterday"), None),
        "truth": ("attrs.mentor", has(mentor=True), True),
        "truth, no": ("attrs.mentor", has(mentor=False), False),
        "truth, missing": ("attrs.mentor", {}, False),
        "truth, said no": ("attrs.mentor == False", has(mentor=False), True),
        "truth, missing is not no": ("attrs.mentor == False", {}, False),
        "truth, missing is empty": ('attrs.mentor == ""', {}, True),
        "truth, something else": ('attrs.mentor == ""', has(mentor="perhaps"), None),
    }
)
def test_declared_attributes(village: Village, case: Case) -> None:
    check(village, case)


# 22 November in Berlin began at 23:00 UTC the day before.
YESTERDAY = datetime(2026, 11, 21, 23, 0, tzinfo=UTC)


@table(
    {
        "today": ("joined_days == 0", {}, True),
        "yesterday, its first moment": ("joined_days == 1", {"created_at": YESTERDAY}, True),
        "the day before, its last": (
            "joined_days == 2",
            {"created_at": YESTERDAY - timedelta(microseconds=1)},
            True,
        ),
        "at least": ("joined_days >= 1", {"created_at": YESTERDAY}, True),
        "more": ("joined_days > 1", {"created_at": YESTERDAY}, False),
        "less": ("joined_days < 2", {"created_at": YESTERDAY}, True),
        "at most": ("joined_days <= 0", {"created_at": YESTERDAY}, False),
        "unequal": ("joined_days != 1", {"created_at": YESTERDAY}, False),
        "in": ("joined_days in [7, 1]", {"created_at": YESTERDAY}, True),
        "in summer": (
            "joined_days == 210",  # 27 April 00:00 summer time
            {"created_at": datetime(2026, 4, 26, 22, 0, tzinfo=UTC)},
            True,
        ),
        "beyond every calendar": ("joined_days < 999999999999999", {}, True),
        "before every calendar": ("joined_days > -999999999999999", {}, True),
    }
)
def test_joined_days_are_local_days(village: Village, case: Case) -> None:
    text, values, expected = case
    assert isinstance(values, dict)
    for name in ("ada", "bob"):  # the second joined now
        row = {"created_at": village.now} | (values if name == "ada" else {})
        village.insert(SUBSCRIBER, address=f"{name}@schule.example", attributes={}, **row)
    ada = min(asked(village, text))
    assert asked(village, text)[ada] is expected
    assert asked(village, f"not {text}")[ada] is not expected


def course(village: Village, slug: str = "kurs") -> tuple[int, int]:
    stream = village.stream(slug)
    number = village.insert(COURSE, slug=slug, title=slug, stream_id=stream, created_at=village.now)
    return number, village.insert(
        STRUCTURE, course_id=number, hash="x", cadence={}, rules={}, created_at=village.now
    )


def enrolled(state: str, *, slug: str = "kurs", **values: Any) -> Arrange:
    def arrange(village: Village, person: int) -> int:
        number, structure = course(village, slug)
        return village.insert(
            ENROLLMENT,
            subscriber_id=person,
            course_id=number,
            structure_id=structure,
            state=state,
            anchor_on=village.now.date(),
            started_at=village.now,
            **values,
        )

    return arrange


def subscribed(stream: str, state: str) -> Arrange:
    return lambda village, person: village.subscribe(
        person, village.stream(stream, "newsletter"), state
    )


def learned(slug: str, days: int, journeys: int = 1) -> Arrange:
    """So many days done, the same ones in each journey."""

    def arrange(village: Village, person: int) -> None:
        enrolled("cancelled", slug=slug)(village, person)
        (row,) = village.rows(ENROLLMENT)
        again = {name: value for name, value in row.items() if name != "id"}
        ids = [row["id"], *(village.insert(ENROLLMENT, **again) for _ in range(journeys - 1))]
        for journey in ids:
            for n in range(days):
                fact = {"at": village.now, "subscriber_id": person, "enrollment_id": journey}
                village.do(events.mark, fact, MONDAY_TEN.date() + n * DAY)

    return arrange


def another(arrange: Arrange) -> Arrange:
    """The same, but of somebody else."""
    return lambda village, _: arrange(village, village.person("bob@schule.example", tracking=True))


@table(
    {
        "confirmed": ('stream("newsletter")', subscribed("newsletter", "confirmed"), True),
        "unconfirmed": ('stream("newsletter")', subscribed("newsletter", "unconfirmed"), False),
        "unsubscribed": ('stream("newsletter")', subscribed("newsletter", "unsubscribed"), False),
        "other stream": ('stream("newsletter")', subscribed("briefe", "confirmed"), False),
        "somebody else": (
            'stream("newsletter")',
            another(subscribed("newsletter", "confirmed")),
            False,
        ),
        "no such stream": ('stream("newsletter")', {}, False),
        "active is enrolled": ('enrolled("kurs")', enrolled("active"), True),
        "paused is enrolled": ('enrolled("kurs")', enrolled("paused"), True),
        "finished is not enrolled": ('enrolled("kurs")', enrolled("finished"), False),
        "cancelled is not enrolled": ('enrolled("kurs")', enrolled("cancelled"), False),
        "another course": ('enrolled("kurs")', enrolled("active", slug="andere"), False),
        "somebody else's enrollment": ('enrolled("kurs")', another(enrolled("active")), False),
        "finished": ('finished("kurs")', enrolled("finished"), True),
        "active is not finished": ('finished("kurs")', enrolled("active"), False),
        "completed": (
            'completed("kurs")',
            enrolled("active", completed_at=MONDAY_TEN),
            True,
        ),
        "days enough": ('done_days("kurs") >= 2', learned("kurs", 2), True),
        "days too few": ('done_days("kurs") >= 3', learned("kurs", 2), False),
        "days, the other way round": ('2 <= done_days("kurs") < 3', learned("kurs", 2), True),
        "days, one of several": ('done_days("kurs") in [1, 2]', learned("kurs", 2), True),
        "days, none": ('done_days("kurs") == 0', {}, True),
        "days, not so many": ('done_days("kurs") != 2', learned("kurs", 2), False),
        "days of another course": ('done_days("kurs") > 0', learned("andere", 2), False),
        "days of somebody else": ('done_days("kurs") > 0', another(learned("kurs", 2)), False),
        "days in two journeys count once": (
            'done_days("kurs") == 2',
            learned("kurs", 2, journeys=2),
            True,
        ),
        "finished is not completed": ('completed("kurs")', enrolled("finished"), False),
    }
)
def test_streams_and_courses(village: Village, case: Case) -> None:
    check(village, case)


def mailed(slug: str = "kurs/02-video", state: str = "accepted") -> Arrange:
    return lambda village, person: village.delivery(person, slug=slug, state=state)


@table(
    {
        "accepted": ('received("kurs/02-video")', mailed(), True),
        "queued": ('received("kurs/02-video")', mailed(state="queued"), False),
        "uncertain": ('received("kurs/02-video")', mailed(state="uncertain"), False),
        "another text": ('received("kurs/02-video")', mailed("kurs/03"), False),
        "somebody else": ('received("kurs/02-video")', another(mailed()), False),
    }
)
def test_received_means_accepted_by_the_relay(village: Village, case: Case) -> None:
    check(village, case)


def event(
    kind: str,
    verdict: str | None = "human",
    *,
    ago: timedelta = HOUR,
    slug: str = "kurs/02-video",
    link: str | None = None,
    by: str = "delivery",
    name: str | None = None,
    data: dict[str, Any] | None = None,
    enrollment: int | None = None,
) -> Arrange:
    """Something that happened to a mail; `by` what the event knows the mail."""

    def arrange(village: Village, person: int) -> None:
        message = village.publish(slug)
        delivery = village.delivery(
            person, slug=slug, state="accepted", message_id=message, enrollment_id=enrollment
        )
        clicked = link and village.insert(LINK, message_id=message, number=1, url="/", name=link)
        village.insert(
            EVENT,
            kind=kind,
            verdict=verdict,
            at=village.now - ago,
            subscriber_id=person,
            delivery_id=delivery if by == "delivery" else None,
            message_id=message if by == "message" else None,
            link_id=clicked,
            enrollment_id=enrollment,
            name=name,
            data=data or {},
        )

    return arrange


def untracked(arrange: Arrange) -> Arrange:
    def arranged(village: Village, person: int) -> None:
        village.change(SUBSCRIBER, person, tracking=False)
        arrange(village, person)

    return arranged


OPENED = 'opened("kurs/02-video")'
CLICKED = 'clicked("kurs/02-video")'
NAMED = 'clicked("kurs/02-video", "video")'
TEN_MINUTES = timedelta(minutes=10)


@table(
    {
        "opened": (OPENED, event("opened"), True),
        "opened, known by its version": (OPENED, event("opened", by="message"), True),
        "opened, not at all": (OPENED, {}, False),
        "opened, by a machine": (OPENED, event("opened", "machine"), False),
        "opened, unsure": (OPENED, event("opened", "unsure"), False),
        "opened, unjudged": (OPENED, event("opened", "raw"), False),
        "opened, another text": (OPENED, event("opened", slug="kurs/03"), False),
        "opened, clicked is another thing": (OPENED, event("clicked"), False),
        "opened, somebody else": (OPENED, another(event("opened")), False),
        "opened, without consent": (OPENED, untracked(event("opened")), None),
        "not opened, without consent": (OPENED, {"tracking": False}, None),
        "clicked": (CLICKED, event("clicked"), True),
        "clicked, by a machine": (CLICKED, event("clicked", "machine"), False),
        "clicked, unsure": (CLICKED, event("clicked", "unsure"), False),
        "clicked, settled": (CLICKED, event("clicked", ago=TEN_MINUTES), True),
        "clicked, too young": (CLICKED, event("clicked", ago=TEN_MINUTES - SECOND), False),
        "clicked, a named link": (NAMED, event("clicked", link="video"), True),
        "clicked, another link": (NAMED, event("clicked", link="pdf"), False),
        "clicked, a link without a name": (NAMED, event("clicked"), False),
        "clicked, without consent": (CLICKED, untracked(event("clicked")), None),
    }
)
def test_behaviour_counts_what_a_person_did_who_consented(village: Village, case: Case) -> None:
    check(village, case)


def granted(ago: timedelta) -> Arrange:
    def arrange(village: Village, person: int) -> None:
        village.change(SUBSCRIBER, person, created_at=village.now - 100 * DAY)
        village.insert(
            CONSENT,
            subscriber_id=person,
            act="tracking_granted",
            at=village.now - ago,
            content={},
            salt=b"s",
            digest=b"d",
            link=b"l",
        )

    return arrange


def long_ago(*arranged: Arrange) -> Arrange:
    """Of somebody who joined a hundred days ago."""

    def arrange(village: Village, person: int) -> None:
        village.change(SUBSCRIBER, person, created_at=village.now - 100 * DAY)
        for one in arranged:
            one(village, person)

    return arrange


@table(
    {
        "never active, since joining": ("inactive_days == 100", long_ago(), True),
        "joined today": ("inactive_days == 0", {}, True),
        "clicked": ("inactive_days == 9", long_ago(event("clicked", ago=9 * DAY)), True),
        "the latest counts": (
            "inactive_days == 9",
            long_ago(event("opened", ago=9 * DAY), event("clicked", ago=20 * DAY)),
            True,
        ),
        "answered": (
            "inactive_days < 10",
            long_ago(event("answered", None, ago=9 * DAY)),
            True,
        ),
        "learned": ("inactive_days < 10", long_ago(event("done", None, ago=9 * DAY)), True),
        "interested": (
            "inactive_days < 10",
            long_ago(event("interested", None, ago=9 * DAY)),
            True,
        ),
        "a machine is no life": (
            "inactive_days > 99",
            long_ago(event("clicked", "machine", ago=9 * DAY)),
            True,
        ),
        "a bounce is no life": (
            "inactive_days > 99",
            long_ago(event("bounced", None, ago=9 * DAY)),
            True,
        ),
        "somebody else lives": (
            "inactive_days > 99",
            long_ago(another(event("clicked", ago=9 * DAY))),
            True,
        ),
        "seen only since consent": ("inactive_days == 5", granted(5 * DAY), True),
        "without consent": ("inactive_days > 50", untracked(long_ago()), None),
    }
)
def test_inactive_days_count_from_the_last_sign_of_life(village: Village, case: Case) -> None:
    check(village, case)


def answer(value: Any, question: str = "q1", **values: Any) -> Arrange:
    return event("answered", None, name=question, data={"value": value}, **values)


def both(*arranged: Arrange) -> Arrange:
    def arrange(village: Village, person: int) -> None:
        for one in arranged:
            one(village, person)

    return arrange


def two_journeys(village: Village, person: int) -> None:
    """Answers "b" on the first way through a course and "a" on the second."""
    number, structure = course(village)
    for value, state, ago in (("b", "finished", 2 * DAY), ("a", "active", DAY)):
        journey = village.insert(
            ENROLLMENT,
            subscriber_id=person,
            course_id=number,
            structure_id=structure,
            state=state,
            anchor_on=village.now.date(),
            started_at=village.now,
        )
        answer(value, ago=ago, enrollment=journey)(village, person)


ANSWERED = 'answered("kurs/02-video", "q1")'
ANSWER_B = 'answered("kurs/02-video", "q1", "b")'


@table(
    {
        "answered": (ANSWERED, answer("a"), True),
        "answered, another question": (ANSWERED, answer("a", "q2"), False),
        "answered, another text": (ANSWERED, answer("a", slug="kurs/03"), False),
        "answered, needs no consent": (ANSWERED, untracked(answer("a")), True),
        "not answered, needs no consent": (ANSWERED, {"tracking": False}, False),
        "the value": (ANSWER_B, answer("b"), True),
        "the value, by version": (ANSWER_B, answer("b", by="message"), True),
        "another value": (ANSWER_B, answer("a"), False),
        "somebody else": (ANSWER_B, another(answer("b")), False),
        "changed to it": (ANSWER_B, both(answer("a", ago=2 * HOUR), answer("b")), True),
        "changed from it": (ANSWER_B, both(answer("b", ago=2 * HOUR), answer("a")), False),
        "in one moment the later row": (ANSWER_B, both(answer("a"), answer("b")), True),
        "in one moment no earlier row": (ANSWER_B, both(answer("b"), answer("a")), False),
        "another question's later": (
            ANSWER_B,
            both(answer("b", ago=2 * HOUR), answer("a", "q2")),
            True,
        ),
        "another text's later": (
            ANSWER_B,
            both(answer("b", ago=2 * HOUR), answer("a", slug="kurs/03")),
            True,
        ),
        "somebody else's later": (
            ANSWER_B,
            both(answer("b", ago=2 * HOUR), another(answer("a"))),
            True,
        ),
        "each journey has its latest": (ANSWER_B, two_journeys, True),
        "a truth": ('answered("kurs/02-video", "q1", "true")', answer(True), True),
        "a number": ('answered("kurs/02-video", "q1", "3")', answer(3), True),
    }
)
def test_the_latest_answer_counts(village: Village, case: Case) -> None:
    check(village, case)


@table(
    {
        "interested": (
            'interested("video")',
            event("interested", None, name="video"),
            True,
        ),
        "in something else": (
            'interested("video")',
            event("interested", None, name="pdf"),
            False,
        ),
        "needs no consent": (
            'interested("video")',
            untracked(event("interested", None, name="video")),
            True,
        ),
        "somebody else": (
            'interested("video")',
            another(event("interested", None, name="video")),
            False,
        ),
    }
)
def test_interest_serves_everyone(village: Village, case: Case) -> None:
    check(village, case)


def test_a_missing_locale_is_the_workspaces(village: Village) -> None:
    person = village.person()
    assert asked(village, 'locale == "de"', locale="de")[person] is True
    assert asked(village, 'locale == ""', locale="de")[person] is False


@pytest.mark.parametrize("mode", ["off", "aggregate"])
def test_without_personal_tracking_behaviour_is_unknown_of_everybody(
    village: Village, mode: str
) -> None:
    person = village.person(tracking=True)
    event("opened")(village, person)
    assert asked(village, OPENED, mode=mode)[person] is None
    assert asked(village, f"not {OPENED}", mode=mode)[person] is None
    assert asked(village, "inactive_days < 5", mode=mode)[person] is None
    assert asked(village, "joined_days < 5", mode=mode)[person] is True


@pytest.mark.parametrize("text", ["True", "not False", 'district == ""', "tracking", OPENED])
def test_the_erased_are_neither_selected_nor_unknown(village: Village, text: str) -> None:
    person = village.person(erased_at=village.now, tracking=text != OPENED)
    assert asked(village, text)[person] is False


U = 'opened("kurs/02-video")'  # of somebody without consent
TRUTHS = {"True": True, "False": False, U: None}


@pytest.mark.parametrize("left", TRUTHS)
@pytest.mark.parametrize("right", TRUTHS)
def test_and_or_and_not_are_those_of_kleene(village: Village, left: str, right: str) -> None:
    person = village.person(tracking=False)
    one, two = TRUTHS[left], TRUTHS[right]
    both_hold = False if False in {one, two} else None if None in {one, two} else True
    any_holds = True if True in {one, two} else None if None in {one, two} else False
    assert asked(village, f"{left} and {right}")[person] is both_hold
    assert asked(village, f"{left} or {right}")[person] is any_holds
    assert asked(village, f"not {left}")[person] is (None if one is None else not one)


def test_a_saved_segment_stands_for_its_text(village: Village) -> None:
    words = Vocabulary(
        segments={
            "west": 'district in ["Gorbitz"] or district == "Löbtau"',
            "old-west": 'segment("west") and age >= 60',
        }
    )
    old = village.person("ada@schule.example", district="Löbtau", **BORN)
    young = village.person("bob@schule.example", district="Gorbitz")
    assert asked(village, 'segment("old-west")', words) == {old: True, young: False}
    assert asked(village, 'not segment("old-west")', words) == {old: False, young: True}


def test_a_question_is_of_each_person_wherever_it_stands(village: Village) -> None:
    ada, bob = village.learner("ada@schule.example"), village.learner("bob@schule.example")
    mailed()(village, ada)
    mailed("kurs/03")(village, bob)
    text = 'received("kurs/02-video") and stream("kurs") and not answered("kurs/01", "q1", "b")'
    question = segments.compile(segments.parse(text, WORDS), village.now, BERLIN, "consent")
    joined = (
        select(SUBSCRIBER.c.id)
        .join(SUBSCRIPTION, SUBSCRIPTION.c.subscriber_id == SUBSCRIBER.c.id)
        .join(DELIVERY, DELIVERY.c.subscriber_id == SUBSCRIBER.c.id)
        .where(question.yes)
    )
    inside = select(DELIVERY.c.subscriber_id).where(
        exists().where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id, question.yes)
    )
    deeper = select(SUBSCRIBER.c.id).where(exists(select(STREAM.c.id).where(question.yes)))
    for query in (joined, inside, deeper):
        assert village.ask(query) == [(ada,)]
