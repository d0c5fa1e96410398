"""What a mail measures: by the mode, the person's consent and what the mail is for."""

import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path

import pytest

from l3mail import publishing
from l3mail.content import compile_all
from l3mail.models import DELIVERY, SUBSCRIBER
from l3mail.outbox import Outcome
from l3mail.rendering import LONGEST_LINE
from l3mail.settings import FILE, load_settings, make_state
from l3mail.starter import lay_out
from l3mail.tokens import Purpose, Tokens
from l3mail.wiring import (
    compile_sources,
    composer,
    load_tokens,
    make_sender,
    read_content,
    rendered,
)
from tests.fakes.village import Village

SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[web]
base_url = "https://kurse.stadt.example"
[streams.newsletter]
title = "Neues"
[streams.lifecycle]
title = "Grüße"
kind = "lifecycle"
[tracking]
mode = "{mode}"
[attributes.ziel]
type = "text"
"""
BASE = "https://kurse.stadt.example"
URL = "https://medien.example/a?b=1&c=2"
PARTS = {
    "text": "lesen: {{ trail }}{{ hrefs[1] }}\n",
    "html": '<body><a href="{{ trail }}{{ hrefs[1] }}">lesen</a>'
    '{% if pixel %}<img src="{{ pixel }}">{% endif %}</body>',
}


class Press:
    """A village that prints mails by one mode."""

    def __init__(self, village: Village, folder: Path, mode: str) -> None:
        (folder / FILE).write_text(SETTINGS.format(mode=mode), encoding="utf-8")
        self.settings = load_settings(folder, {})
        make_state(self.settings.state_dir)
        self.village = village
        village.measures = mode == "consent"
        self.message = village.publish(**PARTS)
        village.number_links(self.message, URL)

    @property
    def tokens(self) -> Tokens:
        return load_tokens(self.settings)

    def sent(self, purpose: str, *, agrees: bool, address: str = "ada@schule.example") -> int:
        """A mail whose intent is written."""
        village = self.village
        if purpose == "staff":
            delivery = village.report()
        elif purpose == "request":
            person = village.person(address, tracking=agrees)
            delivery = village.request(person, village.signup(person))
        else:
            delivery = village.delivery(village.learner(address, tracking=agrees))
        started = village.start(lane=village.row(DELIVERY, delivery)["lane"])
        assert [one.id for one in started] == [delivery]
        assert started[0].tracked == village.row(DELIVERY, delivery)["tracked"]
        return delivery

    def parts(self, delivery: int) -> tuple[str, str]:
        """The text and the HTML of a mail."""
        raw = rendered(self.settings, self.village.database, delivery)
        mail: EmailMessage = email.message_from_bytes(raw, policy=email.policy.default)
        bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
        text, html = (body.get_content() for body in bodies if body is not None)
        return text, html

    def measures(self, delivery: int) -> tuple[str, str]:
        """Whom the links and whom the pixel measure: nobody, everybody or the person."""
        text, html = self.parts(delivery)
        (href,) = re.findall(r'href="([^"]*)"', html)
        assert text.strip() == "lesen: " + href.replace("&amp;", "&")
        src = "".join(re.findall(r'src="([^"]*)"', html))
        return self._whose(href, delivery), self._whose(src, delivery)

    def _whose(self, url: str, delivery: int) -> str:
        if not url.startswith(BASE):
            assert url in {"", URL.replace("&", "&amp;")}
            return "nobody"
        route, token = url.removeprefix(BASE).strip("/").split("/")[:2]
        assert url in {f"{BASE}/c/{token}/1", f"{BASE}/o/{token}"}
        whose = {(delivery,): "the person", (0, self.message): "everybody"}
        read = token.removesuffix(".gif") if route == "o" else token
        return whose[self.tokens.read(Purpose.TRACK, read, self.village.now).numbers]


NOTHING = ("nobody", "nobody")
COUNTED = ("everybody", "everybody")
TABLE = [
    ("off", "stream", True, NOTHING),
    ("off", "stream", False, NOTHING),
    ("aggregate", "stream", True, COUNTED),
    ("aggregate", "stream", False, COUNTED),
    ("consent", "stream", True, ("the person", "the person")),
    ("consent", "stream", False, ("everybody", "nobody")),
    *(
        (mode, purpose, agrees, NOTHING)
        for mode in ("off", "aggregate", "consent")
        for purpose, agrees in (("request", True), ("request", False), ("staff", False))
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_mail_measures_whom_it_may(
    village: Village, tmp_path: Path, row: tuple[str, str, bool, tuple[str, str]]
) -> None:
    mode, purpose, agrees, measured = row
    press = Press(village, tmp_path, mode)
    delivery = press.sent(purpose, agrees=agrees)
    assert press.measures(delivery) == measured
    assert village.row(DELIVERY, delivery)["tracked"] == (measured[0] == "the person")


@pytest.fixture
def press(village: Village, tmp_path: Path) -> Press:
    return Press(village, tmp_path, "consent")


def test_who_did_not_agree_has_the_same_links_as_everybody_else(press: Press) -> None:
    first, second = (
        press.sent("stream", agrees=False, address=f"{name}@schule.example") for name in "ab"
    )
    assert press.parts(first) == press.parts(second)


def test_who_agreed_has_links_of_their_own(press: Press) -> None:
    first, second = (
        press.sent("stream", agrees=True, address=f"{name}@schule.example") for name in "ab"
    )
    assert press.parts(first) != press.parts(second)


def test_a_withdrawal_between_two_attempts_counts(press: Press) -> None:
    village = press.village
    delivery = village.delivery(village.learner(tracking=True))
    (started,) = village.start()
    assert press.measures(delivery) == ("the person", "the person")
    person = started.subscriber_id
    assert person is not None
    village.record(started, Outcome.DEFERRED, code=451)
    village.change(SUBSCRIBER, person, tracking=False)
    village.change(DELIVERY, delivery, next_attempt_at=village.now)
    (again,) = village.begin(village.claim_retries())
    assert (again.tracked, press.measures(delivery)) == (False, ("everybody", "nobody"))


def test_a_consent_between_two_attempts_counts_too(press: Press) -> None:
    village = press.village
    person = village.learner()
    delivery = village.delivery(person)
    (started,) = village.start()
    village.record(started, Outcome.DEFERRED, code=451)
    village.change(SUBSCRIBER, person, tracking=True)
    village.change(DELIVERY, delivery, next_attempt_at=village.now)
    village.begin(village.claim_retries())
    assert press.measures(delivery) == ("the person", "the person")


def test_a_withdrawal_after_sending_does_not_rewrite_what_was_sent(press: Press) -> None:
    delivery = press.sent("stream", agrees=True)
    before = rendered(press.settings, press.village.database, delivery)
    person = press.village.row(DELIVERY, delivery)["subscriber_id"]
    press.village.change(SUBSCRIBER, person, tracking=False)
    assert rendered(press.settings, press.village.database, delivery) == before


@pytest.mark.parametrize("mode", ["off", "aggregate", "consent"])
def test_the_sender_measures_by_the_mode_of_the_workspace(
    sqlite_village: Village, tmp_path: Path, mode: str
) -> None:
    press = Press(sqlite_village, tmp_path, mode)
    sender = make_sender(press.settings, sqlite_village.database, sqlite_village.clock)
    assert sender._terms.measures == (mode == "consent")


# The starter's own texts, with links in them


@pytest.fixture
def starter(sqlite_village: Village, tmp_path: Path) -> Press:
    lay_out(tmp_path)
    return Press(sqlite_village, tmp_path, "consent")


def test_mails_of_two_who_did_not_agree_differ_in_the_links_of_their_acts_alone(
    starter: Press,
) -> None:
    village = starter.village
    library = read_content(starter.settings)
    source = library.find("30-tage-lernen/24-volkshochschule", "de")
    (text,) = compile_sources(starter.settings, library, [source])
    assert text.compiled is not None
    message = village.publish("x/1", **{**text.compiled, "locale": "de"})
    village.number_links(message, *(url for url, _ in text.links))
    parts = {}
    for agrees in (False, True):
        two = []
        for name in "ab":
            person = village.learner(f"{name}{agrees}@schule.example", tracking=agrees)
            two.append(village.delivery(person, slug="x/1"))
        village.start()
        parts[agrees] = [starter.parts(one) for one in two]
    own = re.compile(rf"{BASE}/(\w+)/[\w.~-]+(?:/\d+)?")
    first, second = (" ".join(part) for part in parts[False])
    assert [own.sub("", part) for part in (first, second)] == [own.sub("", first)] * 2
    pairs = zip(own.finditer(first), own.finditer(second), strict=True)
    differing = {one[1] for one, other in pairs if one[0] != other[0]}
    assert {"unsubscribe", "preferences", "view"} <= differing
    assert not differing & {"c", "o"}
    assert "/c/" in first
    assert "/o/" not in first
    mine, theirs = (set(re.findall(r"/[co]/[\w.~-]+", " ".join(part))) for part in parts[True])
    assert mine
    assert not mine & theirs


def test_measured_mails_of_the_starter_stay_small_and_their_lines_short(starter: Press) -> None:
    lesson = starter.settings.folder / "lessons/digital-kommunizieren/02-social-media.md"
    linked = "".join(
        f"\nSiehe [Seite {n}](https://seite-{n}.example/weg/{n}).\n" for n in range(30)
    )
    lesson.write_text(lesson.read_text(encoding="utf-8") + linked, encoding="utf-8")
    village = starter.village
    person = village.learner(tracking=True)
    compose = composer(starter.settings, village.database)
    seen = 0
    for text in compile_all(read_content(starter.settings)):
        assert text.compiled is not None, text.findings
        if text.compiled["stream"] is None:
            assert "pixel" not in text.compiled["html"]
            continue
        message = village.publish(f"x/{seen}", **{**text.compiled, "locale": "de"})
        village.number_links(message, *(url for url, _ in text.links))
        delivery = village.delivery(person, slug=f"x/{seen}")
        (started,) = village.start()
        assert started.id == delivery
        published = village.do(publishing.load, [message])[message]
        raw = compose(started, published)
        assert max(len(line) for line in raw.split(b"\r\n")) <= LONGEST_LINE
        html = email.message_from_bytes(raw, policy=email.policy.default).get_body(("html",))
        assert html is not None
        page = html.get_content()
        assert len(page.encode()) < 102 * 1024
        assert page.count("/o/") == 1
        assert len(set(re.findall(r"/c/[^\"]+", page))) == len(text.links)
        assert page.index("/o/") > page.rindex("<a ")
        seen += 1
    assert seen > 10
