"""Who may be mailed: the one predicate, asked when planning and again at the intent.

Each case of the tables says the answer once. It is asked twice: of the predicate for a mail that
is only being planned, and of `begin` for the row in the outbox. They must agree.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import cast, literal, null, select

from l3mail import outbox
from l3mail.database import Database
from l3mail.models import (
    DELIVERY,
    LINK_REQUEST,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION_REASONS,
)
from l3mail.outbox import Outcome
from l3mail.planning import LANES, Candidate, bindings, mailable, objection
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOMENT = timedelta(microseconds=1)
LANE = 0  # requests and staff

Arrange = Callable[[Village, int], dict[str, Any]]
"""Makes the world and returns what the delivery differs in from a plain one."""


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("planning")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


def foreseen(village: Village, row: dict[str, Any]) -> str | None:
    """What the predicate says of a mail that has no row yet."""
    values = {"id": None, "stream_id": None, "address": None, "signup_id": None}
    values |= {"link_request_id": None, "generation": 1, "subscriber_id": None, "slug": ""} | row
    columns = {
        name: cast(null() if values[name] is None else literal(values[name]), DELIVERY.c[name].type)
        for name in Candidate.__dataclass_fields__
    }
    candidate = Candidate(**columns)
    query = select(objection(candidate), mailable(candidate))
    ((reason, allowed),) = village.ask(query, **bindings(village.now, village.staff, "de"))
    assert allowed == (reason is None)
    return None if reason is None else str(reason)


def started(village: Village, row: dict[str, Any]) -> str | None:
    """Put the row into the outbox and begin it; return why it did not start, if so."""
    delivery = village.delivery(row.pop("subscriber_id"), row.pop("kind"), **row)
    claims = [claim for lane in LANES for claim in village.claim(lane=lane)]
    begun = {one.id for one in village.begin(claims)}
    after = village.row(DELIVERY, delivery)
    if delivery in begun:
        assert (after["state"], after["reason"]) == ("sending", None)
        return None
    assert (after["state"], after["lease_owner"], after["lease_until"]) == ("cancelled", None, None)
    assert after["ended_at"] == village.now
    assert after["message_id"] is None
    return str(after["reason"])


def ruling(village: Village, row: dict[str, Any]) -> str | None:
    """The reason against a mail, or None where it may go: the same at planning and at begin."""
    village.publish()
    reason = foreseen(village, row)
    assert started(village, dict(row)) == reason
    return reason


# -- stream: a person who confirmed, and nothing against it


def subscribed(state: str = "confirmed", **values: Any) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        village.subscribe(person, village.stream(), state, **values)
        return {}

    return arrange


def unsubscribed_and_confirmed_again(village: Village, person: int) -> dict[str, Any]:
    village.subscribe(person, village.stream(), generation=3)
    return {"generation": 3}


def only_another_stream(village: Village, person: int) -> dict[str, Any]:
    village.subscribe(person, village.stream("newsletter", "newsletter"))
    return {}


def another_person_only(village: Village, person: int) -> dict[str, Any]:
    village.learner("berta@schule.example")
    return {}


def confirmed_but(**values: Any) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        village.subscribe(person, village.stream())
        village.change(SUBSCRIBER, person, **values)
        return {}

    return arrange


def confirmed_but_suppressed(reason: str) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        village.subscribe(person, village.stream())
        village.suppress(person, reason)
        return {}

    return arrange


def suppressed_neighbour(village: Village, person: int) -> dict[str, Any]:
    village.subscribe(person, village.stream())
    village.suppress(village.person("berta@schule.example"), "never")
    return {}


def address_typed_in_capitals(village: Village, person: int) -> dict[str, Any]:
    """The suppression was made for the same address spelled otherwise."""
    village.subscribe(person, village.stream())
    village.suppress(person, "operator")
    village.change(SUBSCRIBER, person, address="ADA@schule.example")
    return {}


STREAM_ARM: dict[str, tuple[Arrange, str | None]] = {
    "confirmed": (subscribed(), None),
    "confirmed again after an end": (unsubscribed_and_confirmed_again, None),
    "a neighbour is suppressed": (suppressed_neighbour, None),
    "unconfirmed": (subscribed("unconfirmed"), "not confirmed"),
    "unsubscribed": (subscribed("unsubscribed"), "unsubscribed"),
    "no subscription": (lambda *_: {}, "not confirmed"),
    "only another stream confirmed": (only_another_stream, "not confirmed"),
    "only another person confirmed": (another_person_only, "not confirmed"),
    "planned under an earlier generation": (subscribed(generation=2), "not confirmed"),
    "erased": (confirmed_but(erased_at=MONDAY_TEN, address=None, address_key=None), "erased"),
    "restricted": (confirmed_but(restricted_at=MONDAY_TEN), "restricted"),
    "suppressed, other spelling": (address_typed_in_capitals, "suppressed"),
} | {
    f"suppressed: {reason}": (confirmed_but_suppressed(reason), "suppressed")
    for reason in SUPPRESSION_REASONS
}


@pytest.mark.parametrize(("arrange", "reason"), STREAM_ARM.values(), ids=STREAM_ARM.keys())
def test_mail_of_a_stream_goes_to_whoever_confirmed_it_and_is_not_barred(
    village: Village, arrange: Arrange, reason: str | None
) -> None:
    person = village.person()
    row = {"purpose": "stream", "kind": "lesson", "stream_id": village.stream()}
    assert ruling(village, row | {"subscriber_id": person} | arrange(village, person)) == reason


# -- request: an open sign-up or link request of the same person, within the limit


def signed_up(**values: Any) -> Arrange:
    return lambda village, person: {"signup_id": village.signup(person, **values)}


def asked_for_a_link(**values: Any) -> Arrange:
    return lambda village, person: {"link_request_id": village.link_request(person, **values)}


def two_mails_of_one_sign_up_generation(signup: int, mail: int) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        return {"signup_id": village.signup(person, generation=signup), "generation": mail}

    return arrange


def sign_up_of_somebody_else(village: Village, person: int) -> dict[str, Any]:
    return {"signup_id": village.signup(village.person("berta@schule.example"))}


def link_request_of_somebody_else(village: Village, person: int) -> dict[str, Any]:
    return {"link_request_id": village.link_request(village.person("berta@schule.example"))}


def signed_up_while(reason: str, kind: str = "confirmation") -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        village.suppress(person, reason)
        return {"signup_id": village.signup(person), "kind": kind}

    return arrange


def asked_for_a_link_while(reason: str) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        village.suppress(person, reason)
        return {"link_request_id": village.link_request(person), "kind": "notice"}

    return arrange


def signed_up_but(**values: Any) -> Arrange:
    def arrange(village: Village, person: int) -> dict[str, Any]:
        signup = village.signup(person)
        village.change(SUBSCRIBER, person, **values)
        return {"signup_id": signup}

    return arrange


REQUEST_ARM: dict[str, tuple[Arrange, str | None]] = {
    "open sign-up": (signed_up(), None),
    "sign-up that ends in a moment": (signed_up(expires_at=MONDAY_TEN + MOMENT), None),
    "sign-up of the same later generation": (two_mails_of_one_sign_up_generation(2, 2), None),
    "hard bounce, a confirmation": (signed_up_while("hard_bounce"), None),
    "open link request": (asked_for_a_link(), None),
    "neither sign-up nor link request": (lambda *_: {}, "request is closed"),
    "confirmed sign-up": (signed_up(confirmed_at=MONDAY_TEN), "request is closed"),
    "refused sign-up": (signed_up(refused_at=MONDAY_TEN), "request is closed"),
    "sign-up that ends now": (signed_up(expires_at=MONDAY_TEN), "request is closed"),
    "sign-up of a later generation": (
        two_mails_of_one_sign_up_generation(2, 1),
        "request is closed",
    ),
    "sign-up of somebody else": (sign_up_of_somebody_else, "request is closed"),
    "sign-up never tied to a person": (signed_up(subscriber_id=None), "request is closed"),
    "used link request": (asked_for_a_link(used_at=MONDAY_TEN), "request is closed"),
    "link request that ends now": (asked_for_a_link(expires_at=MONDAY_TEN), "request is closed"),
    "link request of a later generation": (asked_for_a_link(generation=2), "request is closed"),
    "link request of somebody else": (link_request_of_somebody_else, "request is closed"),
    "hard bounce, a notice": (signed_up_while("hard_bounce", "notice"), "suppressed"),
    "hard bounce, a fresh link": (asked_for_a_link_while("hard_bounce"), "suppressed"),
    "complaint": (signed_up_while("complaint"), "suppressed"),
    "never": (signed_up_while("never"), "suppressed"),
    "suppressed by an operator": (signed_up_while("operator"), "suppressed"),
    "erased": (signed_up_but(erased_at=MONDAY_TEN, address=None, address_key=None), "erased"),
    "restricted": (signed_up_but(restricted_at=MONDAY_TEN), "restricted"),
}


@pytest.mark.parametrize(("arrange", "reason"), REQUEST_ARM.values(), ids=REQUEST_ARM.keys())
def test_an_answer_goes_only_to_an_open_request(
    village: Village, arrange: Arrange, reason: str | None
) -> None:
    person = village.person()
    row = {"purpose": "request", "kind": "confirmation", "subscriber_id": person}
    assert ruling(village, row | arrange(village, person)) == reason


Earlier = list[tuple[str, timedelta | None, dict[str, Any]]]
"""Other requests of the person: what for, how long ago begun (None: never), columns."""

ENDED, WAITING = {"state": "accepted"}, {"state": "queued"}
LIMITS: dict[str, tuple[str, Earlier, str | None]] = {
    "first confirmation": ("signup", [], None),
    "confirmation begun a moment within 24 h": ("signup", [("signup", DAY - MOMENT, ENDED)], "no"),
    "confirmation begun 24 h ago": ("signup", [("signup", DAY, ENDED)], None),
    "one that failed counts too": ("signup", [("signup", HOUR, {"state": "failed"})], "no"),
    "one that is uncertain counts too": (
        "signup",
        [("signup", HOUR, {"state": "uncertain"})],
        "no",
    ),
    "third within 30 days": ("signup", [("signup", n * DAY, ENDED) for n in (2, 29)], None),
    "fourth within 30 days": ("signup", [("signup", n * DAY, ENDED) for n in (2, 9, 29)], "no"),
    "three, the oldest 30 days ago": (
        "signup",
        [("signup", n * DAY, ENDED) for n in (2, 9, 30)],
        None,
    ),
    "an older one waits": ("signup", [("signup", None, WAITING)], "no"),
    "an older one is held": ("signup", [("signup", None, {"state": "held"})], "no"),
    "an older one was cancelled unbegun": (
        "signup",
        [("signup", None, {"state": "cancelled"})],
        None,
    ),
    "an older one lapsed unbegun": ("signup", [("signup", None, {"state": "lapsed"})], None),
    "fresh links do not count": ("signup", [("link", HOUR, ENDED)] * 3, None),
    "mails of streams do not count": (
        "signup",
        [("signup", HOUR, {"state": "accepted", "purpose": "stream", "kind": "lesson"})],
        None,
    ),
    "third fresh link": ("link", [("link", HOUR, ENDED)] * 2, None),
    "fourth fresh link": ("link", [("link", HOUR, ENDED)] * 3, "no"),
    "fourth fresh link, the first 24 h ago": (
        "link",
        [("link", DAY, ENDED), ("link", HOUR, ENDED), ("link", HOUR, ENDED)],
        None,
    ),
    "fourth fresh link, one waits": (
        "link",
        [("link", HOUR, ENDED), ("link", HOUR, ENDED), ("link", None, WAITING)],
        "no",
    ),
    "confirmations do not count for links": ("link", [("signup", HOUR, ENDED)] * 3, None),
}


def asked(village: Village, person: int, what: str) -> dict[str, Any]:
    """The columns of an answer to a new request."""
    row = {"purpose": "request", "subscriber_id": person}
    if what == "link":
        return row | {"kind": "notice", "link_request_id": village.link_request(person)}
    return row | {"kind": "confirmation", "signup_id": village.signup(person)}


def earlier(
    village: Village, person: int, what: str, ago: timedelta | None, values: dict[str, Any]
) -> int:
    row = asked(village, person, what) | values
    begun = None if ago is None else village.now - ago
    kind, subscriber = row.pop("kind"), row.pop("subscriber_id")
    return village.delivery(subscriber, kind, first_started_at=begun, slug="kurs/waits", **row)


@pytest.mark.parametrize(("what", "others", "answer"), LIMITS.values(), ids=LIMITS.keys())
def test_nobody_is_flooded_with_answers(
    village: Village, what: str, others: Earlier, answer: str | None
) -> None:
    person = village.learner()
    for other in others:
        earlier(village, person, *other)
        earlier(village, village.person(f"b{len(village.rows())}@schule.example"), *other)
    # What waits is kept back here, or it would begin together with the row asked about.
    village.do(outbox.halt, "message", "kurs/waits", "op", village.now)
    row = asked(village, person, what)
    assert ruling(village, row) == (answer and "request limit reached")


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.UNKNOWN])
def test_a_mail_does_not_count_against_its_own_retry(village: Village, outcome: Outcome) -> None:
    village.publish()
    delivery = village.request(person := village.person(), village.signup(person))
    (first,) = village.start(lane=LANE)
    village.record(first, outcome)
    village.clock.advance(HOUR)
    village.do(outbox.settle, village.now)
    claims = village.claim_retries() + village.claim(lane=LANE)
    (second,) = village.begin(claims)
    assert (second.id, second.attempts, second.first_started_at) == (
        delivery,
        2,
        first.first_started_at,
    )


@pytest.mark.parametrize("together", [True, False], ids=["one begin", "the newer first"])
def test_of_two_confirmations_that_wait_the_older_goes(village: Village, together: bool) -> None:
    village.publish()
    person = village.person()
    older = village.request(person, village.signup(person))
    newer = village.request(person, village.signup(person))
    claims = village.claim(lane=LANE)
    batches = [claims] if together else [claims[1:], claims[:1]]
    assert [one.id for batch in batches for one in village.begin(batch)] == [older]
    assert village.row(DELIVERY, newer)["reason"] == "request limit reached"


# -- staff: whoever the configuration lists, and nobody else

STAFF_ARM: dict[str, tuple[frozenset[str], str, str | None]] = {
    "listed": (frozenset({"amt@stadt.example"}), "amt@stadt.example", None),
    "one of several": (frozenset({"a@x.example", "amt@stadt.example"}), "a@x.example", None),
    "not listed": (
        frozenset({"amt@stadt.example"}),
        "b@x.example",
        "address is not listed as staff",
    ),
    "nobody is listed": (frozenset(), "amt@stadt.example", "address is not listed as staff"),
}


@pytest.mark.parametrize(("staff", "address", "reason"), STAFF_ARM.values(), ids=STAFF_ARM.keys())
def test_reports_go_only_to_listed_staff(
    village: Village, staff: frozenset[str], address: str, reason: str | None
) -> None:
    village.staff = staff
    row = {"purpose": "staff", "kind": "report", "subscriber_id": None, "address": address}
    assert ruling(village, row) == reason


@pytest.mark.parametrize(
    ("slug", "address", "reason"),
    [
        ("notice/test", "neu@stadt.example", None),
        ("notice/test", "neu@amt.stadt.example", "address is not listed as staff"),
        ("notice/test", "neu@stadt.example.org", "address is not listed as staff"),
        ("notice/test", "stadt.example", "address is not listed as staff"),
        # Who left the lists, and works on in the same house, is told nothing more.
        ("notice/approval", "neu@stadt.example", "address is not listed as staff"),
        ("notice/alarm", "neu@stadt.example", "address is not listed as staff"),
    ],
)
def test_whoever_has_an_address_of_ours_gets_test_mails_and_nothing_else(
    village: Village, slug: str, address: str, reason: str | None
) -> None:
    village.staff = frozenset({"amt@stadt.example", "@stadt.example"})
    village.publish(slug)
    about = {"purpose": "staff", "kind": "notice", "slug": slug, "address": address}
    assert ruling(village, {**about, "subscriber_id": None}) == reason


def test_staff_need_no_consent_and_people_are_not_staff_by_their_address(village: Village) -> None:
    village.publish()
    village.staff = frozenset({"ada@schule.example"})
    report = village.report("ada@schule.example")
    lesson = village.delivery(village.person("ada@schule.example"))
    assert [one.id for one in village.start(lane=0) + village.start(lane=1)] == [report]
    assert village.row(DELIVERY, lesson)["reason"] == "not confirmed"


# -- what happens between planning and the intent counts


def unsubscribe(village: Village, person: int) -> None:
    (row,) = (row for row in village.rows(SUBSCRIPTION) if row["subscriber_id"] == person)
    village.change(SUBSCRIPTION, row["id"], state="unsubscribed", generation=2)


def unsubscribe_and_confirm_anew(village: Village, person: int) -> None:
    (row,) = (row for row in village.rows(SUBSCRIPTION) if row["subscriber_id"] == person)
    village.change(SUBSCRIPTION, row["id"], generation=3)


def complain(village: Village, person: int) -> None:
    village.suppress(person, "complaint")


def erase(village: Village, person: int) -> None:
    blank = {"address": None, "address_key": None, "first_name": None}
    village.change(SUBSCRIBER, person, erased_at=village.now, **blank)


def restrict(village: Village, person: int) -> None:
    village.change(SUBSCRIBER, person, restricted_at=village.now)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        pytest.param(unsubscribe, "unsubscribed", id="unsubscribed"),
        pytest.param(unsubscribe_and_confirm_anew, "not confirmed", id="another generation"),
        pytest.param(complain, "suppressed", id="complained"),
        pytest.param(erase, "erased", id="erased"),
        pytest.param(restrict, "restricted", id="restricted"),
    ],
)
def test_what_happens_after_the_claim_cancels_the_mail(
    village: Village, act: Callable[[Village, int], None], reason: str
) -> None:
    village.publish()
    person, other = village.learner(), village.learner("berta@schule.example")
    delivery, bystander = village.delivery(person), village.delivery(other)
    claims = village.claim()
    act(village, person)
    assert [one.id for one in village.begin(claims)] == [bystander]
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["reason"], row["attempts"]) == ("cancelled", reason, 0)
    assert village.claim() == []


@pytest.mark.parametrize("column", ["confirmed_at", "refused_at"])
def test_a_request_settled_after_the_claim_is_not_answered(village: Village, column: str) -> None:
    village.publish()
    signup = village.signup(person := village.person())
    delivery = village.request(person, signup)
    claims = village.claim(lane=LANE)
    village.change(SIGNUP, signup, **{column: village.now})
    assert village.begin(claims) == []
    assert village.row(DELIVERY, delivery)["reason"] == "request is closed"


def test_a_link_used_after_the_claim_is_not_sent(village: Village) -> None:
    village.publish()
    person = village.person()
    link = village.link_request(person)
    village.delivery(person, "notice", purpose="request", link_request_id=link)
    claims = village.claim(lane=LANE)
    village.change(LINK_REQUEST, link, used_at=village.now)
    assert village.begin(claims) == []


def test_the_first_of_several_objections_is_named(village: Village) -> None:
    person = village.person()
    village.suppress(person, "never")
    village.change(SUBSCRIBER, person, restricted_at=village.now)
    row = {"purpose": "stream", "kind": "lesson", "stream_id": village.stream()}
    assert ruling(village, row | {"subscriber_id": person}) == "restricted"


def test_every_kind_of_a_stream_asks_the_same(village: Village) -> None:
    village.publish()
    person, stranger = village.learner(), village.person("berta@schule.example")
    kinds = ("welcome", "lesson", "evaluation", "newsletter", "lifecycle", "notice")
    wanted = [village.delivery(person, kind) for kind in kinds]
    unwanted = [village.delivery(stranger, kind) for kind in kinds]
    begun = [one.id for lane in LANES for one in village.start(lane=lane)]
    assert sorted(begun) == wanted
    assert {village.row(DELIVERY, row)["reason"] for row in unwanted} == {"not confirmed"}
