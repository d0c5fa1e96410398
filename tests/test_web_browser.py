"""The pages in a real browser: axe finds nothing, no script is needed, a keyboard is enough."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from l3mail import certificates, courses, subscribers, web
from l3mail.addresses import parse_address
from l3mail.courses import Outline
from l3mail.models import (
    CAMPAIGN_MESSAGE,
    ENROLLMENT,
    EVENT,
    LINK_REQUEST,
    MESSAGE,
    SIGNUP,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.tokens import Purpose
from tests.fakes.chromium import CHROMIUM, browser, faults_by_day_and_night, faults_by_night
from tests.fakes.inhabitant import settled
from tests.fakes.newcomer import RULES
from tests.fakes.porch import TOKENS, declare_streams, open_settings, served
from tests.fakes.questions import FEEDBACK, QUIZ, SEVERAL, ask
from tests.fakes.village import Village

MORE = """
[tracking]
mode = "consent"
[signup]
fields = ["first_name", "birthday", "role"]
[attributes.ziel]
title = "Mein Lernziel"
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
title = "Einrichtung"
"""
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM} (Debian's package chromium)"
    ),
]


@pytest.fixture
def base(sqlite_village: Village, tmp_path: Path) -> Iterator[str]:
    declare_streams(sqlite_village)
    lessons = [(f"kurs/0{n}", "lesson") for n in range(1, 7)]
    outline = Outline(
        slug="kurs",
        title="Digital kommunizieren",
        cadence={"weekday": "mon", "at": "10:00"},
        lessons=[*lessons, ("kurs/evaluation", "evaluation")],
        rules={"complete_after": 20},
        asks=["ziel"],
    )
    sqlite_village.do(courses.define, outline, sqlite_village.stream("kurs"), sqlite_village.now)
    with served(sqlite_village, open_settings(tmp_path, MORE)) as base:
        yield base


def links(village: Village) -> dict[str, str]:
    """Every page there is, to somebody in the middle of a course."""
    person = village.learner()
    enrollment = village.do(courses.enroll, "kurs", person, village.now, open_zone())
    message = village.publish(subject="Lektion 1")
    compiled = village.row(MESSAGE, message)["compiled"] | {"interests": ["video"]}
    village.change(MESSAGE, message, compiled=compiled)
    ask(village, message, QUIZ, SEVERAL, FEEDBACK)
    now = village.now
    delivery = village.delivery(
        person,
        enrollment_id=enrollment,
        message_id=message,
        state="accepted",
        started_at=now,
        first_started_at=now,
        ended_at=now,
    )
    signup = village.signup(village.person("bob@schule.example"), streams=["kurs", "newsletter"])
    hour = now + timedelta(hours=1)
    make = TOKENS.make
    return {
        "subscribe": "/subscribe",
        "subscribe one": "/subscribe?stream=kurs",
        "subscribe simple": "/subscribe?locale=de-simple",
        "confirm": "/confirm/" + make(Purpose.CONFIRM, signup, 1, expires_at=hour),
        "refuse": "/refuse/" + make(Purpose.REFUSE, signup, 1, expires_at=hour),
        "unsubscribe": "/unsubscribe/" + make(Purpose.UNSUBSCRIBE, person, village.stream(), 1),
        "preferences": "/preferences/" + make(Purpose.PREFERENCES, delivery),
        "preferences fresh": "/preferences/"
        + make(Purpose.PREFERENCES, 0, village.link_request(person)),
        "done": "/done/" + make(Purpose.ACT, delivery),
        "together": "/together/kurs",
        "interest": "/interest/" + make(Purpose.ACT, delivery) + "?of=video",
        "quiz": "/quiz/" + make(Purpose.ACT, delivery) + "?of=q1&pick=b",
        "quiz of several": "/quiz/" + make(Purpose.ACT, delivery) + "?of=q2",
        "feedback": "/feedback/" + make(Purpose.ACT, delivery) + "?of=nutzen",
        "course": "/course/" + make(Purpose.ACT, delivery),
        "certificate": "/certificate/" + make(Purpose.ACT, delivery),
        "verify nothing": "/verify/x",
        "view": "/view/" + make(Purpose.VIEW, delivery),
        "stale": "/confirm/x",
        "link": "/link",
        "shared": "/shared",
        "archive": "/archive",
        "preview": "/preview",
        "missing": "/nothing",
    }


def behind_a_fresh_link(village: Village) -> dict[str, str]:
    """The pages of somebody of whom everything is known, and of another address of theirs."""
    now = village.now
    person = settled(village, "eva@schule.example", "Eva").id
    village.clock.set(now)  # a day passed
    village.learner("kim@schule.example")
    lea = village.learner("lea@schule.example")
    make = TOKENS.make
    fresh = "/preferences/" + make(Purpose.PREFERENCES, 0, village.link_request(person))

    def offer(who: int, address: str) -> str:
        parsed = parse_address(address)
        village.do(subscribers.ask_new_address, RULES, who, parsed, village.now)
        row = max(village.rows(LINK_REQUEST), key=lambda row: int(row["id"]))
        return "/address/" + make(Purpose.ADDRESS, row["id"])

    return {
        **{name: f"{fresh}/{name}" for name in ("data", "details", "address", "delete")},
        "offer taken": offer(lea, "kim@schule.example"),
        "offer": offer(person, "eva@neu.example"),
    }


def open_zone() -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo("Europe/Berlin")


SEEN_ELSEWHERE = {
    "/approve/{token:path}": "test_web_approving.py",
    "/release/{token:path}": "test_web_releasing.py",
}
NO_PAGES = {
    "/",
    "/assets/{name}",
    "/robots.txt",
    "/healthz",
    "/metrics",
    "/media/{digest}/{name}",
}
"""Addresses that answer with no page of their own."""


@pytest.mark.parametrize("locale", ["de", "de-simple", "en"])
def test_axe_finds_nothing_on_any_page(sqlite_village: Village, base: str, locale: str) -> None:
    found: dict[str, list[str]] = {}
    # What a page looks like is the same in every language, what it says is not.
    looked = faults_by_day_and_night if locale == "de" else faults_by_night
    with browser(base, locale=locale) as page:
        pages = behind_a_fresh_link(sqlite_village) | links(sqlite_village)
        for person in sqlite_village.rows(SUBSCRIBER):
            if person["address"] != "eva@neu.example":  # of whom nothing else is known
                sqlite_village.change(SUBSCRIBER, person["id"], locale=locale)

        def look(name: str) -> None:
            found[name] = looked(page)
            if name not in {"view", "preview"}:  # a mail's language is its text's
                assert page.get_attribute("html", "lang") == LANGUAGES[locale], name

        for name, link in pages.items():
            page.goto(link.replace("locale=de-simple", f"locale={locale}"))
            look(name)
        saying_too_much(page, pages, look)
        correcting_and_going(page, pages, look)
        for acts in (answering(pages), acting(pages)):
            for name, link, button in acts:
                page.goto(link)
                press(page, button)
                look(f"{name}, sent")
            if "verify" not in found:
                certifying(page, sqlite_village, pages, look)
        signing_up(page, sqlite_village, look)
        page.goto(links_of_a_leaver(sqlite_village))
        press(page, "button.big")
        look("unsubscribed")
    assert {name: faults for name, faults in found.items() if faults} == {}


LANGUAGES = {"de": "de", "de-simple": "de-simple", "en": "en"}


def signing_up(page: Any, village: Village, look: Callable[[str], None]) -> None:
    """From the empty form to the confirmed sign-up, and every page on the way."""
    page.goto("/subscribe")
    page.fill("#email", "ada@")
    press(page, "main button")
    look("errors")
    page.fill("#email", "carl@schule.example")
    page.check("#stream-kurs")
    press(page, "main button")
    look("step")
    press(page, "main button >> nth=0")
    look("sent")
    page.goto(confirmation(village))
    press(page, "main button")
    look("confirmed")
    page.goto(confirmation(village))
    look("confirmed before")
    page.goto("/link")
    page.fill("input[name=email]", "ada@")
    press(page, "main button")
    look("link, errors")
    page.fill("input[name=email]", "ada@schule.example")
    press(page, "main button")
    look("link, sent")


def test_every_page_is_among_those_that_axe_sees(sqlite_village: Village, base: str) -> None:
    assert base
    modules = [import_module(f"l3mail.web.{one.name}") for one in iter_modules(web.__path__)]
    routes = {
        route.path
        for module in modules
        for route in getattr(getattr(module, "router", None), "routes", ())
        if "GET" in route.methods
    }
    pages = behind_a_fresh_link(sqlite_village) | links(sqlite_village)
    seen = {f"/{link.split('?')[0].split('/')[1]}" for link in pages.values()}
    unseen = {route for route in routes if f"/{route.split('/')[1]}" not in seen}
    assert len(routes) > len(NO_PAGES)
    assert unseen - NO_PAGES - SEEN_ELSEWHERE.keys() == set()


def test_axe_finds_nothing_around_an_issue_in_the_archive(
    sqlite_village: Village, base: str
) -> None:
    village = sqlite_village
    html = '<html lang="{0}"><head><title>x</title></head><body><p>Los geht es.</p></body></html>'
    said = {"on": "2026-12-03", "heading": "Berichtigt am 3. Dezember 2026:", "text": "17 Uhr."}
    campaign = village.campaign()
    issue = "newsletter/2026-12"
    for locale in ("de", "ar"):
        parts: dict[str, Any] = {"subject": "Ausgabe", "html": html.format(locale)}
        sent = village.publish(issue, locale, **parts)
        row = {"campaign_id": campaign, "locale": locale, "message_id": sent}
        village.insert(CAMPAIGN_MESSAGE, **row)
        village.publish(issue, locale, **parts, corrections=[said])  # type: ignore[arg-type]
    values = {"campaign_id": campaign, "slug": issue, "state": "accepted"}
    village.delivery(village.person(), "newsletter", **values)
    # Where a page runs no script at all, axe can't either.
    with browser(base, bypass_csp=True) as page:
        for path in ("/archive", f"/archive/{issue}", f"/archive/{issue}?locale=ar"):
            page.goto(path)
            assert "Ausgabe" in page.locator("main").inner_text()
            assert faults_by_day_and_night(page) == [], path


def press(page: Any, button: str) -> None:
    """Press a button and wait for the page behind it: what is on its way out has no faults yet."""
    with page.expect_navigation():
        page.click(button)


def certifying(
    page: Any, village: Village, pages: dict[str, str], look: Callable[[str], None]
) -> None:
    """The certificate's pages once the course is completed."""
    journey = max(village.rows(ENROLLMENT), key=lambda row: int(row["id"]))
    now = village.now
    village.change(ENROLLMENT, journey["id"], completed_at=now)
    page.goto(pages["certificate"])
    look("certificate form")
    press(page, "main button")
    look("certificate without a name")
    made = village.do(
        certificates.issue,
        journey["id"],
        name="Ada Lovelace",
        title="Digital kommunizieren",
        completed_at=now,
        now=now,
    )
    assert made is not None
    for name, where in (
        ("certificate again", pages["certificate"]),
        ("course completed", pages["course"]),
        ("verify", f"/verify/{made.code}"),
    ):
        page.goto(where)
        look(name)


def answering(pages: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The pages with a question's button."""
    for name, more in (("quiz", ""), ("quiz of several", ""), ("feedback", "&pick=4")):
        yield name, pages[name] + more, "main button"
    yield "done", pages["done"], "button.big"


def acting(pages: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Other pages with a button that says it was done."""
    for name in ("interest", "refuse", "preferences"):
        yield name, pages[name], "main button >> nth=0"
    yield "everything", pages["unsubscribe"], "main button >> nth=-1"


def saying_too_much(page: Any, pages: dict[str, str], look: Callable[[str], None]) -> None:
    """A goal that is too long, past the browser's own limit."""
    page.goto(pages["preferences fresh"])
    page.evaluate("document.querySelector('#ziel').maxLength = 999")
    page.fill("#ziel", "a" * 300)
    press(page, "form:has(#ziel) button")
    look("preferences fresh, too long")


def correcting_and_going(page: Any, pages: dict[str, str], look: Callable[[str], None]) -> None:
    """What the pages behind a fresh link answer; the last of them is the last there is."""
    page.goto(pages["details"])
    page.fill("#birthday", "31.2.")
    press(page, "main button >> nth=0")
    look("details, wrong")
    page.goto(pages["address"])
    page.fill("#email", "ada@")
    press(page, "form:has(#email) button")
    look("address, wrong")
    page.goto(pages["offer"])
    press(page, "button.big")
    look("offer, taken up")


def links_of_a_leaver(village: Village) -> str:
    person = village.person("dora@schule.example")
    for slug in ("kurs", "newsletter"):
        village.subscribe(person, village.stream(slug))
    return "/unsubscribe/" + TOKENS.make(Purpose.UNSUBSCRIBE, person, village.stream(), 1)


def confirmation(village: Village) -> str:
    signup = max(village.rows(SIGNUP), key=lambda row: int(row["id"]))
    token = TOKENS.make(
        Purpose.CONFIRM, signup["id"], signup["generation"], expires_at=signup["expires_at"]
    )
    return f"/confirm/{token}"


def test_a_keyboard_is_enough_and_no_script_is_needed(sqlite_village: Village, base: str) -> None:
    with browser(base, java_script_enabled=False) as page:
        page.goto("/subscribe")
        keys = page.keyboard
        keys.press("Tab")  # the skip link shows itself and jumps
        keys.press("Enter")
        keys.press("Tab")
        keys.type("ada@schule.example")
        keys.press("Tab")
        keys.type("Ada")
        for _ in range(5):  # birthday, role, goal, first stream, second stream
            keys.press("Tab")
        keys.press("Space")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Bitte noch ein Klick"
        assert page.input_value("#email") == "ada@schule.example"
        assert page.input_value("#first_name") == "Ada"
        page.focus("main button >> nth=0")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Bitte sehen Sie in Ihr Postfach"
        page.goto(confirmation(sqlite_village))
        page.focus("main button")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Danke, Sie sind angemeldet"
        assert "Lektion 6" in page.locator("main").inner_text()
        assert state_of(sqlite_village) == "confirmed"
        settings, leave = links_of_a_mail(sqlite_village)
        page.goto(settings)
        page.focus("[name=stream][value=kurs]")
        keys.press("Space")
        page.focus("form:has([name=stream]) button")
        with page.expect_navigation():
            keys.press("Enter")
        assert state_of(sqlite_village) == "unsubscribed"
        page.goto(leave)
        assert page.locator("h1").inner_text() == "Sie sind abgemeldet"
        page.goto("/link")
        page.focus("input[name=email]")
        keys.type("ada@schule.example")
        with page.expect_navigation():
            keys.press("Enter")
        assert "Postfach" in page.locator("h1").inner_text()


def state_of(village: Village) -> str:
    """How the one who just signed up stands to the course."""
    (row,) = (r for r in village.rows(SUBSCRIPTION) if r["stream_id"] == village.stream("kurs"))
    return str(row["state"])


def links_of_a_mail(village: Village) -> tuple[str, str]:
    """To the settings and out, as the foot of the first mail has them."""
    (person,) = village.rows(SUBSCRIBER)
    delivery = village.delivery(person["id"], message_id=village.publish(), state="accepted")
    leaving = TOKENS.make(Purpose.UNSUBSCRIBE, person["id"], village.stream("kurs"), 1)
    settings = TOKENS.make(Purpose.PREFERENCES, delivery)
    return f"/preferences/{settings}", f"/unsubscribe/{leaving}"


def test_a_question_is_answered_by_keyboard(sqlite_village: Village, base: str) -> None:
    pages = links(sqlite_village)
    with browser(base, java_script_enabled=False) as page:
        keys = page.keyboard
        page.goto(pages["quiz"].replace("&pick=b", ""))
        page.focus("#answer-1")
        keys.press("Space")
        keys.press("ArrowDown")  # from one radio to the next
        keys.press("Tab")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Richtig"
        page.focus("text=Weiter zur nächsten Frage")
        with page.expect_navigation():
            keys.press("Enter")
        page.focus("#answer-1")
        keys.press("Space")
        keys.press("Tab")
        keys.press("Space")
        keys.press("Tab")
        keys.press("Tab")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Richtig"
        page.focus("text=Weiter zur nächsten Frage")
        with page.expect_navigation():
            keys.press("Enter")
        assert page.locator("h1").inner_text() == "Ihre Meinung"
    said = [row["data"]["value"] for row in sqlite_village.rows(EVENT)]
    assert said == ["b", "ab"]


def test_a_day_is_entered_and_taken_back_by_keyboard(sqlite_village: Village, base: str) -> None:
    def pressed(page: Any) -> str:
        with page.expect_navigation():
            page.keyboard.press("Enter")
        return str(page.evaluate("document.activeElement.textContent"))

    with browser(base, java_script_enabled=True) as page:
        page.goto(links(sqlite_village)["done"])
        page.focus("button.big")
        assert "Ihr erster Lerntag ist eingetragen" in pressed(page)
        page.keyboard.press("Tab")
        assert "Doch nicht" in page.evaluate("document.activeElement.textContent")
        assert "Der Eintrag ist zurückgenommen" in pressed(page)
    assert [row for row in sqlite_village.rows(EVENT) if row["kind"] == "done"] == []


def test_focus_is_seen_and_the_trap_is_not(base: str) -> None:
    with browser(base) as page:
        page.goto("/subscribe")
        page.keyboard.press("Tab")
        assert page.locator(".skip").bounding_box()["x"] >= 0
        for _ in range(12):
            page.keyboard.press("Tab")
            name = page.evaluate("document.activeElement.name")
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert name != "website"
            assert outline in {"solid", "auto"}, name
        box = page.locator("#website").bounding_box()
        assert page.locator(".trap").bounding_box()["width"] <= 1
        assert box is not None


def test_the_first_fault_has_the_focus(base: str) -> None:
    with browser(base) as page:
        page.goto("/subscribe")
        page.click("main button")
        assert page.evaluate("document.activeElement.className") == "summary"
        assert page.title().startswith("Fehler")
        page.click(".summary a")
        assert page.evaluate("document.activeElement.id") == "email"


REACHED = """
() => {
  window.reached = [];
  document.addEventListener('focusin', event => {
    const look = getComputedStyle(event.target), box = event.target.getBoundingClientRect();
    window.reached.push({
      place: [...document.querySelectorAll('*')].indexOf(event.target),
      seen: look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) >= 2
        && box.width > 1 && box.height > 1 && box.right > 0 && box.bottom > 0,
      what: event.target.outerHTML.slice(0, 80),
    });
  });
}
"""
"""Where the focus goes from now on, and whether it is seen there."""
TO_REACH = """
() => {
  const all = [...document.querySelectorAll('*')], groups = new Set();
  return all.filter(one => {
    if (!one.matches('a[href], button, input:not([type=hidden]), select, textarea, summary'))
      return false;
    if (one.disabled || one.tabIndex < 0 || !one.checkVisibility()) return false;
    if (one.type !== 'radio') return true;
    const group = one.form && [...one.form.elements].filter(o => o.name === one.name);
    const first = group.find(o => o.checked) || group[0];
    return first === one;
  }).map(one => all.indexOf(one));
}
"""
"""Every control in the order of the text; of radios that belong together, one."""
CUT = """
() => [...document.querySelectorAll('main *')].filter(one => {
  const look = getComputedStyle(one);
  return look.overflow === 'hidden' && one.scrollWidth > one.clientWidth + 1
    && one.clientWidth > 1;
}).map(one => one.outerHTML.slice(0, 80))
"""
ZOOMED = {"width": 640, "height": 400}
"""A window of 1280 by 800 pixels at 200 % (WCAG 2.2, success criterion 1.4.4)."""


def test_every_control_is_reached_in_order_and_seen_at_twice_the_size(
    sqlite_village: Village, base: str
) -> None:
    """By the tabulator alone, on every page; and nothing is cut or off the side."""
    found: dict[str, Any] = {}
    with browser(base, viewport=ZOOMED, device_scale_factor=2) as page:
        for name, link in links(sqlite_village).items():
            if name == "view":  # a mail, which its own tests look at
                continue
            page.goto(link)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            cut = page.evaluate(CUT)
            to_reach = page.evaluate(TO_REACH)
            # From the top, wherever a page put the focus by itself.
            page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges()")
            page.evaluate(REACHED)
            for _ in to_reach:
                page.keyboard.press("Tab")
            reached = page.evaluate("window.reached")
            hidden = [one["what"] for one in reached if not one["seen"]]
            if wide or cut or hidden or [one["place"] for one in reached] != to_reach:
                found[name] = (wide, cut, hidden, [one["what"] for one in reached])
    assert found == {}
