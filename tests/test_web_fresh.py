"""What only a link opens that was just mailed: own data, corrections, another address, the end."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import events, privacy, subscribers
from l3mail.addresses import parse_address
from l3mail.models import CONSENT, DELIVERY, EVENT, LINK_REQUEST, SUBSCRIBER, SUPPRESSION
from l3mail.tokens import Purpose
from tests.fakes.inhabitant import Inhabitant, settled
from tests.fakes.newcomer import RULES, Newcomer, settle
from tests.fakes.porch import Form, Porch, form_of, open_porch, title_of
from tests.fakes.village import Village

MORE = """
[tracking]
mode = "consent"
[signup]
fields = ["first_name", "since"]
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
title = "Einrichtung"
[attributes.since]
type = "date"
title = "Dabei seit"
[attributes.secret]
title = "Nur für das Amt"
"""
STALE = "Dieser Link gilt nicht mehr"
GONE = "Keine E-Mails von uns"
PAGES = ("data", "details", "address", "delete")
ACTS = (*PAGES[1:], "copy")
HOSTILE = '"><script>alert(1)</script>{{ 7*7 }}\r\nBcc: x@y.example =?utf-8?q?a?= \u202eolleh'


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path, MORE) as porch:
        yield porch


def fresh(porch: Porch, person: int) -> str:
    """The settings by a link that was just mailed."""
    request = porch.village.link_request(person, purpose="preferences")
    ends = porch.village.now + timedelta(hours=1)
    return f"/preferences/{porch.token(Purpose.PREFERENCES, 0, request, expires_at=ends)}"


def footer(porch: Porch, person: int) -> str:
    """The settings by the link in a mail's footer."""
    return f"/preferences/{porch.token(Purpose.PREFERENCES, porch.village.delivery(person))}"


def ada(porch: Porch, **values: Any) -> int:
    return porch.village.learner(first_name="Ada", **values)


def known(porch: Porch, **values: Any) -> Inhabitant:
    """Somebody with something in every table that may speak of people."""
    settle(porch.village)
    return settled(porch.village, **values)


def kept(porch: Porch, person: int) -> dict[str, Any]:
    return porch.village.row(SUBSCRIBER, person)


# -- who may see it


def test_a_mail_s_own_link_shows_nothing_of_what_is_kept(porch: Porch) -> None:
    """A canary in every place that may hold words; forwarding a mail gives none of them away."""
    one = known(porch, birthday="1980-05-17")
    own, good = footer(porch, one.id), fresh(porch, one.id)
    shown = "".join(porch.client.get(f"{good}/{page}").text for page in PAGES)
    copy = porch.client.post(f"{good}/copy").text
    seen = [canary for canary in one.canaries if canary in shown or canary in copy]
    assert len(seen) > 15
    secrets = {*one.canaries, "17.05", "1980", "Was war neu?"}
    before = porch.dump()
    pages = [own, *(f"{own}/{page}" for page in (*PAGES, "copy"))]
    answers = [porch.client.get(page) for page in pages]
    assert porch.dump() == before
    answers += [porch.client.post(page, data={"action": "fresh"}) for page in pages]
    answers += [porch.client.post(page, data={"email": "x@y.example"}) for page in pages]
    for answer in answers:
        assert [secret for secret in secrets if secret in answer.text] == []
    assert {title_of(answer.text) for answer in answers} <= {
        "Ihre Einstellungen",
        STALE,
        "Diese Seite gibt es nicht",
    }


def test_a_mail_s_own_link_has_a_fresh_one_mailed_and_changes_nothing_else(porch: Porch) -> None:
    person = ada(porch)
    own = footer(porch, person)
    before = kept(porch, person)
    form = next(
        form for form in Form(porch.client.get(own).text).forms if form.get("action") == ["fresh"]
    )
    answer = porch.client.post(own, data=form)
    assert "bekommt sie gleich einen Link zu Ihren Daten" in answer.text
    (request,) = porch.village.rows(LINK_REQUEST)
    assert (request["subscriber_id"], request["purpose"]) == (person, "preferences")
    for page in ACTS:
        sent = {"first_name": "Eve", "email": "eve@y.example", "never": "yes"}
        assert title_of(porch.client.post(f"{own}/{page}", data=sent).text) == STALE
    assert kept(porch, person) == before
    assert "first_name" not in porch.client.get(own).text


def expired(porch: Porch, person: int) -> str:
    link = fresh(porch, person)
    porch.village.clock.advance(timedelta(hours=1))
    return link


def used(porch: Porch, person: int) -> str:
    link = fresh(porch, person)
    porch.village.change(LINK_REQUEST, porch.newest(LINK_REQUEST)["id"], used_at=porch.village.now)
    return link


def wish(porch: Porch, person: int) -> str:
    """The request for another address, read as one for a fresh link."""
    new = parse_address("ada@neu.example")
    porch.village.do(subscribers.ask_new_address, RULES, person, new, porch.village.now)
    ids = {row["purpose"]: row["id"] for row in porch.village.rows(LINK_REQUEST)}
    return f"/preferences/{porch.token(Purpose.PREFERENCES, 0, ids['move'])}"


def offered(porch: Porch, person: int) -> str:
    wish(porch, person)
    return f"/preferences/{porch.token(Purpose.PREFERENCES, 0, porch.newest(LINK_REQUEST)['id'])}"


def turned(porch: Porch, person: int) -> str:
    """A mail's own number in the place of a request's."""
    porch.village.link_request(person)
    return f"/preferences/{porch.token(Purpose.PREFERENCES, porch.village.delivery(person), 1)}"


def other_purpose(porch: Porch, person: int) -> str:
    return f"/preferences/{porch.token(Purpose.ACT, 0, porch.village.link_request(person))}"


WRONG: dict[str, Callable[[Porch, int], str]] = {
    "expired": expired,
    "used": used,
    "a wish for another address": wish,
    "an offer of another address": offered,
    "numbers turned": turned,
    "another purpose": other_purpose,
    "broken": lambda _porch, _person: "/preferences/x.y",
}


@pytest.mark.parametrize("link", WRONG.values(), ids=WRONG)
def test_any_other_link_opens_the_page_with_a_way_on(
    porch: Porch, link: Callable[[Porch, int], str]
) -> None:
    person = ada(porch)
    where = link(porch, person)
    before = porch.dump()
    for page in ("", *(f"/{page}" for page in PAGES)):
        answer = porch.client.get(where + page)
        assert (answer.status_code, title_of(answer.text)) == (404, STALE)
        assert 'action="/link"' in answer.text
    for page in ACTS:
        sent = {"first_name": "Eve", "email": "eve@y.example", "action": "ask"}
        assert title_of(porch.client.post(f"{where}/{page}", data=sent).text) == STALE
    assert porch.dump() == before


def test_a_form_is_about_the_person_of_its_link_alone(porch: Porch) -> None:
    one, two = ada(porch), porch.village.learner("bea@schule.example")
    before = kept(porch, two)
    sent = {"first_name": "Eve", "subscriber_id": str(two), "id": str(two), "number": str(two)}
    porch.client.post(f"{fresh(porch, one)}/details", data=sent)
    assert kept(porch, one)["first_name"] == "Eve"
    assert kept(porch, two) == before


# -- what we hold


def test_the_page_says_in_words_what_the_copy_holds(porch: Porch) -> None:
    one = known(porch)
    fact = {"kind": "interested", "at": porch.village.now, "subscriber_id": one.id}
    porch.village.do(events.append, [fact | {"name": "KanarienvogelInteresse"}])
    link = fresh(porch, one.id)
    page = porch.client.get(f"{link}/data").text
    for told in (
        "AdaKanarienvogelVorname",
        "ada@schule.example",
        "17.05.1980",
        "Einwilligung bestätigt",
        "im Formular auf unserer Seite",
        "KanarienvogelInteresse",
        "Was war neu?",
        "Alles",
        "AdaKanarienvogelKommentar",
        "Sie haben 1 Lerntag eingetragen.",
        "E-Mail geöffnet",
        "Link angeklickt",
        "Sie haben erlaubt",
        "Ja zum Kurs.",
        "Eine E-Mail kam zurück.",
        "AdaKanarienvogelUrkunde",
    ):
        assert told in page, told
    assert "held." not in page
    assert "data." not in page.replace("l3mail-data.", "")
    answer = porch.client.post(f"{link}/copy")
    zone = porch.settings.zone
    assert answer.json() == json.loads(json.dumps(porch.village.do(privacy.copy_of, one.id, zone)))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["cache-control"] == "no-store"
    assert porch.client.get(f"{link}/copy").status_code in {404, 405}


def test_an_open_request_is_shown_in_the_words_of_its_form(porch: Porch) -> None:
    person = ada(porch)
    porch.sign_up(stream=["newsletter"], birthday="7.5.")
    page = porch.client.get(f"{fresh(porch, person)}/data").text
    assert "<dt>Geburtstag</dt><dd>07.05.</dd>" in page


def test_the_lists_are_bounded_and_say_how_many_more_there_are(porch: Porch) -> None:
    person = ada(porch)
    for n in range(23):
        when = porch.village.now + timedelta(minutes=n)
        values: dict[str, Any] = {"first_started_at": when, "started_at": when, "state": "accepted"}
        porch.village.delivery(person, slug=f"kurs/{n:02}", **values)
    page = porch.client.get(f"{fresh(porch, person)}/data").text
    assert page.count("vom Mailserver angenommen") == 20
    assert "kurs/22" in page
    assert "kurs/02" not in page
    assert "Dazu kommen 3 weitere." in page


def test_of_whom_nothing_is_measured_the_page_says_so(porch: Porch) -> None:
    page = porch.client.get(f"{fresh(porch, ada(porch))}/data").text
    assert "Sie haben die Auswertung nicht erlaubt." in page
    assert page.count("Dazu ist nichts gespeichert.") >= 4


def test_what_people_wrote_is_escaped_wherever_it_is_shown(porch: Porch) -> None:
    person = ada(porch, district=HOSTILE, attributes={"secret": HOSTILE})
    fact = {"kind": "interested", "at": porch.village.now, "subscriber_id": person}
    porch.village.do(events.append, [fact | {"name": HOSTILE}])
    link = fresh(porch, person)
    for page in PAGES:
        text = porch.client.get(f"{link}/{page}").text
        assert "<script" not in text
        assert "{{ 7*7 }}" in text or page in {"address", "delete"}


# -- correcting


def test_details_are_shown_and_corrected(porch: Porch) -> None:
    person = ada(porch, district="Gorbitz", attributes={"role": "vhs", "old": "x"})
    link = f"{fresh(porch, person)}/details"
    form = form_of(porch.client.get(link).text)
    assert form["first_name"] == ["Ada"]
    assert form["role"] == ["vhs"]
    assert form.keys() == {
        "action",
        "first_name",
        "last_name",
        "salutation",
        "birthday",
        "district",
        "since",
        "role",
    }
    sent = form | {
        "last_name": " Lovelace ",
        "district": "",
        "birthday": "29.2.",
        "since": "1.9.2020",
    }
    answer = porch.client.post(link, data=sent)
    assert answer.status_code == 200
    assert "Ihre Angaben sind gespeichert." in answer.text
    row = kept(porch, person)
    assert (row["first_name"], row["last_name"], row["district"]) == ("Ada", "Lovelace", None)
    assert (row["birth_year"], row["birth_month"], row["birth_day"]) == (None, 2, 29)
    assert row["attributes"] == {"role": "vhs", "old": "x", "since": "2020-09-01"}
    assert form_of(answer.text)["birthday"] == ["29.02."]
    porch.client.post(link, data=form_of(answer.text) | {"birthday": "", "role": ""})
    row = kept(porch, person)
    assert (row["birth_month"], row["birth_day"]) == (None, None)
    assert row["attributes"] == {"old": "x", "since": "2020-09-01"}


def test_what_forms_take_no_more_is_kept_until_it_is_changed(porch: Porch) -> None:
    person = ada(porch, attributes={"role": "hort"})
    link = f"{fresh(porch, person)}/details"
    form = form_of(porch.client.get(link).text)
    assert form["role"] == ["hort"]
    assert porch.client.post(link, data=form | {"last_name": "Lovelace"}).status_code == 200
    row = kept(porch, person)
    assert (row["last_name"], row["attributes"]) == ("Lovelace", {"role": "hort"})
    assert porch.client.post(link, data=form | {"role": "x"}).status_code == 422


def test_what_is_wrong_is_named_once_for_all_and_at_its_field(porch: Porch) -> None:
    person = ada(porch)
    link = f"{fresh(porch, person)}/details"
    sent = {"first_name": "x" * 201, "birthday": "31.2.", "since": "gestern", "last_name": "Neu"}
    answer = porch.client.post(link, data=sent)
    assert answer.status_code == 422
    for name in ("first_name", "birthday", "since"):
        assert f'href="#{name}"' in answer.text
        assert f'aria-describedby="{name}-wrong' in answer.text
    assert 'role="alert"' in answer.text
    assert "<title>Fehler: " in answer.text
    assert form_of(answer.text)["birthday"] == ["31.2."]
    assert form_of(answer.text)["last_name"] == ["Neu"]
    assert kept(porch, person)["last_name"] is None


@pytest.mark.parametrize("birthday", ["1.1.2999", "1.1.1800", "00.00.", "x", "--13-40", "\x00"])
def test_no_birthday_that_cannot_be(porch: Porch, birthday: str) -> None:
    person = ada(porch)
    answer = porch.client.post(f"{fresh(porch, person)}/details", data={"birthday": birthday})
    assert answer.status_code == (200 if birthday == "\x00" else 422)
    assert kept(porch, person)["birth_month"] is None


def test_what_the_house_keeps_to_itself_cannot_be_written(porch: Porch) -> None:
    person = ada(porch)
    sent = {"secret": "x", "tracking": "yes", "locale": "en", "address": "x@y.example"}
    porch.client.post(f"{fresh(porch, person)}/details", data=sent)
    row = kept(porch, person)
    assert (row["attributes"], row["tracking"], row["locale"]) == ({}, False, None)
    assert row["address"] == "ada@schule.example"


def test_a_hostile_name_is_tamed_before_it_is_kept(porch: Porch) -> None:
    person = ada(porch)
    answer = porch.client.post(f"{fresh(porch, person)}/details", data={"first_name": HOSTILE})
    assert "<script" not in answer.text
    name = kept(porch, person)["first_name"]
    assert all(sign not in name for sign in ("\r", "\n", "\u202e", "=?"))


def test_an_interest_is_forgotten_and_can_be_said_again(porch: Porch) -> None:
    person, bea = ada(porch), porch.village.learner("bea@schule.example")
    facts = [
        {"kind": "interested", "at": porch.village.now, "subscriber_id": who, "name": name}
        for who, name in ((person, "video"), (person, "video"), (person, "ki"), (bea, "video"))
    ]
    porch.village.do(events.append, facts)
    link = f"{fresh(porch, person)}/details"
    page = porch.client.get(link).text
    assert [value for _, name, value in Form(page).buttons if name == "interest"] == ["ki", "video"]
    answer = porch.client.post(link, data={"action": "interest", "interest": "video"})
    assert "Wir haben dieses Interesse vergessen." in answer.text
    left = [(row["subscriber_id"], row["name"]) for row in porch.village.rows(EVENT)]
    assert sorted(left) == sorted([(person, "ki"), (bea, "video")])
    again = porch.client.post(link, data={"action": "interest", "interest": "video"})
    assert "vergessen." not in again.text
    since = porch.village.now - timedelta(hours=1)
    assert porch.village.do(events.append_once, facts[0], since)


# -- another address


def offer_link(porch: Porch) -> str:
    row = max(
        (row for row in porch.village.rows(LINK_REQUEST) if row["purpose"] == "address"),
        key=lambda row: int(row["id"]),
    )
    return f"/address/{porch.token(Purpose.ADDRESS, row['id'], expires_at=row['expires_at'])}"


def test_another_address_is_asked_and_says_yes(porch: Porch) -> None:
    person = ada(porch)
    link = f"{fresh(porch, person)}/address"
    answer = porch.client.post(
        link, data=form_of(porch.client.get(link).text) | {"email": "Ada@neu.example"}
    )
    assert "Wenn Ada@neu.example E-Mails von uns bekommen kann" in answer.text
    assert "Noch nicht bestätigt" in answer.text
    assert kept(porch, person)["address"] == "ada@schule.example"
    offer = offer_link(porch)
    before = porch.dump()
    page = porch.client.get(offer)
    assert title_of(page.text) == "Neue Adresse bestätigen"
    for secret in ("Ada", "schule.example", "neu.example"):
        assert secret not in page.text
    assert porch.dump() == before
    done = porch.client.post(offer, data=form_of(page.text))
    assert title_of(done.text) == "Ihre neue Adresse gilt"
    assert kept(porch, person)["address"] == "Ada@neu.example"
    assert title_of(porch.client.get(link).text) == STALE
    assert title_of(porch.client.get(offer).text) == "Ihre neue Adresse gilt"
    porch.village.clock.advance(timedelta(days=1))
    assert title_of(porch.client.get(offer).text) == STALE


def test_who_asks_is_told_the_same_whatever_the_new_address_is(porch: Porch) -> None:
    porch.village.learner("bea@neu.example")
    barred = porch.village.person("eve@neu.example")
    porch.village.suppress(barred, "complaint")
    link = f"{fresh(porch, ada(porch))}/address"
    told = set()
    for name in ("nobody", "bea", "eve"):
        answer = porch.client.post(link, data={"email": f"{name}@neu.example"})
        told.add((answer.status_code, answer.text.replace(name, "who")))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("email", "word"),
    [
        ("", "Bitte geben Sie Ihre E-Mail-Adresse ein."),
        ("ada@", "nicht vollständig"),
        ("ADA@schule.example", "Das ist schon Ihre Adresse."),
    ],
)
def test_an_address_that_cannot_be_taken_comes_back(porch: Porch, email: str, word: str) -> None:
    answer = porch.client.post(f"{fresh(porch, ada(porch))}/address", data={"email": email})
    assert answer.status_code == 422
    assert word in answer.text
    assert f'value="{email}"' in answer.text
    assert 'aria-invalid="true" autofocus' in answer.text


def test_an_address_that_has_a_registration_of_its_own_is_shown_a_way(porch: Porch) -> None:
    person, bea = ada(porch), porch.village.learner("bea@neu.example")
    porch.client.post(f"{fresh(porch, person)}/address", data={"email": "bea@neu.example"})
    offer = offer_link(porch)
    page = porch.client.get(offer)
    assert title_of(page.text) == "Zu dieser Adresse gibt es schon eine Anmeldung"
    answer = porch.client.post(offer, data=form_of(page.text))
    assert "bekommt sie gleich einen Link" in answer.text
    asked = porch.newest(LINK_REQUEST)
    assert (asked["subscriber_id"], asked["purpose"]) == (bea, "preferences")
    porch.client.post(offer)
    assert kept(porch, person)["address"] == "ada@schule.example"


def test_a_wish_can_be_taken_back_on_the_page(porch: Porch) -> None:
    person = ada(porch)
    link = f"{fresh(porch, person)}/address"
    page = porch.client.post(link, data={"email": "typo@neu.example"}).text
    offer = offer_link(porch)
    (stay,) = (form for form in Form(page).forms if form.get("action") == ["stay"])
    answer = porch.client.post(link, data=stay)
    assert "Es bleibt bei Ihrer bisherigen Adresse." in answer.text
    assert "typo@" not in answer.text
    assert title_of(porch.client.post(offer).text) == STALE
    assert kept(porch, person)["address"] == "ada@schule.example"


@pytest.mark.parametrize("text", ["x", "x.y", "", "1-2.x", "%00"])
def test_a_made_up_link_to_an_address_opens_nothing(porch: Porch, text: str) -> None:
    for answer in (porch.client.get(f"/address/{text}"), porch.client.post(f"/address/{text}")):
        assert answer.status_code == 404


# -- deleting


def test_deleting_says_what_goes_and_what_stays_and_then_does_it(porch: Porch) -> None:
    person = ada(porch)
    evidence = {"subscriber_id": person, "act": "attested", "digest": b"d", "link": b"l"}
    porch.village.insert(CONSENT, **evidence, content={}, salt=b"s", at=porch.village.now)
    own = footer(porch, person)
    link = fresh(porch, person)
    leave = porch.token(Purpose.UNSUBSCRIBE, person, porch.village.stream(), 1)
    before = porch.dump()
    page = porch.client.get(f"{link}/delete").text
    assert "gesperrt bis 31. Dezember 2029" in page
    assert "ada@schule.example" in page
    assert porch.dump() == before
    form = form_of(page)
    assert "never" not in form
    answer = porch.client.post(f"{link}/delete", data=form)
    assert title_of(answer.text) == "Ihre Daten sind gelöscht"
    assert kept(porch, person)["address"] is None
    (act,) = (row for row in porch.village.rows(CONSENT) if row["act"] == "withdrawn")
    assert act["content"]["by"] == "person"
    assert porch.village.rows(SUPPRESSION) == []
    for gone in (own, link, f"{link}/data", f"{link}/delete", f"/unsubscribe/{leave}"):
        assert title_of(porch.client.get(gone).text) == GONE, gone
        if not gone.endswith("/data"):
            assert title_of(porch.client.post(gone).text) == GONE, gone


def test_never_again_is_a_box_of_its_own(porch: Porch) -> None:
    person = ada(porch)
    answer = porch.client.post(f"{fresh(porch, person)}/delete", data={"never": "yes"})
    assert "nie wieder" in answer.text
    (barred,) = porch.village.rows(SUPPRESSION)
    assert (barred["reason"], barred["address_key"]) == ("never", Newcomer(porch.village).key)
    assert "ada" not in str(barred["note"])
    mails = len(porch.village.rows(DELIVERY))
    porch.sign_up()
    assert len(porch.village.rows(DELIVERY)) == mails


def test_of_whom_nothing_was_proven_no_proof_is_promised(porch: Porch) -> None:
    page = porch.client.get(f"{fresh(porch, ada(porch))}/delete").text
    assert "Nachweis" not in page


@pytest.mark.parametrize("tag", ["de", "de-simple", "en"])
def test_every_page_speaks_every_language(porch: Porch, tag: str) -> None:
    link = fresh(porch, known(porch).id)
    for page in PAGES:
        text = porch.client.get(f"{link}/{page}?locale={tag}").text
        assert f'<html lang="{tag}"' in text
        for word in ("data.", "held.", "details.", "address.", "delete."):
            assert f">{word}" not in text, (page, word)
