"""Confirming, and an operator's word in its place: what begins, and what is proven."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import delete, update

from l3mail import consents, courses, subscribers
from l3mail.database import Database
from l3mail.models import (
    COURSE,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.subscribers import Attested, Confirmed, Refused
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.newcomer import COURSE as OUTLINE
from tests.fakes.village import MONDAY_TEN, Village


@pytest.fixture
def ada(village: Village) -> Newcomer:
    settle(village)
    return Newcomer(village)


@pytest.fixture
def quiet_ada(sqlite_village: Village) -> Newcomer:
    settle(sqlite_village)
    return Newcomer(sqlite_village)


def asked(ada: Newcomer, *slugs: str) -> tuple[int, int]:
    ada.sign_up(*slugs)
    ada.read_mail()
    return ada.link()


def test_a_course_begins_at_the_next_slot_and_the_page_learns_its_dates(ada: Newcomer) -> None:
    asked(ada)
    ada.village.clock.advance(timedelta(seconds=1))
    confirmed = ada.confirm()
    assert confirmed is not None
    (joined,) = confirmed.streams
    assert (joined.slug, joined.title, joined.kind) == ("kurs", "Der Kurs", "course")
    assert joined.dates == (
        ("kurs/01-start", MONDAY_TEN + timedelta(days=7)),
        ("kurs/02-mehr", MONDAY_TEN + timedelta(days=14)),
    )
    assert ada.read_mail() == ["kurs/welcome"]
    (welcome,) = [mail for mail in ada.village.rows(DELIVERY) if mail["kind"] == "welcome"]
    (enrollment,) = ada.village.rows(ENROLLMENT)
    assert welcome["occurrence"] == f"welcome:{enrollment['id']}"
    assert (welcome["purpose"], welcome["enrollment_id"]) == ("stream", enrollment["id"])


def test_the_welcome_does_not_count_as_a_lesson(ada: Newcomer) -> None:
    asked(ada)
    ada.confirm()
    ada.read_mail()
    village = ada.village
    village.do(courses.advance, village.now, RULES.zone)
    village.do(courses.plan, village.now, RULES.zone)
    assert ada.read_mail() == ["kurs/01-start"]
    standing = village.do(subscribers.standing, ada.person)
    assert standing is not None
    (journey,) = standing.enrollments
    assert (journey.course, journey.state) == ("kurs", "active")
    assert (journey.received, journey.total) == (1, 2)


def test_without_a_published_welcome_none_is_queued(ada: Newcomer) -> None:
    ada.village.database.write(
        lambda one: one.execute(delete(MESSAGE).where(MESSAGE.c.slug == "kurs/welcome"))
    )
    asked(ada)
    assert ada.confirm() is not None
    assert ada.read_mail() == []


def test_exactly_the_streams_of_the_page_are_confirmed_and_the_rest_stays_open(
    ada: Newcomer,
) -> None:
    link = asked(ada, "newsletter")
    ada.sign_up("kurs")  # merged in while the page is open
    first = ada.confirm("newsletter", link=link)
    assert first is not None
    assert [stream.slug for stream in first.streams] == ["newsletter"]
    assert ada.membership("kurs") == ("unconfirmed", 1)
    state = ada.village.do(subscribers.look_up_signup, *link, ada.village.now)
    assert state is not None
    assert (state.state, [stream.slug for stream in state.streams]) == ("open", ["kurs"])
    assert ada.evidence("confirmed")["streams"] == ["newsletter"]
    second = ada.confirm("kurs", link=link)
    assert second is not None
    assert ada.membership("kurs") == ("confirmed", 2)
    assert ada.evidence("confirmed")["wordings"][0]["name"] == "course"


@pytest.mark.parametrize("posted", [("newsletter",), ("unknown", "x' OR 1=1 --"), ()])
def test_streams_the_sign_up_does_not_ask_for_are_ignored(
    ada: Newcomer, posted: tuple[str, ...]
) -> None:
    link = asked(ada, "kurs")
    answer = ada.village.do(subscribers.confirm, RULES, *link, posted, ada.village.now)
    assert answer == Confirmed(ada.person, (), changed=False)
    assert ada.membership("kurs") == ("unconfirmed", 1)
    assert ada.membership("newsletter") is None
    assert ada.village.rows(SIGNUP)[0]["confirmed_at"] is None


def test_confirming_again_and_again_changes_nothing_more(quiet_ada: Newcomer) -> None:
    asked(quiet_ada)
    quiet_ada.confirm()
    changing = (SUBSCRIPTION, ENROLLMENT, EVENT, DELIVERY)
    before = [quiet_ada.village.rows(table) for table in changing]
    for _ in range(200):
        answer = quiet_ada.confirm()
        assert answer is not None
        assert not answer.changed
        assert [stream.slug for stream in answer.streams] == ["kurs"]
    assert before == [quiet_ada.village.rows(table) for table in changing]
    assert quiet_ada.acts() == ["requested", "confirmed"]


def test_two_confirms_at_once_enroll_once(database: Database) -> None:
    village = Village(database)
    settle(village)
    ada = Newcomer(village)
    link = asked(ada, "kurs", "newsletter")
    together = 4
    barrier = Barrier(together)

    def confirm(_: int) -> bool:
        barrier.wait()
        answer = ada.confirm("kurs", "newsletter", link=link)
        assert answer is not None
        return answer.changed

    with ThreadPoolExecutor(together) as pool:
        changed = list(pool.map(confirm, range(together)))
    assert changed.count(True) == 1
    assert ada.enrollments() == ["active"]
    assert ada.acts() == ["requested", "confirmed"]
    assert ada.membership("newsletter") == ("confirmed", 2)


def test_sign_ups_of_one_address_at_once_are_one_person_and_one_request(
    database: Database,
) -> None:
    village = Village(database)
    settle(village)
    barrier = Barrier(4)

    def sign_up(slug: str) -> None:
        barrier.wait()
        Newcomer(village).sign_up(slug)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sign_up, ["kurs", "newsletter", "kurs", "newsletter"]))
    assert len(village.rows(SUBSCRIBER)) == 1
    (signup,) = village.rows(SIGNUP)
    assert set(signup["streams"]) == {"kurs", "newsletter"}
    assert len(village.rows(DELIVERY)) == 1
    assert village.database.read(consents.verify).broken_at is None


def test_confirm_and_unsubscribe_at_once_leave_one_of_both(database: Database) -> None:
    village = Village(database)
    settle(village)
    ada = Newcomer(village)
    link = asked(ada)
    person = ada.person
    barrier = Barrier(2)

    def act(what: str) -> None:
        barrier.wait()
        if what == "confirm":
            ada.confirm(link=link)
        else:
            ada.unsubscribe(person=person)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(act, ["confirm", "unsubscribe"]))
    # Whoever came first: to have left is what stays.
    assert ada.membership() in {("unsubscribed", 2), ("unsubscribed", 3)}
    assert ada.enrollments() in ([], ["cancelled"])


def test_who_comes_back_begins_at_lesson_one(ada: Newcomer) -> None:
    ada.join()
    ada.unsubscribe()
    asked(ada)
    ada.confirm()
    first, second = ada.village.rows(ENROLLMENT)
    assert (first["state"], second["state"]) == ("cancelled", "active")
    assert second["next_position"] == 0


def test_a_running_journey_is_not_begun_twice(ada: Newcomer) -> None:
    """An operator enrolled somebody whose own request was still open."""
    link = asked(ada)
    ada.village.do(courses.enroll, "kurs", ada.person, ada.village.now, RULES.zone)
    assert ada.confirm(link=link) is not None
    assert ada.enrollments() == ["active"]


@pytest.mark.parametrize("trouble", ["not taught yet", "no open day"])
def test_consent_counts_even_where_the_course_cannot_begin(ada: Newcomer, trouble: str) -> None:
    if trouble == "not taught yet":
        ada.village.database.write(
            lambda one: one.execute(update(COURSE).values(current_structure_id=None))
        )
    else:
        closed = courses.Outline(
            **{
                **{name: getattr(OUTLINE, name) for name in OUTLINE.__dataclass_fields__},
                "rules": {"closed": ["2026-01-01..2126-01-01"]},
            }
        )
        ada.village.do(courses.define, closed, ada.village.stream(), ada.village.now)
    asked(ada)
    confirmed = ada.confirm()
    assert confirmed is not None
    assert confirmed.streams[0].dates == ()
    assert ada.membership() == ("confirmed", 2)
    assert ada.enrollments() == []


def test_each_stream_that_begins_is_an_event(ada: Newcomer) -> None:
    asked(ada, "kurs", "newsletter")
    ada.confirm()
    told = [(one["kind"], one["data"]) for one in ada.village.rows(EVENT)]
    assert told == [
        ("confirmed", {"stream": "kurs", "how": "double-opt-in"}),
        ("confirmed", {"stream": "newsletter", "how": "double-opt-in"}),
    ]


def test_the_proof_names_the_request_the_words_and_the_mail(ada: Newcomer) -> None:
    ada.sign_up(values={"tracking": True}, source="flyer", locale="de")
    requested_at = ada.village.now
    ada.read_mail()
    ada.village.clock.advance(timedelta(minutes=5))
    ada.confirm()
    told = ada.evidence("confirmed")
    (mail,) = told.pop("mails")
    (wording,) = told.pop("wordings")
    assert told == {
        "streams": ["kurs"],
        "lifted_hard_bounce": False,
        "signup": ada.link()[0],
        "requested_at": requested_at.isoformat(),
        "form": "web",
        "source": "flyer",
        "locale": "de",
        "address_key": ada.key.hex(),
    }
    delivery = ada.village.rows(DELIVERY)[0]
    assert mail["delivery"] == delivery["id"]
    assert mail["hash"] == ada.village.row(MESSAGE, delivery["message_id"])["hash"]
    assert (wording["name"], len(wording["hash"])) == ("course", 64)
    assert ada.acts() == ["requested", "confirmed", "tracking_granted"]
    assert ada.evidence("tracking_granted")["wordings"][0]["name"] == "tracking"


@pytest.mark.parametrize("link", [(1, 2), (2, 1), (10**15, 1), (-1, 1)])
def test_a_link_that_leads_nowhere_does_nothing(ada: Newcomer, link: tuple[int, int]) -> None:
    assert asked(ada) == (ada.village.rows(SIGNUP)[0]["id"], 1)
    nowhere = (link[0] + ada.link()[0] - 1, link[1])
    assert ada.confirm(link=nowhere) is None
    assert ada.refuse(nowhere) is False
    assert ada.village.do(subscribers.look_up_signup, *nowhere, ada.village.now) is None
    assert ada.membership() == ("unconfirmed", 1)


def test_a_link_is_good_until_the_moment_it_ends(ada: Newcomer) -> None:
    link = asked(ada)
    ada.village.clock.set(ada.village.rows(SIGNUP)[0]["expires_at"])
    state = ada.village.do(subscribers.look_up_signup, *link, ada.village.now)
    assert state is not None
    assert state.state == "expired"
    assert ada.confirm(link=link) is None
    ada.village.clock.set(ada.village.now - timedelta(microseconds=1))
    assert ada.confirm(link=link) is not None


def test_what_one_unsubscribes_from_is_taken_out_of_the_open_request(ada: Newcomer) -> None:
    link = asked(ada, "kurs", "newsletter")
    ada.unsubscribe("kurs")
    confirmed = ada.confirm("kurs", "newsletter", link=link)
    assert confirmed is not None
    assert [stream.slug for stream in confirmed.streams] == ["newsletter"]
    assert ada.membership("kurs") == ("unsubscribed", 2)


def test_unsubscribing_before_the_mail_goes_keeps_it_from_going(ada: Newcomer) -> None:
    ada.sign_up()
    ada.unsubscribe()
    assert ada.read_mail() == []
    assert ada.confirm() is None


# -- an operator's word


def test_an_attestation_says_who_vouched_and_how(ada: Newcomer) -> None:
    answer = ada.attest(
        "kurs", "newsletter", values={"first_name": "Ada", "tracking": True}, locale="de"
    )
    assert answer == Attested(ada.person, ("kurs", "newsletter"))
    told = ada.evidence("attested")
    assert (told["note"], told["by"]) == ("Liste vom Elternabend", "amt")
    assert told["streams"] == ["kurs", "newsletter"]
    assert ada.acts() == ["attested", "tracking_granted"]
    person = ada.village.row(SUBSCRIBER, ada.person)
    assert (person["first_name"], person["locale"], person["tracking"]) == ("Ada", "de", True)


def test_attesting_a_course_enrolls_nobody_and_mails_nothing(ada: Newcomer) -> None:
    ada.attest("kurs")
    assert ada.enrollments() == []
    assert ada.mails() == []


def test_whom_an_operator_vouches_for_is_asked_no_more(ada: Newcomer) -> None:
    ada.sign_up("kurs")
    link = ada.link()
    ada.attest("kurs")
    assert ada.read_mail() == []
    state = ada.village.do(subscribers.look_up_signup, *link, ada.village.now)
    assert state is not None
    assert state.state == "confirmed", "an old link shows how things stand"


def test_who_is_vouched_for_in_part_is_asked_for_the_rest(ada: Newcomer) -> None:
    ada.sign_up("kurs", "newsletter")
    ada.attest("kurs")
    assert len(ada.read_mail()) == 1


def test_attesting_fills_gaps_and_overwrites_nothing(ada: Newcomer) -> None:
    ada.sign_up(values={"first_name": "Ada", "attributes": {"role": "vhs"}, "birthday": "--05-17"})
    ada.read_mail()
    ada.confirm()
    values = {
        "first_name": "Falsch",
        "last_name": "Lovelace",
        "attributes": {"role": "schule", "years": 3},
        "birthday": "1980-01-01",
    }
    assert ada.attest("newsletter", values=values) == Attested(ada.person, ("newsletter",))
    person = ada.village.row(SUBSCRIBER, ada.person)
    assert (person["first_name"], person["last_name"]) == ("Ada", "Lovelace")
    assert person["attributes"] == {"role": "vhs", "years": 3}
    assert (person["birth_year"], person["birth_month"], person["birth_day"]) == (None, 5, 17)


def test_one_stream_left_rejects_the_whole_row(ada: Newcomer) -> None:
    ada.join()
    ada.unsubscribe()
    answer = ada.attest("newsletter", "kurs")
    assert answer == Refused("unsubscribed on 2026-11-24, needs a new opt-in (kurs)")
    assert ada.membership("newsletter") is None


def test_a_barred_stranger_leaves_no_row_behind(ada: Newcomer) -> None:
    ada.suppress("operator")
    assert ada.attest() == Refused("suppressed on 2026-11-23 (operator)")
    assert ada.village.rows(SUBSCRIBER) == []


def test_a_restricted_person_is_not_vouched_for(ada: Newcomer) -> None:
    ada.join("newsletter")
    ada.village.change(SUBSCRIBER, ada.person, restricted_at=ada.village.now)
    assert ada.attest() == Refused("processing is restricted at the person's request")


def test_the_day_told_is_the_local_one(ada: Newcomer) -> None:
    ada.attest()
    ada.village.clock.set(MONDAY_TEN.replace(hour=23, minute=30))
    ada.unsubscribe()
    answer = ada.attest()
    assert isinstance(answer, Refused)
    assert "on 2026-11-24" in answer.reason


def test_a_bounce_lifted_brings_back_a_course_stopped_meanwhile(ada: Newcomer) -> None:
    ada.join()
    ada.unsubscribe()
    ada.suppress("hard_bounce")
    ada.village.clock.advance(A_DAY)
    asked(ada)
    ada.confirm()
    assert ada.suppression() is None
    assert ada.evidence("confirmed")["lifted_hard_bounce"] is True
    assert ada.enrollments() == ["cancelled", "active"]
