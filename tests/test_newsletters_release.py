"""Before an issue goes out: what its audience is compared with, and the yes of a second person."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from l3mail import audiences, newsletters, rounds, simulations
from l3mail.audiences import Terms as AskingTerms
from l3mail.errors import NewsletterError
from l3mail.models import CAMPAIGN_MESSAGE, SEGMENT, SUBSCRIBER
from l3mail.newsletters import Audience, LastTime, Planned, Sending
from l3mail.planning import Cap, QuietHours, Restraint
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules
from tests.fakes.village import BACKENDS, MONDAY_TEN, PEPPER, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
ASKING = AskingTerms(BERLIN, "consent", "de", {}, ("newsletter",))
DAY = timedelta(days=1)
FIRST, SECOND = "newsletter/2026-11", "newsletter/2026-12"
WEST = 'district == "Gorbitz"'


@pytest.fixture(scope="module", params=BACKENDS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ground(request.param, tmp_path_factory.mktemp("release")) as database:
        yield database


@pytest.fixture
def town(base: Any) -> Village:
    """Two published issues, and nobody who reads them yet."""
    village = Village(base)
    village.empty()
    village.stream("newsletter", "newsletter")
    for slug in (FIRST, SECOND):
        village.publish(slug, stream="newsletter")
    return village


def come(town: Village, *names: str, **values: Any) -> None:
    """People who read the newsletter."""
    for name in names:
        person = town.person(f"{name}@schule.example", **values)
        town.subscribe(person, town.stream("newsletter"))


def many(town: Village, count: int, **values: Any) -> None:
    first = len(town.rows(SUBSCRIBER))
    come(town, *(f"m{n}" for n in range(first, first + count)), **values)


def schedule(town: Village, slug: str = SECOND, **values: Any) -> int:
    values = {"segment": None, "by": "ada", "now": town.now} | values
    at = values.pop("at", town.now)
    return town.do(newsletters.schedule, slug, at, **values)


def plan(town: Village, growth: float = 3, seen: dict[int, bool] | None = None) -> Planned:
    terms: dict[str, Any] = {"question": ASKING.question, "growth": growth, "seen": seen}
    return town.do(newsletters.plan, town.now, fallback_locale="de", **terms)


def went_out(town: Village, slug: str = FIRST, **values: Any) -> None:
    schedule(town, slug, **values)
    plan(town, 0)
    town.clock.advance(DAY)


def audience(town: Village, segment: str | None = None, **values: Any) -> Audience:
    def verb(connection: Connection) -> Audience:
        asked = ASKING.question(connection, segment, town.now) if segment else None
        stream = town.stream("newsletter")
        return newsletters.audience(connection, stream, asked, town.now, segment=segment, **values)

    town.stream("newsletter")
    return town.database.read(verb)


def found(town: Village, slug: str = SECOND) -> newsletters.Campaign:
    one = town.do(newsletters.find, slug)
    assert one is not None
    return one


# -- what is shown


def test_who_gets_it_in_another_language_is_counted(town: Village) -> None:
    come(town, "ada")
    for locale in ("de", "en", "en", "de-simple", "de-AT", "fr", "en-US"):
        come(town, f"p{len(town.rows(SUBSCRIBER))}", locale=locale)
    two = Sending(town.now, ["de", "en"], "de")
    assert audience(town, sending=two).elsewhere == {
        ("de-simple", "de"): 1,
        ("de-AT", "de"): 1,
        ("fr", "de"): 1,
        ("en-US", "en"): 1,
    }
    one = Sending(town.now, ["en"], "de")
    assert audience(town, sending=one).elsewhere[("de", "en")] == 1
    town.publish(SECOND, "en", stream="newsletter")
    schedule(town)
    plan(town)
    # As it is counted, so it is planned.
    sent = {row["subscriber_id"]: row["message_id"] for row in town.rows()}
    german = min(sent.values())
    english = {row["id"] for row in town.rows(SUBSCRIBER) if (row["locale"] or "")[:2] == "en"}
    assert {person for person, version in sent.items() if version != german} == english


def test_who_is_held_back_then_is_counted(town: Village) -> None:
    come(town, "ada", "bea")
    town.delivery(
        town.rows(SUBSCRIBER)[0]["id"],
        "newsletter",
        slug=FIRST,
        stream_id=town.stream("newsletter"),
        state="accepted",
        first_started_at=town.now - 6 * DAY,
    )
    night = QuietHours(time(20), time(8), BERLIN)
    restraint = Restraint(night, Cap(1, 7, DAY))

    def at(moment: datetime) -> tuple[int, datetime | None]:
        shown = audience(town, sending=Sending(moment, ["de"], "de", restraint))
        return shown.capped, shown.quiet_until

    assert at(town.now) == (1, None)
    assert at(town.now + 2 * DAY) == (0, None)
    assert at(town.now + timedelta(hours=12)) == (1, town.now + timedelta(hours=22))


def test_some_of_the_people_are_named_the_same_ones_each_time(town: Village) -> None:
    come(town, "ada", "bea", district="Gorbitz")
    come(town, "cem")
    come(town, "dan", restricted_at=town.now, district="Gorbitz")

    def named(most: int) -> list[str]:
        def verb(connection: Connection) -> list[str]:
            asked = ASKING.question(connection, WEST, town.now)
            return newsletters.sample(connection, stream, asked, town.now, most)

        stream = town.stream("newsletter")
        return town.database.read(verb)

    assert sorted(named(9)) == ["ada@schule.example", "bea@schule.example"]
    assert named(1) == named(9)[:1]


def test_it_is_compared_with_the_last_of_the_same_segment_else_of_the_stream(
    town: Village,
) -> None:
    come(town, "ada", district="Gorbitz")
    come(town, "bea", "cem")
    assert audience(town).last is None
    went_out(town, segment=WEST)
    west = LastTime(FIRST, MONDAY_TEN, 1, WEST, alike=True)
    assert audience(town, WEST).last == west
    # Whoever forgets the segment is shown what it was with it.
    assert audience(town).last == LastTime(FIRST, MONDAY_TEN, 1, WEST, alike=False)
    went_out(town, SECOND)
    assert audience(town, WEST).last == west
    assert audience(town).last == LastTime(SECOND, MONDAY_TEN + DAY, 3, None, alike=True)


@pytest.mark.parametrize(
    ("yes", "last", "growth", "has"),
    [
        (300, 100, 3, False),
        (301, 100, 3, True),
        (301, 100, 0, False),
        (1, 0, 3, True),
        (0, 0, 3, False),
        (9, None, 3, False),
        (151, 100, 1.5, True),
    ],
)
def test_a_second_look_is_for_more_than_so_many_times(
    yes: int, last: int | None, growth: float, has: bool
) -> None:
    before = None if last is None else LastTime(FIRST, MONDAY_TEN, last)
    assert Audience(yes, last=before).has_outgrown(growth) is has


@pytest.mark.parametrize(
    ("yes", "expected", "is_right"),
    [(100, 100, True), (110, 100, True), (111, 100, False), (90, 100, True), (89, 100, False),
     (0, 0, True), (1, 0, False)],
)  # fmt: skip
def test_what_is_expected_may_be_off_by_a_tenth(yes: int, expected: int, is_right: bool) -> None:
    assert Audience(yes).is_about(expected) is is_right


# -- what grew in the meantime


@pytest.mark.parametrize(
    ("shown", "come_too", "segment", "is_planned"),
    [
        (2, 4, None, True),
        (2, 5, None, False),
        (2, 5, WEST, False),
        # Many joined, and few of them are asked for.
        (7, 0, WEST, True),
        (0, 3, None, True),
        (0, 4, None, False),
    ],
)
def test_an_audience_that_grew_threefold_since_it_was_shown_waits_for_a_person(
    town: Village, shown: int, come_too: int, segment: str | None, is_planned: bool
) -> None:
    many(town, shown, district="Gorbitz")
    many(town, 20 if segment and not come_too else 0, district="Prohlis")
    number = schedule(town, segment=segment, at=town.now + DAY)
    town.do(newsletters.expect, number, audience(town, segment).yes)
    town.clock.advance(DAY)
    many(town, come_too, district="Gorbitz")
    done = plan(town)
    if is_planned:
        assert done == Planned(shown + come_too)
        return
    assert done == Planned(paused=1)
    most = 3 * max(shown, 1)
    assert found(town).paused_reason == (
        f"its audience grew to more than {most} people, and {shown} were shown when it was"
        " scheduled"
    )
    # Whoever lets it go on has looked.
    town.do(newsletters.resume, number)
    assert plan(town) == Planned(shown + come_too)


@pytest.mark.parametrize(("come_too", "is_planned"), [(2, True), (3, False)])
def test_a_round_counts_people_apart_from_its_writing_before_a_campaign_begins(
    town: Village, come_too: int, is_planned: bool
) -> None:
    come(town, "ada")
    number = schedule(town, at=town.now + DAY)
    town.do(newsletters.expect, number, 1)
    town.clock.advance(DAY)
    many(town, come_too)
    assert plan(town, seen={}) == Planned(unseen=1)
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question, growth=3)
    assert town.do(rounds.look, town.now, agenda).grown == {number: not is_planned}
    done = rounds.run(town.database, town.clock, agenda)
    assert (done.planned, done.paused, done.unseen) == ((3, 0, 0) if is_planned else (0, 1, 0))


def test_people_who_may_not_be_mailed_are_no_growth(town: Village) -> None:
    come(town, "ada")
    number = schedule(town, at=town.now + DAY)
    town.do(newsletters.expect, number, 1)
    many(town, 9, restricted_at=town.now)
    town.clock.advance(DAY)
    assert plan(town) == Planned(1)


# -- the second person


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada", "ada", True),
        ("ada", "Ada ", True),
        ("ada", "ada@stadt.example", True),
        ("ADA@stadt.example", "ada@Stadt.example", True),
        ("ada@stadt.example", "ada@vhs.example", False),
        ("ada", "bea@stadt.example", False),
        ("ada", "bea", False),
        ("adam", "ada", False),
        ("bea (ada)", "ada@stadt.example", True),
        ("bea (ada)", "bea@stadt.example", True),
        ("bea (office)", "ada (office)", True),
        ("cem) (x (ada)", "ada", True),
        ("bea (ada)", "cem (office)", False),
    ],
)
def test_who_may_be_the_same_person_is_taken_for_it(one: str, other: str, same: bool) -> None:
    assert newsletters.is_same_person(one, other) is same
    assert newsletters.is_same_person(other, one) is same


def two_persons(town: Village, **values: Any) -> int:
    at = town.now + DAY
    return schedule(town, at=at, lapses_at=at + 2 * DAY, **values)


def test_nothing_goes_out_before_another_person_says_yes(town: Village) -> None:
    come(town, "ada")
    number = two_persons(town)
    assert found(town).status(town.now) == "awaiting release"
    town.clock.advance(DAY)
    assert plan(town) == Planned()
    with pytest.raises(NewsletterError, match="somebody else has to release it"):
        town.do(newsletters.release, number, "Ada@amt.example", town.now)
    assert plan(town) == Planned()
    town.do(newsletters.release, number, "bea", town.now)
    with pytest.raises(NewsletterError, match="was released by bea"):
        town.do(newsletters.release, number, "cem", town.now)
    assert plan(town) == Planned(1)
    assert found(town).released_by == "bea"


def test_one_person_alone_does_not_lift_what_two_said_yes_to(town: Village) -> None:
    come(town, "ada")
    number = two_persons(town)
    town.do(newsletters.expect, number, 1)
    town.do(newsletters.release, number, "bea", town.now)
    many(town, 9)
    town.do(newsletters.pause, number, town.now, "wait")
    town.do(newsletters.resume, number)
    town.clock.advance(DAY)
    assert plan(town) == Planned(paused=1)
    assert (found(town).paused_reason or "").endswith("; cancel it and schedule it again")


def test_what_nobody_released_in_time_never_goes_out(town: Village) -> None:
    come(town, "ada")
    number = two_persons(town)
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question)
    assert town.do(rounds.next_moment, town.now, agenda) == town.now + DAY
    town.clock.advance(DAY)
    assert town.do(rounds.next_moment, town.now, agenda) == town.now + 2 * DAY
    town.clock.advance(2 * DAY)
    with pytest.raises(NewsletterError, match="nobody released it in time"):
        town.do(newsletters.release, number, "bea", town.now)
    assert rounds.run(town.database, town.clock, agenda).lapsed == 1
    assert rounds.run(town.database, town.clock, agenda) == rounds.Round()
    assert (found(town).status(town.now), found(town).cancelled_reason) == (
        "cancelled",
        "nobody released it in time",
    )
    assert town.rows() == []


def test_a_rejected_one_is_cancelled_with_the_reason_and_may_be_scheduled_anew(
    town: Village,
) -> None:
    number = two_persons(town)
    town.do(newsletters.reject, number, "bea", "the date is wrong", town.now)
    assert found(town).cancelled_reason == "rejected by bea: the date is wrong"
    with pytest.raises(NewsletterError, match="was cancelled: rejected by bea"):
        town.do(newsletters.release, number, "bea", town.now)
    with pytest.raises(NewsletterError, match="waits for no release"):
        town.do(newsletters.reject, number, "bea", "", town.now)
    # What was said yes to before says nothing of another scheduling.
    again = two_persons(town)
    assert found(town).is_unreleased
    town.do(newsletters.release, again, "bea", town.now)
    with pytest.raises(NewsletterError, match="waits for no release"):
        town.do(newsletters.reject, again, "cem", "", town.now)


def test_one_that_wants_no_second_person_can_neither_be_released_nor_rejected(
    town: Village,
) -> None:
    number = schedule(town)
    with pytest.raises(NewsletterError, match="wants no release"):
        town.do(newsletters.release, number, "bea", town.now)
    with pytest.raises(NewsletterError, match="waits for no release"):
        town.do(newsletters.reject, number, "bea", "", town.now)


def save(town: Village, name: str, text: str) -> None:
    town.do(audiences.save, name, text, ASKING, town.now)


@pytest.mark.parametrize("is_late", [False, True], ids=["before the yes", "after it"])
@pytest.mark.parametrize("changed", ["west", "part"])
def test_a_segment_that_means_something_else_since_wants_a_new_yes(
    town: Village, changed: str, is_late: bool
) -> None:
    come(town, "ada", district="Gorbitz")
    save(town, "part", WEST)
    save(town, "west", 'segment("part") and joined_days >= 0')
    number = two_persons(town, segment="west")
    if is_late:
        town.do(newsletters.release, number, "bea", town.now)
    save(town, "other", "joined_days < 0")
    save(town, changed, 'district in ["Gorbitz", "Prohlis"]')
    if not is_late:
        with pytest.raises(NewsletterError, match="its segment was changed"):
            town.do(newsletters.release, number, "bea", town.now)
        return
    town.clock.advance(DAY)
    assert plan(town) == Planned(paused=1)
    # Nor does letting it go on pass by the second person.
    town.do(newsletters.resume, number)
    assert plan(town) == Planned(paused=1)
    save(town, changed, {"part": WEST, "west": 'segment("part") and joined_days >= 0'}[changed])
    town.do(newsletters.resume, number)
    assert plan(town) == Planned(1)


def test_a_text_published_later_does_not_go_out_with_the_yes_for_the_first(town: Village) -> None:
    come(town, "ada")
    number = two_persons(town)
    pinned = {row["message_id"] for row in town.rows(CAMPAIGN_MESSAGE)}
    town.publish(SECOND, stream="newsletter", subject="Anders")
    town.do(newsletters.release, number, "bea", town.now)
    town.clock.advance(DAY)
    plan(town)
    assert {row["message_id"] for row in town.rows()} == pinned


def test_a_simulation_tells_that_somebody_has_to_release_it(town: Village) -> None:
    if not town.database.is_sqlite:
        pytest.skip("told of a copy in memory")
    come(town, "ada")
    two_persons(town)
    terms = simulations.Terms(town.now, town.now + 7 * DAY)
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question)
    (one,) = town.database.read(lambda c: simulations.simulate(c, terms, agenda))
    assert (one.status, one.reason) == ("held", newsletters.AWAITING_RELEASE)
    assert town.rows(SEGMENT) == []
