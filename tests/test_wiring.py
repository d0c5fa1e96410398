"""What the workspace puts into a mail: links, list headers, who writes."""

import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from l3mail.errors import TokenError
from l3mail.models import DELIVERY, SIGNUP
from l3mail.settings import KEY_FILE, Settings, load_settings, make_state
from l3mail.tokens import Purpose
from l3mail.wiring import LINKS, load_tokens, rendered
from l3mail.wiring.mails import common_links
from tests.fakes.village import Village

SETTINGS = """
[workspace]
name = "Bildung in Musterstadt"
[sender]
from = "Bildung, Musterstadt <kurs@stadt.example>"
reply_to = "fragen@stadt.example"
[impressum]
name = "Stadt <Musterstadt>"
privacy_url = "https://stadt.example/datenschutz"
[web]
base_url = "https://kurse.stadt.example"
"""
EVERYTHING = "\n".join(
    f"{name}={{{{ links.{name} }}}}" for name in (*LINKS, "privacy", "home", "recommend")
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
    return settings


@pytest.fixture
def mail(village: Village, settings: Settings) -> Callable[[int], EmailMessage]:
    def parsed(delivery: int) -> EmailMessage:
        content = rendered(settings, village.database, delivery)
        return email.message_from_bytes(content, policy=email.policy.default)

    return parsed


Parsed = Callable[[int], EmailMessage]


def links_in(mail: EmailMessage) -> dict[str, str]:
    body = mail.get_body(("plain",))
    assert body is not None
    return dict(line.split("=", 1) for line in body.get_content().split())


def numbers(settings: Settings, village: Village, purpose: Purpose, url: str) -> tuple[int, ...]:
    token = urlsplit(url).path.rpartition("/")[2]
    return load_tokens(settings).read(purpose, token, village.now).numbers


def test_a_lesson_can_be_left_by_one_post_and_says_which_list_it_is_of(
    village: Village, settings: Settings, mail: Parsed
) -> None:
    village.publish(text=EVERYTHING)
    person = village.learner()
    lesson = mail(village.delivery(person, generation=3))
    links = links_in(lesson)
    assert lesson["List-Unsubscribe"] == f"<{links['unsubscribe']}>"
    assert lesson["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert lesson["List-Id"] == "kurs <kurs.stadt.example>"
    assert lesson["List-Help"] == f"<{links['preferences']}>"
    whose = numbers(settings, village, Purpose.UNSUBSCRIBE, links["unsubscribe"])
    assert whose == (person, village.stream(), 3)
    assert [links[name] for name in ("confirm", "refuse", "course", "done")] == [""] * 4
    assert links["privacy"] == "https://stadt.example/datenschutz"
    assert links["home"] == "https://kurse.stadt.example/subscribe"
    for name in ("unsubscribe", "preferences", "view", "interest", "quiz", "feedback"):
        assert links[name].startswith(f"https://kurse.stadt.example/{name}/")


def test_the_link_to_pass_on_is_everybody_s_and_measures_nobody(
    village: Village, settings: Settings, mail: Parsed
) -> None:
    village.publish(text=EVERYTHING)
    people = [village.learner("ada@schule.example"), village.learner("bob@schule.example")]
    links = [links_in(mail(village.delivery(person)))["recommend"] for person in people]
    shared = "https://kurse.stadt.example/subscribe?stream=kurs&source=empfehlung"
    assert links == [shared, shared]
    quiet = settings.model_copy(
        update={"signup": settings.signup.model_copy(update={"referral": False})}
    )
    assert common_links(settings, stream="kurs")["recommend"] == shared
    assert common_links(quiet, stream="kurs")["recommend"] == ""
    assert common_links(settings)["recommend"] == "", "requests and staff's mails have no stream"


def test_a_confirmation_belongs_to_no_list_and_ends_with_its_request(
    village: Village, settings: Settings, mail: Parsed
) -> None:
    village.publish("notice/confirmation", text=EVERYTHING)
    person = village.person()
    signup = village.signup(person)
    confirmation = mail(village.request(person, signup, slug="notice/confirmation"))
    links = links_in(confirmation)
    assert not [name for name in confirmation.keys() if name.startswith("List-")]  # noqa: SIM118
    assert numbers(settings, village, Purpose.CONFIRM, links["confirm"]) == (signup, 1)
    assert numbers(settings, village, Purpose.REFUSE, links["refuse"]) == (signup, 1)
    assert (links["unsubscribe"], links["preferences"], links["view"]) == ("", "", "")
    assert links["recommend"] == ""
    token = links["confirm"].rpartition("/")[2]
    ends = load_tokens(settings).read(Purpose.CONFIRM, token, village.now).expires_at
    assert ends == village.row(SIGNUP, signup)["expires_at"]


def test_a_confirmation_names_the_streams_by_their_titles_in_the_language_of_the_form(
    village: Village, mail: Parsed
) -> None:
    village.stream("kurs")
    village.publish("notice/confirmation", text="Anmeldung: {{ streams|join(', ') }}")
    village.publish("notice/confirmation", "en", text="Sign-up: {{ streams|join(', ') }}")
    person = village.person()
    signup = village.signup(person, locale="en", streams=["kurs", "weg"])
    confirmation = mail(village.request(person, signup, slug="notice/confirmation"))
    body = confirmation.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == "Sign-up: kurs, weg"


def test_the_greeting_speaks_the_language_of_the_text(village: Village, mail: Parsed) -> None:
    village.publish("kurs/01", "de", text="{{ greeting }}")
    village.publish("kurs/02", "de", text="{{ greeting }}")
    village.publish("kurs/02", "en", text="{{ greeting }}")
    person = village.learner(first_name="Ada", locale="en")
    said = []
    for slug in ("kurs/01", "kurs/02"):
        body = mail(village.delivery(person, slug=slug)).get_body(("plain",))
        assert body is not None
        said.append(body.get_content().strip())
    assert said == ["Guten Tag Ada", "Hello Ada"]


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("uk", "Добрий день, Ada"),
        ("ar-SY", "مرحبًا Ada"),
        ("fa", "Guten Tag Ada"),
    ],
)
def test_a_learner_gets_the_text_of_their_language_or_the_nearest(
    village: Village, mail: Parsed, locale: str, said: str
) -> None:
    for tag in ("de", "uk", "ar"):
        village.publish("kurs/01", tag, text="{{ greeting }}")
    person = village.learner(first_name="Ada", locale=locale)
    body = mail(village.delivery(person)).get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == said


def test_a_fresh_link_is_for_its_request_alone(
    village: Village, settings: Settings, mail: Parsed
) -> None:
    village.publish("notice/fresh-link", text=EVERYTHING)
    person = village.person()
    asked = village.link_request(person)
    notice = village.delivery(
        person, "notice", purpose="request", link_request_id=asked, slug="notice/fresh-link"
    )
    links = links_in(mail(notice))
    assert numbers(settings, village, Purpose.PREFERENCES, links["preferences"]) == (0, asked)


def test_an_address_that_was_left_is_mailed_no_link_into_anybody_s_settings(
    village: Village, settings: Settings, mail: Parsed
) -> None:
    village.publish("notice/address-changed", text=EVERYTHING)
    asked = village.link_request(village.person(), purpose="farewell")
    about = {"purpose": "request", "slug": "notice/address-changed"}
    links = links_in(mail(village.delivery(1, "notice", link_request_id=asked, **about)))
    assert [name for name in LINKS if links[name]] == []


def test_who_writes_and_who_answers_come_from_the_settings(village: Village, mail: Parsed) -> None:
    village.publish(
        text="{{ impressum.name }}|{{ house.name }}|{{ base_url }}",
        html="<p>{{ impressum.name }}</p>",
    )
    lesson = mail(village.delivery(village.learner()))
    assert lesson["From"] == '"Bildung, Musterstadt" <kurs@stadt.example>'
    assert lesson["Reply-To"] == "fragen@stadt.example"
    text, html = lesson.get_body(("plain",)), lesson.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == (
        "Stadt <Musterstadt>|Bildung in Musterstadt|https://kurse.stadt.example"
    )
    assert "Stadt &lt;Musterstadt&gt;" in html.get_content()


def test_a_text_may_name_its_own_sender_and_where_answers_go(
    village: Village, mail: Parsed
) -> None:
    village.publish(**{"from": "Kurs <andere@stadt.example>", "reply_to": "dort@stadt.example"})
    lesson = mail(village.delivery(village.learner()))
    assert lesson["From"] == "Kurs <andere@stadt.example>"
    assert lesson["Reply-To"] == "dort@stadt.example"


def test_the_links_of_a_mail_stay_the_same_however_often_it_is_rendered(
    village: Village, settings: Settings
) -> None:
    village.publish(text=EVERYTHING)
    delivery = village.delivery(village.learner())
    first = rendered(settings, village.database, delivery)
    village.change(DELIVERY, delivery, attempts=3)
    assert rendered(settings, village.database, delivery) == first


def test_a_retired_key_is_believed_in_unsubscribe_links_alone(
    village: Village, settings: Settings
) -> None:
    old = load_tokens(settings)
    file = settings.state_dir / KEY_FILE
    file.write_text(f"{'n' * 64}\nretired:{file.read_text()}")
    new = load_tokens(settings)
    unsubscribe = old.make(Purpose.UNSUBSCRIBE, 1, 2, 3)
    assert new.read(Purpose.UNSUBSCRIBE, unsubscribe, village.now).numbers == (1, 2, 3)
    with pytest.raises(TokenError, match="broken"):
        new.read(Purpose.VIEW, old.make(Purpose.VIEW, 1), village.now)
    assert new.make(Purpose.UNSUBSCRIBE, 1, 2, 3) != unsubscribe
