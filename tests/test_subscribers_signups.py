"""Signing up: what is kept, what is mailed, and what a stranger can learn or do by it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from l3mail import consents, streams, subscribers
from l3mail.addresses import parse_address
from l3mail.errors import SubscriberError
from l3mail.models import (
    CONSENT,
    DELIVERY,
    LINK_REQUEST,
    METADATA,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    WORDING,
)
from l3mail.outbox import Outcome
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.village import Village

CONFIRMATION, ALREADY = "notice/confirmation", "notice/already-subscribed"
CANARY = "Kanarienvogel"
FORM: dict[str, Any] = {
    "first_name": f"{CANARY}1",
    "last_name": f"{CANARY}2",
    "salutation": f"Hallo {CANARY}3",
    "district": f"{CANARY}4",
    "birthday": "1980-02-29",
    "attributes": {"role": f"{CANARY}5", "years": 7, "child": True},
    "tracking": True,
}


@pytest.fixture
def ada(village: Village) -> Newcomer:
    settle(village)
    return Newcomer(village)


@pytest.fixture
def quiet_ada(sqlite_village: Village) -> Newcomer:
    """On SQLite alone, where the database is not the subject."""
    settle(sqlite_village)
    return Newcomer(sqlite_village)


def subscriber(ada: Newcomer) -> dict[str, Any]:
    return ada.village.row(SUBSCRIBER, ada.person)


# -- values


def test_values_reach_nobody_before_the_address_confirms(ada: Newcomer) -> None:
    ada.sign_up(values=FORM, locale="en", source="flyer")
    for table in METADATA.sorted_tables:
        if table is not SIGNUP:
            assert CANARY not in str(ada.village.rows(table)), table.name
    bare = subscriber(ada)
    known = {name for name, value in bare.items() if value not in (None, False, {})}
    assert known == {"id", "address", "address_key", "created_at"}
    assert ada.village.rows(SUBSCRIPTION)[0]["source"] is None


def test_the_confirmation_mail_carries_no_text_of_the_form(ada: Newcomer) -> None:
    ada.sign_up(values=FORM, source=CANARY)
    (mail,) = ada.village.rows(DELIVERY)
    assert mail["details"] == {}
    (started,) = ada.village.start(lane=0)
    assert CANARY not in str(started)
    assert started.asked["streams"] == ["Der Kurs"]


def test_confirming_writes_what_the_form_said_and_empties_the_sign_up(ada: Newcomer) -> None:
    ada.sign_up(values=FORM, locale="de-SIMPLE", source="flyer")
    ada.read_mail()
    ada.confirm()
    person = subscriber(ada)
    assert person["first_name"] == f"{CANARY}1"
    assert person["last_name"] == f"{CANARY}2"
    assert person["salutation"] == f"Hallo {CANARY}3"
    assert person["district"] == f"{CANARY}4"
    assert (person["birth_year"], person["birth_month"], person["birth_day"]) == (1980, 2, 29)
    assert person["attributes"] == {"role": f"{CANARY}5", "years": 7, "child": True}
    assert (person["locale"], person["tracking"]) == ("de-simple", True)
    assert ada.village.rows(SUBSCRIPTION)[0]["source"] == "flyer"
    assert ada.village.rows(SIGNUP)[0]["signup_values"] == {}


def test_a_later_sign_up_fills_gaps_and_overwrites_nothing(ada: Newcomer) -> None:
    ada.sign_up(values={"first_name": "Ada", "attributes": {"years": 7}}, locale="en")
    ada.read_mail()
    ada.confirm()
    ada.village.clock.advance(A_DAY)
    later = {"first_name": "Esel", "last_name": "Lovelace", "attributes": {"years": 8, "role": "x"}}
    ada.sign_up("newsletter", values=later, locale="de")
    ada.read_mail()
    ada.confirm()
    person = subscriber(ada)
    assert (person["first_name"], person["last_name"]) == ("Ada", "Lovelace")
    assert person["attributes"] == {"years": 7, "role": "x"}
    assert person["locale"] == "en"


@pytest.mark.parametrize("ticked_in_the_form", [True, False])
@pytest.mark.parametrize("ticked_on_the_page", [True, False])
def test_only_both_boxes_together_are_consent_to_tracking(
    ada: Newcomer, ticked_in_the_form: bool, ticked_on_the_page: bool
) -> None:
    ada.sign_up(values={"tracking": True} if ticked_in_the_form else {})
    ada.read_mail()
    ada.confirm(tracking=ticked_on_the_page)
    both = ticked_in_the_form and ticked_on_the_page
    assert subscriber(ada)["tracking"] is both
    assert ("tracking_granted" in ada.acts()) is both


@pytest.mark.parametrize("stranger_first", [True, False])
def test_what_only_one_of_two_merged_forms_said_reaches_nobody(
    ada: Newcomer, stranger_first: bool
) -> None:
    own = {"first_name": "Ada", "district": "Nord", "attributes": {"role": "vhs", "years": 7}}
    strange = {
        "first_name": "Ada",
        "last_name": "Esel",
        "salutation": "Na du",
        "birthday": "1980-02-29",
        "tracking": True,
        "attributes": {"role": "vhs", "years": 99},
    }
    forms = [strange, own] if stranger_first else [own, strange]
    for values in forms:
        ada.sign_up(values=values)
    ada.read_mail()
    ada.confirm()
    person = subscriber(ada)
    assert (person["first_name"], person["last_name"], person["salutation"]) == ("Ada", None, None)
    assert (person["birth_day"], person["district"], person["tracking"]) == (None, None, False)
    assert person["attributes"] == {"role": "vhs"}


HOSTILE = {
    "bidi": ("Ada\u202etxt.exe", "Adatxt.exe"),
    "line break": ("Ada\r\nBcc: evil@x.de", "Ada Bcc: evil@x.de"),
    "null": ("A\x00da", "Ada"),
    "encoded word": ("=?utf-8?q?x=0D=0ABcc:_evil=40x.de?=", "?utf-8?q?x=0D=0ABcc:_evil=40x.de?="),
    "encoded word in disguise": ("==\u200b?utf-8?q?x?=", "?utf-8?q?x?="),
    "zero width only": ("\u200b\u200c", None),
    "surrogate": ("A\ud800da", "Ada"),
    "spaces": ("   ", None),
    "no text": (["Ada"], None),
    "endless": ("A" * 10_000, "A" * 200),
    "template": ("{{ 7*7 }}", "{{ 7*7 }}"),
}


@pytest.mark.parametrize(("typed", "kept"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_tamed(ada: Newcomer, typed: Any, kept: str | None) -> None:
    ada.sign_up(values={"first_name": typed, "last_name": "Lovelace"}, source=str(CANARY))
    ada.read_mail()
    ada.confirm()
    assert subscriber(ada)["first_name"] == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"role": "vhs\x00\n schule"}, {"role": "vhs schule"}),
        ({"DROP TABLE": "x", "_": 1, "": 2, "a" * 61: 3}, {}),
        ({"n": float("nan"), "m": float("inf"), "k": 10**400}, {}),
        ({"nested": {"a": [1]}, "list": [1]}, {}),
        (
            {"on": "2026-01-01", "yes": False, "n": 1.5},
            {"on": "2026-01-01", "yes": False, "n": 1.5},
        ),
        ("no mapping", {}),
    ],
)
def test_hostile_attributes_are_left_out(ada: Newcomer, typed: Any, kept: dict[str, Any]) -> None:
    ada.sign_up(values={"attributes": typed})
    ada.read_mail()
    ada.confirm()
    assert subscriber(ada)["attributes"] == kept


@pytest.mark.parametrize("birthday", ["1981-02-29", "0000-01-01", "29.2.1980", "--13-01", "x" * 99])
def test_a_birthday_that_is_no_date_is_refused(quiet_ada: Newcomer, birthday: str) -> None:
    with pytest.raises(SubscriberError, match=r"^birthday \".*\" is no date; write 1980-05-17"):
        quiet_ada.sign_up(values={"birthday": birthday})
    assert quiet_ada.id is None


def test_a_birthday_needs_no_year(quiet_ada: Newcomer) -> None:
    quiet_ada.sign_up(values={"birthday": "--02-29"})
    quiet_ada.read_mail()
    quiet_ada.confirm()
    shown = quiet_ada.village.do(subscribers.show, quiet_ada.person)
    assert shown is not None
    assert shown["birthday"] == "--02-29"


@pytest.mark.parametrize(
    ("slugs", "fault"),
    [
        (("kruse",), r'^"kruse" is no stream; did you mean "kurs"\?$'),
        (("?",), r'^"\?" is no stream; known are newsletter, kurs$'),
        (("kurs", 'x"\n'), r'^"x\\"\\n" is no stream'),
    ],
)
def test_an_unknown_stream_is_refused_for_all(
    quiet_ada: Newcomer, slugs: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(SubscriberError, match=fault):
        quiet_ada.sign_up(*slugs)
    assert quiet_ada.id is None


def test_no_stream_at_all_is_refused(quiet_ada: Newcomer) -> None:
    request = subscribers.Request(parse_address(quiet_ada.address), ())
    with pytest.raises(SubscriberError, match="no stream is named"):
        quiet_ada.village.do(subscribers.sign_up, RULES, request, quiet_ada.village.now)


@pytest.mark.parametrize("locale", ["de_DE\n", "x" * 40, "", "../../etc", "12"])
def test_a_language_that_is_none_is_left_out(quiet_ada: Newcomer, locale: str) -> None:
    quiet_ada.sign_up(locale=locale)
    quiet_ada.read_mail()
    quiet_ada.confirm()
    assert subscriber(quiet_ada)["locale"] is None


def test_one_address_in_two_spellings_is_one_person(quiet_ada: Newcomer) -> None:
    quiet_ada.sign_up()
    Newcomer(quiet_ada.village, "ADA@Schule.Example").sign_up("newsletter")
    assert len(quiet_ada.village.rows(SUBSCRIBER)) == 1
    assert subscriber(quiet_ada)["address"] == "ada@schule.example"


# -- merging and limits


def test_a_later_request_merges_into_the_open_one_and_the_link_stays_good(ada: Newcomer) -> None:
    ada.sign_up(values={"first_name": "Ada"}, source="flyer")
    ada.read_mail()
    link = ada.link()
    ada.village.clock.advance(timedelta(hours=1))
    ada.sign_up("newsletter", values={"first_name": "Ada", "last_name": "Lovelace"})
    assert ada.link() == link
    (signup,) = ada.village.rows(SIGNUP)
    assert signup["streams"] == ["kurs", "newsletter"]
    assert signup["source"] == "flyer"
    confirmed = ada.confirm("kurs", "newsletter", link=link)
    assert confirmed is not None
    assert {stream.slug for stream in confirmed.streams} == {"kurs", "newsletter"}
    assert (subscriber(ada)["first_name"], subscriber(ada)["last_name"]) == ("Ada", None)


def test_mails_keep_their_limits_a_day_and_a_month(ada: Newcomer) -> None:
    sent = []
    for day in range(34):
        for _ in range(3):
            ada.sign_up()
        if ada.read_mail():
            sent.append(day)
        ada.village.clock.advance(A_DAY)
    assert sent == [0, 1, 2, 29, 30, 31]
    assert len(ada.village.rows(SUBSCRIBER)) == 1


def test_a_request_not_mailed_again_does_not_live_longer(ada: Newcomer) -> None:
    ada.sign_up()
    ada.read_mail()
    first = ada.village.rows(SIGNUP)[0]["expires_at"]
    ada.village.clock.advance(timedelta(hours=2))
    ada.sign_up()
    assert ada.village.rows(SIGNUP)[0]["expires_at"] == first
    ada.village.clock.advance(A_DAY)
    ada.sign_up()
    assert ada.village.rows(SIGNUP)[0]["expires_at"] == ada.village.now + timedelta(days=7)


def test_the_limits_outlive_a_purge(ada: Newcomer) -> None:
    """Else a stranger who waits a week could have an address mailed for ever."""
    sent = []
    for day in range(40):
        ada.sign_up()
        sent += [day for _ in ada.read_mail()]
        ada.village.clock.advance(timedelta(days=1 if day % 8 else 8))
        ada.village.do(subscribers.purge, ada.village.now, 100)
    moments = [mail["first_started_at"] for mail in ada.village.rows(DELIVERY)]
    assert len(sent) > 5
    for first in moments:
        within = [one for one in moments if first <= one < first + timedelta(days=30)]
        assert len(within) <= 3
    assert len(ada.village.rows(SUBSCRIBER)) == 1


def test_a_second_stream_on_the_same_day_is_asked_for_a_day_later(ada: Newcomer) -> None:
    ada.sign_up()
    ada.read_mail()
    ada.confirm()
    ada.read_mail()
    ada.sign_up("newsletter")

    def plan() -> int:
        return ada.village.do(subscribers.plan_confirmations, RULES, ada.village.now)

    assert (ada.read_mail(), plan()) == ([], 0)
    ada.village.clock.advance(A_DAY)
    assert (plan(), plan()) == (1, 0)
    assert ada.read_mail() == [CONFIRMATION]
    assert plan() == 0


@pytest.mark.parametrize("state", ["known", "barred", "expired"])
def test_nothing_is_planned_late_that_was_not_to_be_asked(ada: Newcomer, state: str) -> None:
    ada.join()
    ada.sign_up("newsletter")
    ada.village.database.write(lambda one: one.execute(DELIVERY.delete()))
    if state == "known":
        ada.confirm("newsletter")
        ada.sign_up("newsletter")
        ada.village.database.write(lambda one: one.execute(DELIVERY.delete()))
    elif state == "barred":
        ada.suppress("never")
    else:
        ada.village.clock.advance(timedelta(days=8))
    assert ada.village.do(subscribers.plan_confirmations, RULES, ada.village.now) == 0


def test_who_asks_for_old_and_new_is_asked_for_the_new_alone(ada: Newcomer) -> None:
    ada.join("newsletter")
    ada.sign_up("newsletter", "kurs")
    assert ada.read_mail() == [CONFIRMATION]
    state = ada.village.do(subscribers.look_up_signup, *ada.link(), ada.village.now)
    assert state is not None
    assert [stream.slug for stream in state.streams] == ["kurs"]
    assert ada.village.rows(SIGNUP)[-1]["streams"] == ["kurs"]


def test_what_was_confirmed_drops_out_of_a_request_that_asks_for_more(ada: Newcomer) -> None:
    ada.join("newsletter")
    ada.sign_up("newsletter")
    assert ada.read_mail() == [ALREADY]
    ada.village.clock.advance(A_DAY)
    ada.sign_up("kurs")
    assert ada.read_mail() == [CONFIRMATION]
    assert ada.village.rows(SIGNUP)[-1]["streams"] == ["kurs"]


def test_the_note_to_somebody_known_has_nothing_to_confirm_and_keeps_no_values(
    ada: Newcomer,
) -> None:
    ada.join("newsletter")
    ada.sign_up("newsletter", values=FORM)
    assert ada.read_mail() == [ALREADY]
    before = subscriber(ada)
    told = ada.confirm("newsletter")
    assert told is not None
    assert not told.changed
    assert subscriber(ada) == before
    assert CANARY not in str(ada.village.rows(SIGNUP))


def test_a_strangers_tick_for_tracking_does_not_survive_the_persons_own_form(
    ada: Newcomer,
) -> None:
    ada.sign_up(values={"tracking": True})
    ada.read_mail()
    asked = ada.village.do(subscribers.look_up_signup, *ada.link(), ada.village.now)
    assert asked is not None
    assert asked.tracking
    ada.sign_up(values={"tracking": False})
    asked = ada.village.do(subscribers.look_up_signup, *ada.link(), ada.village.now)
    assert asked is not None
    assert not asked.tracking
    ada.confirm()
    assert subscriber(ada)["tracking"] is False
    assert "tracking_granted" not in ada.acts()


# -- evidence


def test_the_evidence_says_what_was_asked_and_which_words_were_read(ada: Newcomer) -> None:
    ada.sign_up("kurs", "newsletter", values=FORM, locale="de-simple", source="flyer", form="api")
    told = ada.evidence("requested")
    assert told.pop("signup") == ada.link()[0]
    wordings = told.pop("wordings")
    assert told == {
        "streams": ["kurs", "newsletter"],
        "tracking": True,
        "wordings_named": False,
        "form": "api",
        "source": "flyer",
        "locale": "de-simple",
        "address_key": ada.key.hex(),
    }
    rows = {row["name"]: row for row in ada.village.rows(WORDING)}
    assert [one["name"] for one in wordings] == ["course", "newsletter", "tracking"]
    for one in wordings:
        row = rows[one["name"]]
        assert one == {name: row[name] for name in ("id", "name", "locale", "hash")}
    assert ada.village.rows(SIGNUP)[0]["wording_id"] == rows["course"]["id"]
    assert CANARY not in str(ada.village.rows(CONSENT))


def test_a_wording_changed_since_leaves_the_old_proof_as_it_was(ada: Newcomer) -> None:
    ada.sign_up("newsletter")
    before = ada.evidence("requested")["wordings"]
    ada.village.do(
        consents.declare_wording, "newsletter", "de", "Ja, anders gesagt.", ada.village.now
    )
    ada.read_mail()
    ada.confirm("newsletter")
    assert ada.evidence("confirmed")["wordings"] == before
    Newcomer(ada.village, "bea@schule.example").sign_up("newsletter")
    assert ada.evidence("requested")["wordings"] != before


def test_the_wording_that_stood_on_the_page_counts_even_if_it_changed_meanwhile(
    ada: Newcomer,
) -> None:
    shown = ada.village.database.read(lambda one: consents.current_wordings(one, "de", "de"))
    later = ada.village.now + timedelta(minutes=1)
    ada.village.do(consents.declare_wording, "course", "de", "Ja, neu.", later)
    ada.sign_up(wordings=(shown["course"].id, 4711))
    assert ada.evidence("requested")["wordings"] == [shown["course"].evidence()]


def test_asking_the_same_again_adds_no_act(ada: Newcomer) -> None:
    for _ in range(3):
        ada.sign_up()
    assert ada.acts() == ["requested"]
    ada.sign_up("newsletter")
    assert ada.acts() == ["requested", "requested"]


# -- who asks learns nothing


class Counted:
    """The statements sent to a database, without their values."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.statements: list[str] = []

    def _note(self, _1: Any, _2: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement.split("(", maxsplit=1)[0][:40])

    def __enter__(self) -> list[str]:
        event.listen(self.engine, "before_cursor_execute", self._note)
        return self.statements

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._note)


@pytest.mark.parametrize(
    "state", ["confirmed", "unsubscribed", "complaint", "hard_bounce", "erased"]
)
def test_a_sign_up_does_the_same_work_for_the_known_and_the_unknown(
    ada: Newcomer, state: str
) -> None:
    ada.join()
    if state == "unsubscribed":
        ada.unsubscribe()
    elif state == "erased":
        ada.erase()
    elif state != "confirmed":
        ada.suppress(state)

    def work(newcomer: Newcomer) -> tuple[list[str], dict[str, int]]:
        tables = (SIGNUP, CONSENT)
        before = {table.name: len(newcomer.village.rows(table)) for table in tables}
        with Counted(newcomer.village.database.engine) as statements:
            newcomer.sign_up("kurs", "newsletter", values=FORM)
        new = {table.name: len(newcomer.village.rows(table)) for table in tables}
        return list(statements), {name: new[name] - before[name] for name in new}

    stranger = Newcomer(ada.village, "bea@schule.example")
    assert work(ada) == work(stranger)
    # And again, now that a request is open for both.
    assert work(ada) == work(stranger)


@pytest.mark.parametrize("state", ["confirmed", "unconfirmed", "complaint", "over the limit"])
def test_asking_for_a_link_does_the_same_work_for_the_known_and_the_unknown(
    ada: Newcomer, state: str
) -> None:
    if state == "unconfirmed":
        ada.sign_up()
    else:
        ada.join()
    if state == "complaint":
        ada.suppress(state)

    def work(address: str) -> list[str]:
        with Counted(ada.village.database.engine) as statements:
            ada.village.do(subscribers.request_link, RULES, parse_address(address), ada.village.now)
        return list(statements)

    for _ in range(5 if state == "over the limit" else 1):
        assert work(ada.address) == work("bea@schule.example")
    assert len(ada.village.rows(SUBSCRIBER)) == 1
    assert len(ada.village.rows(LINK_REQUEST)) <= 3


def test_a_sign_up_writes_in_the_language_of_the_form(ada: Newcomer) -> None:
    ada.village.publish(CONFIRMATION, "en", subject="Please confirm")
    ada.sign_up(locale="en-GB")
    (started,) = ada.village.start(lane=0)
    assert started.message_id is not None
    query = select(SIGNUP.c.locale)
    assert ada.village.ask(query)[0].locale == "en-GB"
    assert subscriber(ada)["locale"] is None
    ada.village.record(started, Outcome.ACCEPTED, code=250)


def test_streams_are_named_by_their_title_not_by_a_mail(quiet_ada: Newcomer) -> None:
    quiet_ada.village.do(
        streams.declare, "kurs", "course", "Der umbenannte Kurs", quiet_ada.village.now
    )
    quiet_ada.sign_up()
    (started,) = quiet_ada.village.start(lane=0)
    assert started.asked["streams"] == ["Der umbenannte Kurs"]


def test_a_clock_that_ran_ahead_keeps_nobody_from_being_asked(ada: Newcomer) -> None:
    today = ada.village.now
    ada.village.clock.set(today + timedelta(days=400))
    ada.sign_up()
    assert len(ada.read_mail()) == 1
    ada.village.clock.set(today)
    ada.sign_up("newsletter")
    ada.village.clock.advance(A_DAY)
    ada.village.database.write(
        lambda connection: subscribers.plan_confirmations(connection, RULES, ada.village.now)
    )
    ada.sign_up("newsletter")
    assert len(ada.read_mail()) == 1
