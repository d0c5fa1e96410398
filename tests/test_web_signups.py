"""Signing up over HTTP: the form, the extra step, the ceilings, and the twin for programs."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from l3mail import consents
from l3mail.models import DELIVERY, SIGNUP, SUBSCRIBER
from l3mail.tokens import Purpose
from tests.fakes.midst import FORM, knocking
from tests.fakes.porch import Form, Porch, form_of, open_porch, title_of
from tests.fakes.village import Village

SENT = "Bitte sehen Sie in Ihr Postfach"


@pytest.fixture
def porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


@pytest.fixture
def sqlite_porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path) as porch:
        yield porch


def test_who_signs_up_is_mailed_and_nothing_more(porch: Porch) -> None:
    answer = porch.sign_up(first_name="Ada")
    assert answer.status_code == 200
    assert title_of(answer.text) == SENT
    (signup,) = porch.village.rows(SIGNUP)
    assert signup["streams"] == ["kurs"]
    assert signup["signup_values"]["said"] == {"first_name": "Ada"}
    assert signup["locale"] == "de"
    (mail,) = porch.village.rows(DELIVERY)
    assert (mail["kind"], mail["slug"]) == ("confirmation", "notice/confirmation")
    (person,) = porch.village.rows(SUBSCRIBER)
    assert person["first_name"] is None


def test_known_and_unknown_read_the_same_byte_for_byte(sqlite_porch: Porch) -> None:
    porch, village = sqlite_porch, sqlite_porch.village
    village.subscribe(village.person("known@schule.example"), village.stream())
    gone = village.person("gone@schule.example")
    village.subscribe(gone, village.stream(), "unsubscribed")
    village.suppress(village.person("never@schule.example"), "never")
    names = ("known", "unknown", "gone", "never", "known")
    answers = [porch.sign_up(f"{name}@schule.example") for name in names]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted(answer.headers.items())) for answer in answers}) == 1
    said = [
        porch.client.post(
            "/api/subscriptions", json={"email": f"{name}@schule.example", "stream": "kurs"}
        )
        for name in names
    ]
    assert {(answer.status_code, answer.content) for answer in said} == {(202, said[0].content)}
    links = [porch.client.post("/link", data={"email": f"{n}@schule.example"}) for n in names]
    assert {(answer.status_code, answer.content) for answer in links} == {(200, links[0].content)}


def test_a_form_without_our_token_is_taken(porch: Porch) -> None:
    """`form html` prints one that stands on other people's pages."""
    data = {"email": "ada@schule.example", "stream": "kurs", "source": "rathaus"}
    assert title_of(porch.client.post("/subscribe", data=data).text) == SENT
    assert porch.newest(SIGNUP)["source"] == "rathaus"


def test_several_streams_are_each_an_own_unticked_box(sqlite_porch: Porch) -> None:
    page = sqlite_porch.client.get("/subscribe").text
    assert page.count('type="checkbox"') == 2
    assert "checked" not in page
    assert "stream" not in form_of(page)


def test_one_stream_needs_no_box_but_says_what_is_agreed_to(sqlite_porch: Porch) -> None:
    page = sqlite_porch.client.get("/subscribe?stream=kurs").text
    assert form_of(page)["stream"] == ["kurs"]
    assert "checkbox" not in page
    assert "Digital kommunizieren" in page


def test_the_wording_in_force_stands_beside_its_box(sqlite_porch: Porch) -> None:
    declare = consents.declare_wording
    village = sqlite_porch.village
    village.do(declare, "course", "de", "Ich willige ein: Kurs.", village.now)
    village.do(declare, "course", "en", "I consent: course.", village.now)
    village.do(declare, "newsletter", "de", "Ich willige ein: <b>Brief</b>.", village.now)
    page = sqlite_porch.client.get("/subscribe").text
    assert "Ich willige ein: Kurs." in page
    assert "Ich willige ein: &lt;b&gt;Brief&lt;/b&gt;." in page
    assert "I consent: course." in sqlite_porch.client.get("/subscribe?locale=en").text


def test_tracking_is_asked_for_only_where_it_may_be(
    sqlite_village: Village, tmp_path: Path
) -> None:
    for mode, boxes in (("off", 2), ("aggregate", 2), ("consent", 3)):
        with open_porch(sqlite_village, tmp_path, f'[tracking]\nmode = "{mode}"\n') as porch:
            page = porch.client.get("/subscribe").text
            assert page.count('type="checkbox"') == boxes
            assert "checked" not in page
            porch.sign_up(f"{mode}@schule.example", tracking="yes")
            values = porch.newest(SIGNUP)["signup_values"]["said"]
            assert values.get("tracking", False) is (mode == "consent")


def test_fields_are_those_configured_and_labelled(sqlite_village: Village, tmp_path: Path) -> None:
    more = """
    [signup]
    fields = ["salutation", "birthday", "district", "role", "head"]
    [attributes.role]
    type = "choice"
    choices = ["schule", "vhs"]
    title = "Einrichtung"
    [attributes.head]
    type = "bool"
    """
    with open_porch(sqlite_village, tmp_path, more) as porch:
        page = porch.client.get("/subscribe").text
        for name in ("email", "salutation", "birthday", "district", "role", "head"):
            assert f'<label for="{name}"' in page
        assert 'name="first_name"' not in page
        assert 'autocomplete="bday"' in page
        assert 'autocomplete="email"' in page
        assert "Einrichtung" in page
        porch.sign_up(birthday="17.05.", role="vhs", head="ja")
        assert porch.newest(SIGNUP)["signup_values"]["said"] == {
            "birthday": "--05-17",
            "attributes": {"role": "vhs", "head": True},
        }


def test_faults_come_back_with_everything_typed_and_a_summary(sqlite_porch: Porch) -> None:
    answer = sqlite_porch.sign_up("ada@", first_name='<Ada "x">', stream=[])
    assert answer.status_code == 422
    assert sqlite_porch.signups() == 0
    page = Form(answer.text)
    for link in [link for link in page.links if link.startswith("#")]:
        assert link[1:] in page.ids, link
    assert "#email" in page.links
    assert "#stream-newsletter" in page.links
    assert 'value="ada@"' in answer.text
    assert "&lt;Ada &#34;x&#34;&gt;" in answer.text
    assert 'aria-invalid="true" aria-describedby="email-wrong' in answer.text
    assert answer.text.index("<title>Fehler") > 0


def test_a_field_that_must_be_mended_is_shown_even_if_it_is_not_usually(
    sqlite_porch: Porch,
) -> None:
    answer = sqlite_porch.sign_up(birthday="gestern")
    assert answer.status_code == 422
    assert 'id="birthday"' in answer.text


def test_the_summary_names_the_fields_in_the_order_of_the_form(
    sqlite_village: Village, tmp_path: Path
) -> None:
    more = '[signup]\nfields = ["birthday", "since"]\n[attributes.since]\ntype = "date"\n'
    with open_porch(sqlite_village, tmp_path, more + 'title = "Dabei seit"\n') as porch:
        wrong = {"birthday": "gestern", "since": "bald", "locale": "en"}
        answer = porch.sign_up("ada@", stream=[], **wrong)
        summary = answer.text.partition('role="alert"')[2].partition("</div>")[0]
    links = Form(summary).links
    assert links == ["#email", "#birthday", "#since", "#stream-newsletter"]
    assert ">Birthday</span>: " in summary
    assert '<span lang="de">Dabei seit</span>: ' in summary
    assert '<label for="since" lang="de">Dabei seit</label>' in answer.text


def test_too_fast_brings_the_filled_form_back_with_one_step_more(porch: Porch) -> None:
    form = form_of(porch.client.get("/subscribe?source=plakat").text)
    filled = {**form, "email": "ada@schule.example", "first_name": "Ada", "stream": ["kurs"]}
    answer = porch.client.post("/subscribe", data=filled)
    assert answer.status_code == 428
    assert porch.signups() == 0
    again = form_of(answer.text)
    assert again["email"] == ["ada@schule.example"]
    assert again["first_name"] == ["Ada"]
    assert again["stream"] == ["kurs"]
    assert again["source"] == ["plakat"]
    assert title_of(porch.client.post("/subscribe", data=again).text) == SENT
    assert porch.newest(SIGNUP)["source"] == "plakat"


def test_a_filled_trap_asks_for_the_step_and_loses_nothing(sqlite_porch: Porch) -> None:
    answer = sqlite_porch.sign_up(website="http://spam.example")
    assert answer.status_code == 428
    assert sqlite_porch.client.post("/subscribe", data=form_of(answer.text)).status_code == 200
    assert sqlite_porch.signups() == 1


def test_the_step_is_good_for_one_address_and_one_hour(sqlite_porch: Porch) -> None:
    form = form_of(sqlite_porch.sign_up(website="x").text)
    other = form | {"email": ["bob@schule.example"]}
    assert sqlite_porch.client.post("/subscribe", data=other).status_code == 200
    hasty = form_of(sqlite_porch.client.get("/subscribe").text) | {"step": form["step"]}
    hasty |= {"email": ["carl@schule.example"], "stream": ["kurs"]}
    assert sqlite_porch.client.post("/subscribe", data=hasty).status_code == 428
    sqlite_porch.village.clock.advance(timedelta(hours=2))
    late = form_of(sqlite_porch.client.get("/subscribe").text) | {"step": form["step"]}
    late |= {"email": form["email"], "stream": ["kurs"]}
    assert sqlite_porch.client.post("/subscribe", data=late).status_code == 428


def test_a_token_of_another_purpose_or_made_up_asks_for_the_step(sqlite_porch: Porch) -> None:
    for token in (sqlite_porch.token(Purpose.CONFIRM, 0, 1), "made-up", "\x00", "é" * 500):
        assert sqlite_porch.sign_up(token=token).status_code == 428
    assert sqlite_porch.signups() == 0


def test_over_the_ceiling_the_step_is_asked_for_and_far_over_it_the_door_closes(
    sqlite_village: Village, tmp_path: Path
) -> None:
    more = "[signup]\nper_network = 2\n"
    with open_porch(sqlite_village, tmp_path, more) as porch:
        answers = [porch.sign_up(f"p{n}@schule.example") for n in range(21)]
        assert [answer.status_code for answer in answers[:4]] == [200, 200, 428, 428]
        assert answers[-1].status_code == 429
        assert answers[-1].headers["retry-after"]
        assert title_of(answers[-1].text) == "Zu viele Anmeldungen auf einmal"
        assert porch.signups() == 2


def test_a_trusted_proxy_says_which_network_counts(sqlite_village: Village, tmp_path: Path) -> None:
    more = "[signup]\nper_network = 1\n"
    with open_porch(sqlite_village, tmp_path, more) as porch:
        data = {"email": "ada@schule.example", "stream": "kurs"}
        codes = [
            porch.client.post(
                "/subscribe", data=data, headers={"X-Forwarded-For": f"192.0.{n}.1"}
            ).status_code
            for n in range(2)
        ]
        assert codes == [200, 428]  # nobody vouched for the header


def test_a_thousand_posts_mail_an_address_once(sqlite_porch: Porch) -> None:
    body = urlencode({"email": "victim@schule.example", "stream": "kurs"}).encode()
    with knocking(sqlite_porch) as knock:
        codes = [knock("POST", "/subscribe", body, FORM).status for _ in range(1_000)]
    assert set(codes) == {200, 428, 429}
    assert len(sqlite_porch.village.rows(DELIVERY)) == 1


# The twin for programs


def test_json_follows_the_same_rules(porch: Porch) -> None:
    answer = porch.client.post(
        "/api/subscriptions",
        json={
            "email": "ada@schule.example",
            "stream": ["kurs", "newsletter"],
            "first_name": "Ada",
            "locale": "en",
        },
    )
    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"
    signup = porch.newest(SIGNUP)
    assert sorted(signup["streams"]) == ["kurs", "newsletter"]
    assert signup["locale"] == "en"


def test_json_names_what_is_wrong_in_the_language_asked_for(sqlite_porch: Porch) -> None:
    answer = sqlite_porch.client.post(
        "/api/subscriptions", json={"email": "x"}, headers={"Accept-Language": "en"}
    )
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"email", "stream"}
    assert "Please" in answer.json()["errors"]["stream"]


def test_json_over_the_ceiling_says_which_step_to_send_along(
    sqlite_village: Village, tmp_path: Path
) -> None:
    with open_porch(sqlite_village, tmp_path, "[signup]\nper_network = 1\n") as porch:
        first, second = (
            {"email": f"{name}@schule.example", "stream": "kurs"} for name in ("ada", "bob")
        )
        assert porch.client.post("/api/subscriptions", json=first).status_code == 202
        asked = porch.client.post("/api/subscriptions", json=second)
        assert asked.status_code == 428
        again = second | {"step": asked.json()["step"]}
        assert porch.client.post("/api/subscriptions", json=again).status_code == 202
        codes = [porch.client.post("/api/subscriptions", json=second) for _ in range(12)]
        assert codes[-1].status_code == 429
        assert codes[-1].headers["retry-after"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"email": 1e999}',
        b'{"email": "\\ud800@x.de", "stream": "kurs"}',
        b'{"email": {"a": 1}, "stream": {"b": []}}',
        b'{"email": [[]], "attributes": [1]}',
        b'{"email": "a@schule.example", "stream": [null, "kurs\\u0000"]}',
        json.dumps({"email": "a@schule.example", "stream": ["kurs"], "first_name": "x" * 9999}),
        b'{"n": ' + b"9" * 9000 + b"}",
    ],
    ids=range(14),
)
def test_odd_json_is_refused_and_no_fault_of_ours(sqlite_porch: Porch, body: Any) -> None:
    answer = sqlite_porch.client.post("/api/subscriptions", content=body)
    assert answer.status_code in {400, 422}
    assert answer.json()["status"]
    assert sqlite_porch.signups() == 0


LONG = (
    "Ich willige ein, dass die Stelle nach Art. 6 Abs. 1 Buchst. a mir den Newsletter schickt."
    " Die Einwilligung ist freiwillig. Ich kann sie jederzeit mit einem Klick auf den Abmeldelink"
    " in jeder E-Mail widerrufen; was bis dahin geschehen ist, bleibt rechtmäßig."
)


def test_a_long_wording_shows_its_first_sentence_and_all_of_it_without_script(
    porch: Porch,
) -> None:
    village = porch.village
    village.do(consents.declare_wording, "newsletter", "de", LONG, village.now)
    for link in ("/subscribe", "/subscribe?stream=newsletter"):
        page = porch.client.get(link).text
        first, _, rest = page.partition("<details")
        assert LONG.partition(" Die Einwilligung")[0] in first
        assert "freiwillig. Ich kann" not in first
        details = rest.partition("</details>")[0]
        assert LONG in details
        assert 'href="https://stadt.example/privacy"' in details


def test_a_short_wording_hides_nothing(porch: Porch) -> None:
    assert "<details" not in porch.client.get("/subscribe").text


def test_choices_have_names_of_their_own_or_a_capital(village: Village, tmp_path: Path) -> None:
    choices = '[signup]\nfields = ["role"]\n[attributes.role]\ntype = "choice"\n'
    choices += 'choices = ["vhs", "ämter"]\n'
    with open_porch(village, tmp_path, choices) as porch:
        german = porch.client.get("/subscribe").text
        english = porch.client.get("/subscribe?locale=en").text
    assert '<option value="vhs">Volkshochschule</option>' in german
    assert '<option value="ämter">Ämter</option>' in german
    assert '<option value="vhs">Adult education centre (vhs)</option>' in english


def test_a_title_says_its_language_where_the_page_speaks_another(porch: Porch) -> None:
    title = "Digital kommunizieren</strong>"
    assert f'<strong lang="de">{title}' in porch.client.get("/subscribe?locale=en").text
    for tag in ("de", "de-simple"):
        assert f"<strong>{title}" in porch.client.get(f"/subscribe?locale={tag}").text


def test_the_extra_step_has_one_heading_and_one_button(porch: Porch) -> None:
    form = form_of(porch.client.get("/subscribe").text)
    data = {**form, "email": "ada@schule.example", "stream": ["kurs"]}
    answer = porch.client.post("/subscribe", data=data)
    assert answer.status_code == 428
    assert answer.text.count("Bitte noch ein Klick") == 2  # title and heading
    assert len(Form(answer.text).buttons) == 1
    again = {**form_of(answer.text), "email": "ada@schule.example"}
    assert title_of(porch.client.post("/subscribe", data=again).text) == SENT


def test_nothing_promises_a_mail_for_today(porch: Porch) -> None:
    said = [porch.sign_up().text for _ in range(2)]
    assert said[0] == said[1]
    assert "höchstens eine solche E-Mail pro Tag" in said[0]
    assert "frühestens morgen" in said[0]
    fresh = porch.client.post("/link", data={"email": "ada@schule.example"}).text
    assert "eine Stunde" not in fresh
    assert "unterwegs" not in said[0] + fresh
