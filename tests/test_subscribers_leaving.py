"""Leaving, choosing, being let in again by mail, and being forgotten."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from l3mail import certificates, consents, courses, events, subscribers
from l3mail.addresses import parse_address
from l3mail.models import (
    CONSENT,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    LINK_REQUEST,
    METADATA,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
)
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.village import Village

FRESH = "notice/fresh-link"
CANARY = "Kanarienvogel"


@pytest.fixture
def ada(village: Village) -> Newcomer:
    settle(village)
    return Newcomer(village)


def ask_for_link(ada: Newcomer, address: str | None = None) -> None:
    parsed = parse_address(address or ada.address)
    ada.village.do(subscribers.request_link, RULES, parsed, ada.village.now)


def prefer(ada: Newcomer, **choices: Any) -> None:
    person = ada.person
    ada.village.database.write(
        lambda one: subscribers.set_preferences(one, person, ada.village.now, **choices)
    )


# -- unsubscribing


def test_unsubscribing_a_thousand_times_changes_once(ada: Newcomer) -> None:
    ada.join()
    assert ada.unsubscribe("kurs") == ["kurs"]
    before = {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}
    for _ in range(1_000 if ada.village.database.is_sqlite else 100):
        assert ada.unsubscribe("kurs") == []
    assert before == {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}


def test_unsubscribing_leaves_other_streams_alone(ada: Newcomer) -> None:
    ada.join("kurs", "newsletter")
    assert ada.unsubscribe("kurs", "nothing of that name") == ["kurs"]
    assert ada.membership("newsletter") == ("confirmed", 2)
    told = [(one["kind"], one["data"]) for one in ada.village.rows(EVENT)][-1]
    assert told == ("unsubscribed", {"stream": "kurs", "how": "page"})
    assert ada.evidence("withdrawn")["streams"] == ["kurs"]


def test_everything_is_left_at_once(ada: Newcomer) -> None:
    ada.join("kurs", "newsletter")
    assert ada.unsubscribe() == ["kurs", "newsletter"]
    assert ada.acts()[-1] == "withdrawn"


def test_a_lesson_queued_before_unsubscribing_is_not_sent(ada: Newcomer) -> None:
    ada.join()
    assert ada.village.do(courses.plan, ada.village.now, RULES.zone).deliveries == 1
    claims = ada.village.claim()
    ada.unsubscribe("kurs")
    assert ada.village.begin(claims) == []


def test_nobody_is_unsubscribed_from_nothing(ada: Newcomer) -> None:
    assert ada.unsubscribe(person=4711) == []
    assert ada.village.rows(CONSENT) == []


def test_refusing_again_adds_nothing(ada: Newcomer) -> None:
    ada.join()
    assert ada.refuse()
    acts, events_told = ada.acts(), ada.village.rows(EVENT)
    for _ in range(20):
        assert ada.refuse()
    assert (ada.acts(), ada.village.rows(EVENT)) == (acts, events_told)
    assert ada.village.rows(SUPPRESSION)[0]["note"] == "by a refused sign-up"


def test_refusing_closes_every_open_request(ada: Newcomer) -> None:
    ada.join("newsletter")
    old = ada.link()
    ada.sign_up("kurs")
    new = ada.link()
    assert old != new
    ada.refuse(old)
    assert ada.read_mail() == []
    assert ada.confirm("kurs", link=new) is None


# -- choosing


def test_consent_to_tracking_comes_and_goes_with_its_words(ada: Newcomer) -> None:
    ada.join()
    current = ada.village.database.read(lambda one: consents.current_wordings(one, "de", "de"))
    prefer(ada, tracking=True, wording_id=current["tracking"].id)
    prefer(ada, tracking=True)
    assert ada.evidence("tracking_granted")["wordings"] == [current["tracking"].evidence()]
    prefer(ada, tracking=False)
    assert ada.acts()[-2:] == ["tracking_granted", "tracking_withdrawn"]
    assert ada.village.row(SUBSCRIBER, ada.person)["tracking"] is False


def test_the_language_is_changed_without_an_act(ada: Newcomer) -> None:
    ada.join()
    acts = ada.acts()
    prefer(ada, locale="en")
    prefer(ada, locale="no language at all")
    standing = ada.village.do(subscribers.standing, ada.person)
    assert standing is not None
    assert (standing.locale, ada.acts()) == ("en", acts)


def test_nobody_has_no_preferences_and_no_standing(ada: Newcomer) -> None:
    ada.join()
    person = ada.person
    ada.erase()
    for who in (person, 4711):
        ada.village.do(subscribers.set_preferences, who, ada.village.now)
        assert ada.village.do(subscribers.standing, who) is None


def test_a_standing_tells_of_every_stream(ada: Newcomer) -> None:
    ada.join("kurs", "newsletter")
    ada.unsubscribe("newsletter")
    standing = ada.village.do(subscribers.standing, ada.person)
    assert standing is not None
    assert [(one.slug, one.state, one.generation) for one in standing.streams] == [
        ("kurs", "confirmed", 2),
        ("newsletter", "unsubscribed", 3),
    ]
    assert (standing.address, standing.suppressed) == (ada.address, None)


def test_show_tells_all_in_json(ada: Newcomer) -> None:
    import json

    ada.sign_up(values={"first_name": "Ada", "birthday": "1980-05-17"})
    ada.read_mail()
    ada.confirm()
    ada.sign_up("newsletter", values={"first_name": "Adele"})
    ada.suppress("hard_bounce")
    told = ada.village.do(subscribers.show, ada.person)
    assert told == json.loads(json.dumps(told))
    assert told is not None
    assert (told["email"], told["status"], told["birthday"]) == (
        "ada@schule.example",
        "suppressed",
        "1980-05-17",
    )
    assert [(one["stream"], one["status"]) for one in told["subscriptions"]] == [
        ("kurs", "confirmed"),
        ("newsletter", "unconfirmed"),
    ]
    assert [one["act"] for one in told["consents"]] == ["requested", "confirmed", "requested"]
    assert [(one["course"], one["status"]) for one in told["enrollments"]] == [("kurs", "active")]
    assert told["signups"][0]["values"] == {"first_name": "Adele"}
    assert told["suppression"]["reason"] == "hard_bounce"
    assert ada.village.do(subscribers.show, 4711) is None


# -- fresh links


def test_a_fresh_link_is_good_for_an_hour_and_may_be_opened_again(ada: Newcomer) -> None:
    ada.join()
    ask_for_link(ada)
    assert ada.read_mail() == [FRESH]
    (request,) = ada.village.rows(LINK_REQUEST)
    (mail,) = [one for one in ada.village.rows(DELIVERY) if one["slug"] == FRESH]
    assert (mail["purpose"], mail["kind"], mail["lane"]) == ("request", "notice", 0)

    def redeem() -> int | None:
        return ada.village.do(subscribers.redeem_link, request["id"], ada.village.now)

    assert [redeem(), redeem()] == [ada.person] * 2
    ada.village.clock.advance(timedelta(hours=1, microseconds=-1))
    assert redeem() == ada.person
    ada.village.clock.advance(timedelta(microseconds=1))
    assert redeem() is None


def test_an_erased_persons_link_leads_nowhere(ada: Newcomer) -> None:
    ada.join()
    ask_for_link(ada)
    (request,) = ada.village.rows(LINK_REQUEST)
    ada.erase()
    assert ada.village.do(subscribers.redeem_link, request["id"], ada.village.now) is None
    assert ada.read_mail() == []


def test_fresh_links_keep_their_limit(ada: Newcomer) -> None:
    ada.join()
    for _ in range(6):
        ask_for_link(ada)
        ada.read_mail()
    assert len(ada.village.rows(LINK_REQUEST)) == 3
    ada.village.clock.advance(A_DAY)
    ask_for_link(ada)
    assert ada.read_mail() == [FRESH]


def test_a_stranger_asking_for_a_link_leaves_no_trace(ada: Newcomer) -> None:
    before = {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}
    ask_for_link(ada, "bea@schule.example")
    assert before == {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}


@pytest.mark.parametrize("reason", ["never", "hard_bounce"])
def test_the_barred_get_no_link(ada: Newcomer, reason: str) -> None:
    ada.join()
    ada.suppress(reason)
    ask_for_link(ada)
    assert ada.read_mail() == []
    assert ada.village.rows(LINK_REQUEST) == []


def test_who_lost_the_confirmation_is_mailed_it_again_within_its_limits(ada: Newcomer) -> None:
    ada.sign_up()
    ada.read_mail()
    ask_for_link(ada)
    assert ada.read_mail() == []
    ada.village.clock.advance(A_DAY)
    ask_for_link(ada)
    ask_for_link(ada)
    assert ada.read_mail() == ["notice/confirmation"]
    assert ada.village.rows(LINK_REQUEST) == []


# -- erasing


def filled(ada: Newcomer) -> int:
    """A person with something in every table that may speak of people."""
    values = {
        "first_name": CANARY,
        "last_name": CANARY,
        "salutation": CANARY,
        "district": CANARY,
        "birthday": "1980-05-17",
        "attributes": {"role": CANARY},
        "tracking": True,
    }
    ada.sign_up(values=values, source=CANARY, locale="de")
    ada.read_mail()
    ada.confirm()
    ada.read_mail()
    ada.village.clock.advance(A_DAY)
    ada.sign_up("newsletter", values=values, source=CANARY)
    ask_for_link(ada)
    person, village = ada.person, ada.village
    village.change(
        DELIVERY, village.rows(DELIVERY)[0]["id"], details={"x": CANARY}, reply_text=CANARY
    )
    village.change(LINK_REQUEST, village.rows(LINK_REQUEST)[0]["id"], request_values={"x": CANARY})
    facts = [
        {"kind": kind, "at": village.now, "subscriber_id": person, "data": {"value": CANARY}}
        for kind in ("answered", "replied", "bounced", "complained")
    ]
    village.do(events.append, facts)
    (journey,) = (row["id"] for row in village.rows(ENROLLMENT) if row["subscriber_id"] == person)
    village.change(ENROLLMENT, journey, completed_at=village.now)
    paper: dict[str, Any] = {
        "name": CANARY,
        "title": "Der Kurs",
        "completed_at": village.now,
        "now": village.now,
    }
    assert village.do(certificates.issue, journey, **paper)
    village.do(
        events.mark,
        {"at": village.now, "subscriber_id": person, "enrollment_id": journey},
        village.now.date(),
    )
    return person


@pytest.mark.parametrize("keep_proof", [True, False])
def test_an_erased_person_is_in_no_table(ada: Newcomer, keep_proof: bool) -> None:
    person = filled(ada)
    bea = Newcomer(ada.village, "bea@schule.example")
    bea.join("newsletter")
    ada.erase(keep_proof=keep_proof)
    kept = {"consent"} if keep_proof else set()
    for table in METADATA.sorted_tables:
        content = str(ada.village.rows(table))
        assert "ada@schule" not in content, table.name
        if table.name not in kept:
            assert CANARY not in content, table.name
            if table is not SIGNUP:
                assert str(ada.key) not in content, table.name
                assert ada.key.hex() not in content, table.name
    tombstone = ada.village.row(SUBSCRIBER, person)
    told = {name for name, value in tombstone.items() if value not in (None, {}, False)}
    assert told == {"id", "created_at", "erased_at"}
    assert ada.village.database.read(consents.verify).broken_at is None
    assert bea.membership("newsletter") == ("confirmed", 2)
    assert len(ada.village.rows(DELIVERY)) > 3


def test_what_was_queued_for_an_erased_person_is_never_sent(ada: Newcomer) -> None:
    person = filled(ada)
    assert ada.village.do(courses.plan, ada.village.now, RULES.zone).deliveries == 1
    ada.erase()
    assert ada.read_mail() == []
    waiting = {"queued", "deferred", "sending", "held"}
    states = {one["state"] for one in ada.village.rows(DELIVERY) if one["subscriber_id"] == person}
    assert not states & waiting


def test_the_kept_proof_says_until_when_and_whose(ada: Newcomer) -> None:
    ada.join()
    ada.village.clock.set(datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    ada.erase()
    told = ada.evidence("withdrawn")
    # The day is local: in Berlin the new year has begun.
    assert told["proof_until"] == "2030-12-31"
    assert (told["by"], told["how"]) == ("amt", "erasure")
    assert told["address_key"] == ada.key.hex()


def test_the_kept_proof_goes_when_its_date_has_passed(ada: Newcomer) -> None:
    ada.join()
    person = ada.person
    ada.village.clock.set(datetime(2026, 12, 31, 22, 59, tzinfo=UTC))
    ada.erase()
    bea = Newcomer(ada.village, "bea@schule.example")
    bea.join()

    def expire_at(moment: datetime) -> int:
        gone, reached = ada.village.do(subscribers.expire_proofs, RULES, moment, after=0, limit=100)
        assert reached is None
        return gone

    assert ada.evidence("withdrawn")["proof_until"] == "2029-12-31"
    assert expire_at(datetime(2029, 12, 31, 22, 59, tzinfo=UTC)) == 0
    assert expire_at(datetime(2029, 12, 31, 23, 0, tzinfo=UTC)) == 3
    assert (ada.acts(person), bea.acts()) == ([], ["requested", "confirmed"])
    assert ada.village.database.read(consents.verify).broken_at is None


def test_proofs_are_walked_through_piece_by_piece(ada: Newcomer) -> None:
    people = [ada, *(Newcomer(ada.village, f"{name}@schule.example") for name in ("bea", "cem"))]
    for person in people:
        person.join()
        person.erase()
    late = ada.village.now + timedelta(days=365 * 5)
    reached: int | None = 0
    gone = []
    while reached is not None:
        acts, reached = ada.village.do(
            subscribers.expire_proofs, RULES, late, after=reached, limit=1
        )
        gone.append(acts)
    assert gone == [3, 3, 3, 0]


def test_erasing_twice_or_nobody_changes_nothing(ada: Newcomer) -> None:
    ada.join()
    person = ada.person
    ada.erase()
    before = {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}
    ada.village.clock.advance(A_DAY)
    ada.erase(person)
    ada.erase(4711)
    assert before == {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}


def test_the_old_unsubscribe_link_of_an_erased_person_does_not_touch_the_new_one(
    ada: Newcomer,
) -> None:
    ada.join()
    before = ada.person
    ada.erase()
    ada.join()
    assert ada.person != before
    assert ada.unsubscribe("kurs", person=before) == []
    assert ada.membership("kurs") == ("confirmed", 2)


# -- purging


def purge(ada: Newcomer, limit: int = 100) -> int:
    return ada.village.do(subscribers.purge, ada.village.now, limit)


def test_an_unanswered_request_goes_when_it_ends_with_the_person(ada: Newcomer) -> None:
    ada.sign_up(values={"first_name": CANARY}, source=CANARY)
    ada.read_mail()
    person = ada.person
    ada.village.clock.advance(timedelta(days=7, seconds=-1))
    assert purge(ada) == 0
    ada.village.clock.advance(timedelta(seconds=1))
    assert (purge(ada), purge(ada)) == (1, 0)
    for table in METADATA.sorted_tables:
        content = str(ada.village.rows(table))
        assert CANARY not in content, table.name
        assert "ada@schule" not in content, table.name
    assert ada.village.rows(SUBSCRIPTION) == []
    assert (ada.id, ada.acts(person)) == (None, [])
    assert ada.village.database.read(consents.verify).broken_at is None
    assert ada.village.row(SUBSCRIBER, person)["address_key"] is not None
    ada.village.clock.advance(timedelta(days=31))
    purge(ada)
    assert ada.village.row(SUBSCRIBER, person)["address_key"] is None
    assert ada.village.rows(SIGNUP) == []
    assert len(ada.village.rows(DELIVERY)) == 1


def test_who_comes_back_after_a_purge_is_known_by_the_address_alone(ada: Newcomer) -> None:
    ada.sign_up(values={"first_name": CANARY})
    ada.read_mail()
    ada.village.clock.advance(timedelta(days=8))
    purge(ada)
    ada.sign_up()
    person = ada.village.row(SUBSCRIBER, ada.person)
    assert (person["address"], person["first_name"]) == ("ada@schule.example", None)
    assert (person["erased_at"], person["created_at"]) == (None, ada.village.now)
    assert ada.read_mail() == ["notice/confirmation"]
    assert ada.confirm() is not None
    ada.village.clock.advance(timedelta(days=60))
    purge(ada)
    assert ada.membership() == ("confirmed", 2)
    assert ada.village.row(SUBSCRIBER, ada.person)["address_key"] == ada.key


def test_a_purge_spares_whom_we_know_otherwise(ada: Newcomer) -> None:
    ada.join("newsletter")
    ada.sign_up("kurs", values={"last_name": CANARY})
    bea = Newcomer(ada.village, "bea@schule.example")
    ada.village.insert(
        SUBSCRIBER,
        address=bea.address,
        address_key=bea.key,
        first_name="Bea",
        created_at=ada.village.now,
    )
    bea.sign_up()
    ada.village.clock.advance(timedelta(days=8))
    assert purge(ada) == 2
    assert ada.membership("newsletter") == ("confirmed", 2)
    assert ada.membership("kurs") is None
    assert bea.id is not None
    assert CANARY not in str(ada.village.rows(SIGNUP))


def test_a_purge_does_not_take_more_than_it_is_asked_to(ada: Newcomer) -> None:
    for number in range(5):
        Newcomer(ada.village, f"p{number}@schule.example").sign_up()
    ada.village.clock.advance(timedelta(days=8))
    assert [purge(ada, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert all(row["erased_at"] for row in ada.village.rows(SUBSCRIBER))


def test_a_purge_spares_a_newer_request(ada: Newcomer) -> None:
    ada.sign_up("kurs")
    ada.village.clock.advance(timedelta(days=7))
    ada.sign_up("newsletter")
    assert purge(ada) == 1
    assert ada.membership("newsletter") == ("unconfirmed", 1)
    assert ada.id is not None


def test_the_proof_of_the_confirmed_outlives_a_purge(ada: Newcomer) -> None:
    ada.join()
    ada.village.clock.advance(timedelta(days=400))
    purge(ada)
    assert ada.acts() == ["requested", "confirmed"]
    assert len(ada.village.rows(SIGNUP)) == 1


def test_an_operators_own_entry_is_not_purged(ada: Newcomer) -> None:
    ada.village.database.write(
        lambda one: one.execute(
            insert(SUBSCRIBER).values(
                address="c@schule.example", address_key=b"c" * 32, created_at=ada.village.now
            )
        )
    )
    ada.village.clock.advance(timedelta(days=400))
    assert purge(ada) == 0
    assert ada.village.rows(SUBSCRIBER)[0]["erased_at"] is None
