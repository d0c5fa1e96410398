"""Many people from a file: who is taken, who is refused, and that nobody is mailed unasked."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l3mail import consents, subscribers
from l3mail.addresses import parse_address
from l3mail.database import Database
from l3mail.errors import AddressError
from l3mail.models import (
    CONSENT,
    ENROLLMENT,
    EVENT,
    METADATA,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    SUPPRESSION_REASONS,
)
from l3mail.subscribers import Request, Rules, exports, imports, spreadsheets
from l3mail.subscribers.entries import Vocabulary, columns, read
from l3mail.subscribers.imports import Order, Tally, Way
from tests.fakes.corpora import corpus
from tests.fakes.village import BACKENDS, PEPPER, Village, ground
from tests.test_segments import course as a_course
from tests.test_spreadsheets import ATTRIBUTES, TODAY

ATTEST = Order("attest", "amt", "Ordner 7")
INVITE = Order("invite", "amt")


RULES = Rules(pepper=PEPPER, zone=ZoneInfo("Europe/Berlin"), fallback_locale="de")


@pytest.fixture(autouse=True)
def _prepared(request: pytest.FixtureRequest) -> None:
    if "village" in request.fixturenames:
        prepare(request.getfixturevalue("village"))


def prepare(village: Village) -> None:
    village.stream("newsletter", "newsletter")
    village.stream("kurs", "course")
    for slug in ("notice/confirmation", "notice/already-subscribed"):
        village.publish(slug)


def take(
    village: Village, text: str, order: Order = ATTEST, streams: Sequence[str] = ("newsletter",)
) -> Tally:
    """Import a file as the command does; those rows that can't even be read count as rejected."""
    vocabulary = Vocabulary(ATTRIBUTES, {"newsletter", "kurs"}, TODAY)
    sheet = spreadsheets.read(text.encode(), "people.csv", ("email",))
    found = read(sheet, columns(sheet, {}, vocabulary), streams, vocabulary)
    tally = Tally(rejections=tuple(found.rejections))
    if found.entries:
        tally += village.do(imports.take, RULES, found.entries, order, village.now)
    return tally


def reasons(tally: Tally) -> list[str]:
    return [rejection.reason for rejection in tally.rejections]


def states(village: Village) -> dict[str, str]:
    """Address and stream, and the state of that membership."""
    people = {row["id"]: row["address"] for row in village.rows(SUBSCRIBER)}
    slugs = {village.stream("newsletter"): "newsletter", village.stream("kurs"): "kurs"}
    return {
        f"{people[row['subscriber_id']]} {slugs[row['stream_id']]}": row["state"]
        for row in village.rows(SUBSCRIPTION)
    }


def everything(village: Village) -> dict[str, list[dict[str, Any]]]:
    return {table.name: village.rows(table) for table in METADATA.sorted_tables}


def test_attested_people_are_confirmed_and_nobody_is_mailed(village: Village) -> None:
    tally = take(
        village,
        "email;first_name;district;birthday;streams;size\n"
        "Ada@Bücher.example;Ada;Gorbitz;17.5.1980;kurs;3\nbob@x.example;;;--02-29;;\n",
    )

    assert tally.counts() == {"taken": 2, "people": 2, "joined": 3}
    assert states(village) == {
        "Ada@xn--bcher-kva.example newsletter": "confirmed",
        "Ada@xn--bcher-kva.example kurs": "confirmed",
        "bob@x.example newsletter": "confirmed",
    }
    ada, bob = village.rows(SUBSCRIBER)
    assert (ada["first_name"], ada["district"], ada["attributes"]) == (
        "Ada",
        "Gorbitz",
        {"size": 3},
    )
    assert (ada["birth_year"], ada["birth_month"], ada["birth_day"]) == (1980, 5, 17)
    assert (bob["birth_year"], bob["birth_month"], bob["birth_day"]) == (None, 2, 29)
    assert not bob["tracking"]
    assert village.rows() == []
    assert village.rows(ENROLLMENT) == []


def test_the_evidence_is_that_of_one_attested_by_hand(village: Village) -> None:
    take(village, "email\nada@x.example\neve@x.example\n")
    request = Request(parse_address("bob@x.example"), ("newsletter",), form="import",
                      source="import")  # fmt: skip
    village.database.write(
        lambda connection: subscribers.attest(
            connection, RULES, request, note="Ordner 7", by="amt", now=village.now
        )
    )

    acts = village.rows(CONSENT)
    for act in acts:
        assert len(act["content"].pop("address_key")) == 64
    assert acts[0]["content"] == acts[2]["content"]
    assert {act["act"] for act in acts} == {"attested"}
    facts = [(row["kind"], row["data"]) for row in village.rows(EVENT)]
    assert facts == [facts[0]] * 3
    memberships = village.rows(SUBSCRIPTION)
    alike = ("state", "generation", "source", "confirmed_at", "unsubscribed_at")
    assert len({tuple(row[name] for name in alike) for row in memberships}) == 1
    assert village.do(consents.verify).broken_at is None


def test_invited_people_are_asked_once_and_known_by_nothing_else(village: Village) -> None:
    text = "email,first_name\nada@x.example,Ada\nbob@x.example,Bob\n"

    assert take(village, text, INVITE).counts() == {
        "taken": 2, "people": 2, "invited": 2, "mails": 2,
    }  # fmt: skip
    assert [row["kind"] for row in village.rows()] == ["confirmation"] * 2
    assert {row["first_name"] for row in village.rows(SUBSCRIBER)} == {None}
    assert set(states(village).values()) == {"unconfirmed"}
    before = everything(village)
    assert take(village, text, INVITE).counts() == {"taken": 2, "unchanged": 2}
    assert everything(village) == before


def test_many_invited_leave_the_same_rows_as_each_who_signs_up(village: Village) -> None:
    village.do(consents.declare_wording, "course", "de", "Ich will lernen.", village.now)
    text = "email,first_name,birthday,size,locale\nada@x.example,Ada,--05-17,3,de\n"
    take(village, text, INVITE, ("kurs", "newsletter"))
    request = Request(
        parse_address("bob@x.example"),
        ("kurs", "newsletter"),
        {"first_name": "Ada", "birthday": "--05-17", "attributes": {"size": 3}},
        locale="de",
        source="import",
        form="import",
    )
    village.do(subscribers.sign_up, RULES, request, village.now)

    own = {"id", "subscriber_id", "address", "address_key", "signup_id", "occurrence"}
    own |= {"seq", "salt", "digest", "link"}
    for table, rows in everything(village).items():
        if table in {"subscriber", "subscription", "signup", "delivery", "consent"}:
            told = [{k: v for k, v in row.items() if k not in own} for row in rows]
            for row in told:
                for name in ("signup", "address_key") if row.get("act") else ():
                    row["content"].pop(name)
            half = len(told) // 2
            assert half >= 1
            assert told[:half] == told[half:], table
    assert village.do(consents.verify).broken_at is None


def test_an_invitation_asks_only_for_what_is_missing(village: Village) -> None:
    take(village, "email\nada@x.example\n")

    tally = take(village, "email\nada@x.example\n", INVITE, ("newsletter", "kurs"))

    assert (tally.invited, tally.mails) == (1, 1)
    [signup] = village.rows(SIGNUP)
    assert signup["streams"] == ["kurs"]
    assert take(village, "email\nada@x.example\n", INVITE).unchanged == 1


def test_a_row_without_a_stream_is_recorded_unless_it_is_to_be_attested(village: Village) -> None:
    text = "email,first_name\nada@x.example,Ada\n"

    assert reasons(take(village, text, ATTEST, ())) == ["names no stream to join"]
    assert take(village, text, INVITE, ()).counts() == {"taken": 1, "people": 1}
    assert [row["first_name"] for row in village.rows(SUBSCRIBER)] == ["Ada"]
    assert village.rows() == []
    assert take(village, text, INVITE, ()).counts() == {"taken": 1, "unchanged": 1}


@pytest.mark.parametrize("order", [ATTEST, INVITE], ids=["attest", "invite"])
@pytest.mark.parametrize("reason", SUPPRESSION_REASONS)
def test_a_suppressed_address_is_rejected_and_stays_suppressed(
    village: Village, order: Order, reason: str
) -> None:
    village.suppress(village.learner("ada@x.example"), reason)
    before = everything(village)

    tally = take(village, "email\nADA@x.example\n", order)

    words = reason.replace("_", " ")
    assert reasons(tally) == [f"suppressed on 2026-11-23 ({words})"]
    assert everything(village) == before


@pytest.mark.parametrize("order", [ATTEST, INVITE], ids=["attest", "invite"])
def test_an_unsubscribed_person_needs_a_new_opt_in(village: Village, order: Order) -> None:
    person = village.person("ada@x.example")
    village.subscribe(
        person, village.stream("newsletter"), "unsubscribed", unsubscribed_at=village.now
    )
    before = everything(village)

    tally = take(village, "email\nada@x.example\n", order, ("newsletter", "kurs"))

    assert reasons(tally) == ["unsubscribed on 2026-11-23, needs a new opt-in (newsletter)"]
    assert everything(village) == before


def test_a_restricted_person_is_left_alone(village: Village) -> None:
    village.person("ada@x.example", restricted_at=village.now)

    assert reasons(take(village, "email,first_name\nada@x.example,Ada\n")) == [
        "processing is restricted at the person's request"
    ]


def test_an_open_request_is_confirmed_by_attestation(village: Village) -> None:
    take(village, "email\nada@x.example\n", INVITE)

    assert take(village, "email\nada@x.example\n").joined == 1
    [membership] = village.rows(SUBSCRIPTION)
    assert (membership["state"], membership["generation"]) == ("confirmed", 2)


def test_what_a_person_said_is_filled_in_and_never_overwritten(village: Village) -> None:
    person = village.person(
        "ada@x.example", first_name="Ada", birth_month=5, birth_day=17, attributes={"size": 1}
    )

    tally = take(
        village,
        "email,first_name,last_name,birthday,size,school\n"
        "ada@x.example,Eva,Groß,1990-01-01,2,Am See\n",
    )

    row = village.row(SUBSCRIBER, person)
    assert (row["first_name"], row["last_name"]) == ("Ada", "Groß")
    assert (row["birth_year"], row["birth_month"], row["birth_day"]) == (None, 5, 17)
    assert row["attributes"] == {"size": 1, "school": "Am See"}
    assert tally.people == 0


def test_an_update_overwrites_what_differs_and_nothing_with_nothing(village: Village) -> None:
    person = village.person(
        "ada@x.example",
        first_name="Ada",
        district="Gorbitz",
        birth_month=5,
        birth_day=17,
        attributes={"size": 1, "school": "Am See"},
    )
    village.person("bob@x.example", first_name="Bob", birth_year=1990, birth_month=1, birth_day=2)
    text = (
        "email,first_name,district,birthday,size,school\n"
        "ada@x.example,Eva,,1990-01-01,2,\nbob@x.example,,Prohlis,,,Am Berg\n"
    )

    tally = take(village, text, replace(ATTEST, update=True))

    assert (tally.updated, tally.people) == (2, 0)
    row = village.row(SUBSCRIBER, person)
    assert (row["first_name"], row["district"]) == ("Eva", "Gorbitz")
    assert (row["birth_year"], row["birth_month"], row["birth_day"]) == (1990, 1, 1)
    assert row["attributes"] == {"size": 2, "school": "Am See"}
    bob = village.row(SUBSCRIBER, person + 1)
    assert (bob["first_name"], bob["district"], bob["birth_year"]) == ("Bob", "Prohlis", 1990)
    assert take(village, text, replace(ATTEST, update=True)).unchanged == 2


def test_somebody_whose_sign_up_ran_out_is_met_anew(village: Village) -> None:
    take(village, "email\nada@x.example\n", INVITE)
    village.clock.advance(timedelta(days=8))
    village.do(subscribers.purge, village.now, 100)

    assert take(village, "email,first_name\nada@x.example,Ada\n").joined == 1
    [person] = village.rows(SUBSCRIBER)
    assert (person["address"], person["first_name"]) == ("ada@x.example", "Ada")
    assert person["erased_at"] is None


@pytest.mark.parametrize(
    ("way", "reason"),
    [("bounced", "hard_bounce"), ("complained", "complaint"), ("blocked", "operator")],
)
def test_who_bounced_or_complained_elsewhere_is_suppressed_by_key_alone(
    village: Village, way: Way, reason: str
) -> None:
    order = Order(way, "amt")

    assert take(village, "email,first_name\nada@x.example,Ada\n", order, ()).counts() == {
        "taken": 1, "suppressed": 1,
    }  # fmt: skip
    assert village.rows(SUBSCRIBER) == []
    assert [row["reason"] for row in village.rows(SUPPRESSION)] == [reason]
    before = everything(village)
    assert take(village, "email\nada@x.example\n", order, ()).counts() == {
        "taken": 1, "unchanged": 1,
    }  # fmt: skip
    assert everything(village) == before


def test_a_bounce_does_not_weaken_a_complaint(village: Village) -> None:
    take(village, "email\nada@x.example\n", Order("complained", "amt"), ())

    assert take(village, "email\nada@x.example\n", Order("bounced", "amt"), ()).unchanged == 1
    assert [row["reason"] for row in village.rows(SUPPRESSION)] == ["complaint"]


def test_who_unsubscribed_elsewhere_is_unsubscribed_here(village: Village) -> None:
    take(village, "email\nada@x.example\n", ATTEST, ("newsletter", "kurs"))
    order = Order("unsubscribed", "amt")
    text = "email,first_name\nada@x.example,Ada\nbob@x.example,Bob\n"

    assert take(village, text, order).counts() == {"taken": 2, "people": 1, "left": 2}
    assert states(village) == {
        "ada@x.example newsletter": "unsubscribed",
        "ada@x.example kurs": "confirmed",
        "bob@x.example newsletter": "unsubscribed",
    }
    assert [row["first_name"] for row in village.rows(SUBSCRIBER)] == [None, None]
    before = everything(village)
    assert take(village, text, order).counts() == {"taken": 2, "unchanged": 2}
    assert everything(village) == before
    assert len(reasons(take(village, text))) == 2
    assert take(village, text, order, ()).left == 2
    assert set(states(village).values()) == {"unsubscribed"}


def test_what_is_foreseen_is_what_then_happens(village: Village) -> None:
    take(village, "email\nada@x.example\n")
    village.suppress(village.person("eve@x.example"), "never")
    text = "email,last_name\nada@x.example,Groß\nbob@x.example,\neve@x.example,\n"
    vocabulary = Vocabulary(ATTRIBUTES, {"newsletter", "kurs"}, TODAY)
    sheet = spreadsheets.read(text.encode(), "people.csv")
    for order in (INVITE, ATTEST, Order("unsubscribed", "amt"), Order("bounced", "amt")):
        entries = read(sheet, columns(sheet, {}, vocabulary), ("kurs",), vocabulary).entries
        verdicts = village.do(imports.judge, RULES, entries, order, village.now)
        foreseen = imports.foresee(verdicts, order)
        assert village.do(imports.take, RULES, entries, order, village.now) == foreseen


def test_few_statements_serve_many_rows(village: Village) -> None:
    from sqlalchemy import event

    statements: Counter[str] = Counter()

    @event.listens_for(village.database.engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements[statement.split(maxsplit=1)[0]] += 1

    text = "email,first_name\n" + "".join(f"p{n}@x.example,P\n" for n in range(300))
    assert take(village, text).joined == 300
    assert sum(statements.values()) < 30


def test_many_who_leave_leave_as_each_would_by_hand(village: Village) -> None:
    from sqlalchemy import event

    names = [f"p{n}@x.example" for n in range(60)]
    text = "email\n" + "\n".join(names)
    take(village, text, streams=("newsletter", "kurs"))
    learners = {row["address"]: row["id"] for row in village.rows(SUBSCRIBER)}
    course, structure = a_course(village)
    lessons = []
    for name in (names[0], names[59]):
        journey = village.insert(
            ENROLLMENT, subscriber_id=learners[name], course_id=course, structure_id=structure,
            state="active", anchor_on=TODAY, started_at=village.now,
        )  # fmt: skip
        lessons.append(village.delivery(learners[name], enrollment_id=journey))
        village.signup(learners[name], streams=["kurs"])
    statements: Counter[str] = Counter()

    @event.listens_for(village.database.engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements[statement.split(maxsplit=1)[0]] += 1

    order = Order("unsubscribed", "amt")
    assert take(village, text.rpartition("\n")[0], order, ()).left == 118
    assert sum(statements.values()) < 30
    by_hand = learners[names[59]]
    village.do(subscribers.unsubscribe, by_hand, None, village.now, "import")

    assert {row["state"] for row in village.rows(ENROLLMENT)} == {"cancelled"}
    assert {village.state(lesson) for lesson in lessons} == {"cancelled"}
    assert all(row["refused_at"] for row in village.rows(SIGNUP))
    own = {"id", "subscriber_id", "stream_id", "seq", "salt", "digest", "link"}
    for table in (SUBSCRIPTION, CONSENT, EVENT):
        told: dict[int, list[dict[str, Any]]] = {}
        for row in village.rows(table):
            row["content"] = dict(row.get("content", {}), address_key=None)
            told.setdefault(row["subscriber_id"], []).append(
                {name: value for name, value in row.items() if name not in own}
            )
        assert told[learners[names[0]]] == told[by_hand]
        assert len(told) == 60
    assert village.do(consents.verify).broken_at is None


def _isemail() -> Iterator[tuple[str, str]]:
    for test in ET.parse(corpus("isemail", "tests.xml")).iter("test"):
        yield test.findtext("address") or "", test.findtext("category") or ""


def test_every_case_of_the_isemail_corpus_is_taken_or_rejected_with_a_reason(
    sqlite_village: Village,
) -> None:
    village = sqlite_village
    prepare(village)
    addresses = [address for address, _ in _isemail() if address.strip()]
    rows = [[address] for address in addresses]

    tally = take(village, "".join(spreadsheets.write([["email"], *rows])))

    assert tally.taken + len(tally.rejections) == len(addresses)
    kept = {row["address"] for row in village.rows(SUBSCRIBER)}
    assert kept
    for address in kept:
        assert parse_address(address).address == address


# -- properties


people = st.lists(
    st.tuples(
        st.sampled_from(
            ["ada@x.example", "ADA@x.example", "weiß@x.example", "weiss@x.example", "ö@bücher.de",
             "bob@x.example", "no address", "", "=cmd@x.example", "eve@x.example"]
        ),
        st.sampled_from(["", "newsletter", "kurs", "newsletter;kurs", "nwsletter"]),
        st.sampled_from(["", "Ada", "=1+1", "=?utf-8?q?x?=", "\u202eadA"]),
    ),
    max_size=6,
)  # fmt: skip
orders = st.sampled_from(
    [ATTEST, INVITE, *(Order(way, "amt") for way in imports.WAYS_OUT.values())]
)


@pytest.fixture(params=BACKENDS, scope="module")
def shared_ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("ground")) as database:
        yield database


def mailed(village: Village) -> set[str]:
    ids = {row["subscriber_id"] for row in village.rows()}
    return {row["address"] for row in village.rows(SUBSCRIBER) if row["id"] in ids}


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.tuples(people, orders), min_size=1, max_size=3))
def test_any_files_in_any_order_lift_no_suppression_and_change_nothing_twice(
    shared_ground: Database, files: list[tuple[list[tuple[str, str, str]], Order]]
) -> None:
    village = Village(shared_ground)
    village.empty()
    prepare(village)
    barred = village.learner("eve@x.example")
    village.suppress(barred, "never")
    left = village.person("bob@x.example")
    village.subscribe(
        left, village.stream("newsletter"), "unsubscribed", unsubscribed_at=village.now
    )
    for rows, order in files:
        bars = {row["address_key"]: row["reason"] for row in village.rows(SUPPRESSION)}
        text = "".join(spreadsheets.write([["email", "streams", "first_name"], *map(list, rows)]))
        first = take(village, text, order, ())
        after = everything(village)
        again = take(village, text, order, ())

        assert everything(village) == after
        assert reasons(again) == reasons(first)
        assert again.taken == again.unchanged
        assert bars.keys() <= {row["address_key"] for row in village.rows(SUPPRESSION)}
        refused = {r.row.cells[0] for r in first.rejections}
        assert not mailed(village) & (refused | {"eve@x.example"}) - _asked_before(files)
        assert len(village.rows()) == len(village.rows(SIGNUP))
    assert states(village).get("bob@x.example newsletter") == "unsubscribed"
    assert village.do(consents.verify).broken_at is None


def _asked_before(files: list[tuple[list[tuple[str, str, str]], Order]]) -> set[str]:
    """Who was asked by a file before, or by an earlier row of the same address."""
    return {
        _canonical(address)
        for rows, order in files
        for address, streams, _ in rows
        if order.way == "invite" and streams and address != "eve@x.example"
    }


def _canonical(address: str) -> str:
    try:
        return parse_address(address).address
    except AddressError:
        return address


def test_the_list_goes_out_and_comes_in_again(village: Village) -> None:
    take(
        village,
        "email,first_name,birthday,size,school,streams\n"
        "ada@bücher.example,=Ada,--05-17,3,Am See,kurs\nbob@x.example,,1980-05-17,,,\n",
    )
    rows = village.database.read(lambda c: list(exports.everybody(c, exports.Asked())))
    names = village.database.read(lambda c: exports.attribute_names(c, exports.Asked()))
    header = [*exports.COLUMNS, *sorted(names)]
    text = "".join(
        spreadsheets.write([header, *(exports.as_cells(row, sorted(names)) for row in rows)])
    )

    assert "'=Ada" in text
    assert "'--05-17" in text
    before = everything(village)
    assert take(village, text, ATTEST, ()).counts() == {"taken": 2, "unchanged": 2}
    assert everything(village) == before
    village.empty()
    prepare(village)
    assert take(village, text, ATTEST, ()).counts() == {"taken": 2, "people": 2, "joined": 3}
    again = village.database.read(lambda c: list(exports.everybody(c, exports.Asked())))
    assert [exports.as_cells(row, ["school", "size"]) for row in again] == [
        exports.as_cells(row, ["school", "size"]) for row in rows
    ]
