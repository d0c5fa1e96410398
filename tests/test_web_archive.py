"""The archive: what everybody may read afterwards, with nobody in it; and what was corrected."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from httpx import Response

from l3mail.models import CAMPAIGN, CAMPAIGN_MESSAGE, DELIVERY
from l3mail.tokens import Purpose
from l3mail.web.archive import ATOM, SHOWN
from tests.fakes.porch import Form, Porch, open_porch, title_of
from tests.fakes.village import Village

ISSUE = "newsletter/2026-12"
PAGE = (
    '<html lang="de"><head><title>x</title></head><body style="color:#000">'
    "<p>{{ greeting }},{% if first_name %} {{ first_name }}{% endif %}</p>"
    '<a href="{{ links.unsubscribe }}">Abmelden</a>'
    '<a href="{{ links.quiz }}?of=q1&amp;pick=a">A</a>'
    '<a href="{{ links.view }}">Im Browser</a><a href="{{ trail }}{{ hrefs[1] }}">Programm</a>'
    '{% if pixel %}<img src="{{ pixel }}">{% endif %}</body></html>'
)


class Bureau:
    """A porch, and what was sent from behind it."""

    def __init__(self, porch: Porch) -> None:
        self.porch = porch
        self.village = porch.village
        self.readers = 0

    def publish(self, slug: str = ISSUE, locale: str = "de", **parts: Any) -> int:
        said = {"subject": "Ausgabe im Dezember", "html": PAGE, "stream": "newsletter"} | parts
        number = self.village.publish(slug, locale, **said)
        self.village.number_links(number, "https://biblio.example/programm?a=1&b=2")
        return number

    def send(
        self, *messages: int, slug: str = ISSUE, state: str = "accepted", **values: Any
    ) -> int:
        """A campaign of these versions, with one mail of it."""
        campaign = self.village.campaign(slug)
        self.village.change(CAMPAIGN, campaign, **{"planned_at": self.village.now} | values)
        for number, locale in zip(messages, ("de", "en", "ar"), strict=False):
            self.village.database.write(
                lambda connection, number=number, locale=locale: connection.execute(  # type: ignore[misc]
                    CAMPAIGN_MESSAGE.insert().values(
                        campaign_id=campaign, locale=locale, message_id=number
                    )
                )
            )
        self.readers += 1
        person = self.village.person(f"r{self.readers}@schule.example", first_name="Canary")
        return self.village.delivery(
            person,
            "newsletter",
            campaign_id=campaign,
            stream_id=self.village.stream("newsletter", "newsletter"),
            slug=slug,
            message_id=messages[0],
            state=state,
            **({"lease_owner": "x", "started_at": self.village.now} if state == "sending" else {}),
        )

    def get(self, path: str, **headers: str) -> Response:
        answer: Response = self.porch.client.get(path, headers=headers)
        return answer

    def listed(self, query: str = "") -> list[str]:
        links = Form(self.get("/archive" + query).text).links
        return [link.partition("?")[0] for link in links if link.startswith("/archive/newsletter/")]


@pytest.fixture
def bureau(village: Village, tmp_path: Path) -> Iterator[Bureau]:
    with open_porch(village, tmp_path) as porch:
        yield Bureau(porch)


@pytest.fixture
def light(sqlite_village: Village, tmp_path: Path) -> Iterator[Bureau]:
    """For what does not depend on the database."""
    with open_porch(sqlite_village, tmp_path) as porch:
        yield Bureau(porch)


def test_what_has_gone_out_is_read_with_nobody_in_it(bureau: Bureau) -> None:
    bureau.send(bureau.publish())
    assert bureau.listed() == ["/archive/" + ISSUE]
    answer = bureau.get("/archive/" + ISSUE)
    assert answer.status_code == 200
    assert "<p>Guten Tag,</p>" in answer.text
    assert "Canary" not in answer.text
    links = Form(answer.text).links
    shared = "http://porch.example/shared"
    assert links[-4:] == [
        shared,
        f"{shared}?of=q1&pick=a",
        f"http://porch.example/archive/{ISSUE}?locale=de",
        "https://biblio.example/programm?a=1&b=2",
    ]
    assert "<img" not in answer.text
    for path in {link for link in links if link.startswith("/") or "porch.example" in link}:
        assert bureau.get(path).status_code == 200, path
    assert bureau.get("/archive/2026-12").text == answer.text


@pytest.mark.parametrize("state", ["queued", "held", "sending", "failed", "uncertain", "cancelled"])
def test_what_no_server_has_accepted_is_not_shown(bureau: Bureau, state: str) -> None:
    bureau.send(bureau.publish(), state=state)
    assert bureau.listed() == []
    assert bureau.get("/archive/" + ISSUE).status_code == 404
    assert "Noch ist keine Ausgabe erschienen" in bureau.get("/archive").text


def test_what_somebody_cancelled_is_not_shown_though_some_have_it(bureau: Bureau) -> None:
    bureau.send(bureau.publish(), cancelled_at=bureau.village.now)
    assert bureau.listed() == []
    assert bureau.get("/archive/" + ISSUE).status_code == 404


def test_what_is_only_published_is_not_shown(light: Bureau) -> None:
    light.publish()
    light.publish("lifecycle/birthday")
    assert light.get("/archive/" + ISSUE).status_code == 404
    assert light.get("/archive/lifecycle/birthday").status_code == 404


@pytest.mark.parametrize(
    ("segment", "said", "now", "shown"),
    [
        pytest.param(None, None, None, True, id="to all"),
        pytest.param("vhs", None, None, False, id="to few"),
        pytest.param("vhs", True, None, True, id="to few, for all to read"),
        pytest.param(None, False, None, False, id="to all, not for everybody"),
        pytest.param(None, None, False, False, id="taken back"),
        pytest.param("vhs", None, True, True, id="opened later"),
        pytest.param(None, False, True, True, id="thought over"),
    ],
)
def test_an_issue_to_few_stays_with_them_unless_it_says_otherwise(
    bureau: Bureau, segment: str | None, said: bool | None, now: bool | None, shown: bool
) -> None:
    bureau.send(bureau.publish(**said_so(said)), segment=segment)
    if now is not None:
        bureau.publish(text="anders", **said_so(now))
    assert bool(bureau.listed()) is shown
    assert (bureau.get("/archive/" + ISSUE).status_code == 200) is shown


def said_so(archive: bool | None) -> dict[str, Any]:
    return {} if archive is None else {"archive": archive}


def test_the_text_is_the_one_that_was_sent_whatever_is_published_since(bureau: Bureau) -> None:
    bureau.send(bureau.publish())
    bureau.publish(subject="Neu", html=PAGE.replace("Abmelden", "Neues"))
    assert "Neues" not in bureau.get("/archive/" + ISSUE).text
    assert "Ausgabe im Dezember" in bureau.get("/archive").text


def test_each_reads_in_their_language_and_may_change_it(light: Bureau) -> None:
    german, arabic = light.publish(), PAGE.replace('lang="de"', 'lang="ar" dir="rtl"')
    light.send(german, light.publish(locale="en"), light.publish(locale="ar", html=arabic))
    page = light.get("/archive/" + ISSUE, **{"Accept-Language": "en-GB"}).text
    assert "<p>Hello,</p>" in page
    assert "Sent on Monday, 23 November 2026" in page
    other = [link for link in Form(page).links if link.endswith("?locale=ar")]
    assert other == [f"/archive/{ISSUE}?locale=ar"]
    assert ">العربية</a>" in page
    assert 'dir="rtl"' in light.get(other[0]).text
    assert "<p>Guten Tag,</p>" in light.get(f"/archive/{ISSUE}?locale=fr").text


def test_a_long_archive_has_pages_newest_first(bureau: Bureau) -> None:
    for n in range(SHOWN + 3):
        slug = f"newsletter/n{n}"
        bureau.send(
            bureau.publish(slug), slug=slug, scheduled_at=bureau.village.now + timedelta(days=n)
        )
    names = [f"/archive/newsletter/n{n}" for n in reversed(range(SHOWN + 3))]
    assert bureau.listed() == names[:SHOWN]
    assert bureau.listed("?page=2") == names[SHOWN:]
    assert "Ältere Ausgaben" in bureau.get("/archive").text
    second = bureau.get("/archive?page=2").text
    assert "Neuere Ausgaben" in second
    assert "Ältere Ausgaben" not in second
    assert bureau.get("/archive?page=3").status_code == 404


@pytest.mark.parametrize("page", ["0", "-1", "x", "1e3", "99999999999", "%00", "²"])
def test_a_page_nobody_has_is_no_fault(light: Bureau, page: str) -> None:
    assert light.get(f"/archive?page={page}").status_code in {200, 404}


@pytest.mark.parametrize(
    "path", ["x", "newsletter/", "newsletter/x", "../l3mail.toml", "%00", "kurs/01", "a/b/c", "é"]
)
def test_an_issue_nobody_sent_is_a_page_that_does_not_exist(light: Bureau, path: str) -> None:
    assert light.get("/archive/" + path).status_code == 404


def test_streams_stand_apart_and_one_may_stay_private(
    sqlite_village: Village, tmp_path: Path
) -> None:
    more = """
[streams.newsletter]
title = "Bildung im Stadtteil"
[streams.intern]
title = "Nur für uns"
archive = false
"""
    with open_porch(sqlite_village, tmp_path, more) as porch:
        bureau = Bureau(porch)
        bureau.send(bureau.publish())
        for slug, title in (("intern", "Nur für uns"), ("kita", "Kita-Post")):
            sqlite_village.stream(slug, "newsletter")
            issue = f"newsletter/{slug}"
            delivery = bureau.send(bureau.publish(issue, subject=title), slug=issue)
            campaign = sqlite_village.row(DELIVERY, delivery)["campaign_id"]
            sqlite_village.change(CAMPAIGN, campaign, stream_id=sqlite_village.stream(slug))
        assert set(bureau.listed()) == {"/archive/" + ISSUE, "/archive/newsletter/kita"}
        assert bureau.listed("?stream=kita") == ["/archive/newsletter/kita"]
        for hidden in ("/archive?stream=intern", "/archive/newsletter/intern"):
            assert bureau.get(hidden).status_code == 404
        assert "Nur für uns" not in bureau.get("/archive/feed.xml").text
        assert bureau.get("/archive/feed.xml?stream=intern").status_code == 404


def test_it_is_for_search_engines_and_caches_and_nothing_else_is(light: Bureau) -> None:
    light.send(light.publish())
    for path in ("/archive", "/archive/" + ISSUE, "/archive/feed.xml"):
        headers = light.get(path).headers
        assert headers["cache-control"] == "public, max-age=300"
        assert headers["vary"] == "Accept-Language"
        assert headers["x-robots-tag"] == "all"
    robots = light.get("/robots.txt").text
    assert "Allow: /archive\n" in robots
    assert robots.endswith("Disallow: /\n")
    for path in ("/archive/nothing", "/subscribe", "/shared"):
        headers = light.get(path).headers
        assert (headers["x-robots-tag"], headers["cache-control"]) == ("noindex", "no-store")


def test_a_feed_tells_of_new_issues(light: Bureau) -> None:
    light.send(light.publish(subject="Tee & <Kuchen>", preheader="Von Ä bis Z"))
    answer = light.get("/archive/feed.xml")
    assert answer.headers["content-type"] == "application/atom+xml"
    feed = ET.fromstring(answer.content)
    atom = {"a": ATOM}
    (entry,) = feed.findall("a:entry", atom)
    said = {
        name: entry.findtext(f"a:{name}", namespaces=atom) for name in ("id", "title", "summary")
    }
    assert said == {
        "id": f"http://porch.example/archive/{ISSUE}",
        "title": "Tee & <Kuchen>",
        "summary": "Von Ä bis Z",
    }
    for needed in ("id", "title", "updated", "author/a:name"):
        assert feed.findtext(f"a:{needed}", namespaces=atom), needed
    assert entry.findtext("a:updated", namespaces=atom) == light.village.now.isoformat()
    (link,) = entry.findall("a:link", atom)
    assert light.get(link.attrib["href"]).status_code == 200


def test_an_empty_archive_has_a_feed_too(light: Bureau) -> None:
    assert ET.fromstring(light.get("/archive/feed.xml").content).findall(f"{{{ATOM}}}entry") == []


def test_reading_changes_nothing(light: Bureau) -> None:
    light.send(light.publish())
    before = light.porch.dump()
    for path in ("/archive", "/archive/" + ISSUE, "/archive/feed.xml", "/shared"):
        light.get(path)
        light.porch.client.head(path)
    assert light.porch.dump() == before


def test_a_subject_that_needs_a_person_is_left_out_and_fails_nothing(light: Bureau) -> None:
    light.send(light.publish(subject="{{ nobody.at.all }}"))
    light.send(
        light.publish("newsletter/b", subject="Für {{ first_name or 'alle' }}"), slug="newsletter/b"
    )
    assert light.listed() == ["/archive/newsletter/b"]
    assert ">Für alle</a>" in light.get("/archive").text
    assert light.get("/archive/" + ISSUE).status_code == 404


def test_who_comes_or_goes_is_led_to_it_where_there_is_something(bureau: Bureau) -> None:
    def doors() -> list[bool]:
        links = [
            Form(bureau.get(path).text).links
            for path in ("/subscribe", "/subscribe?stream=kurs", left)
        ]
        return [any(link.startswith("/archive") for link in own) for own in links]

    person = bureau.village.person("ada@schule.example")
    bureau.village.subscribe(person, bureau.village.stream("newsletter"), "unsubscribed")
    token = bureau.porch.token(Purpose.UNSUBSCRIBE, person, bureau.village.stream("newsletter"), 1)
    left = f"/unsubscribe/{token}"
    assert doors() == [False, False, False]
    bureau.send(bureau.publish())
    assert doors() == [True, False, True]


# What was corrected

NOTE = {
    "on": "2026-12-03",
    "heading": "Berichtigt am 3. Dezember 2026:",
    "text": "Der Kurs kostet <nichts> & nie.",
}
LATER = {"on": "2026-12-05", "heading": "Berichtigt am 5. Dezember 2026:", "text": "Um 17 Uhr."}
SHOWN_NOTE = (
    "<p><strong>Berichtigt am 3. Dezember 2026:</strong>"
    " Der Kurs kostet &lt;nichts&gt; &amp; nie.</p>"
)


def test_a_correction_stands_above_what_was_sent_before(bureau: Bureau) -> None:
    delivery = bureau.send(bureau.publish())
    view = "/view/" + bureau.porch.token(Purpose.VIEW, delivery)
    assert "l3-" not in bureau.get(view).text
    bureau.publish(corrections=[NOTE])
    bureau.publish(corrections=[NOTE, LATER])
    for path in (view, "/archive/" + ISSUE):
        page = bureau.get(path).text
        assert SHOWN_NOTE in page
        assert page.index("5. Dezember") < page.index("3. Dezember") < page.index("Guten Tag")


def test_who_got_the_corrected_text_reads_no_note(bureau: Bureau) -> None:
    old = bureau.publish("kurs/01")
    new = bureau.publish("kurs/01", html=PAGE + "Neuer Satz", corrections=[NOTE])
    person = bureau.village.learner()
    views = [
        bureau.get("/view/" + bureau.porch.token(Purpose.VIEW, delivery)).text
        for delivery in (
            bureau.village.delivery(person, message_id=number, state="accepted")
            for number in (old, new)
        )
    ]
    assert [SHOWN_NOTE in view for view in views] == [True, False]
    assert ["Neuer Satz" in view for view in views] == [False, True]


def test_a_correction_is_of_its_language(light: Bureau) -> None:
    light.send(light.publish(), light.publish(locale="en"))
    light.publish(locale="en", corrections=[NOTE | {"heading": "Corrected on 3 December 2026:"}])
    assert "Corrected on" in light.get(f"/archive/{ISSUE}?locale=en").text
    assert "Corrected on" not in light.get(f"/archive/{ISSUE}?locale=de").text


def test_a_correction_of_a_text_without_html_is_read_too(light: Bureau) -> None:
    light.send(light.publish(html=""))
    light.publish(html="", corrections=[NOTE])
    page = light.get("/archive/" + ISSUE).text
    assert SHOWN_NOTE in page
    assert title_of(page) == "Ausgabe im Dezember"


def test_a_note_in_a_right_to_left_text_runs_that_way(light: Bureau) -> None:
    light.send(light.publish(), light.publish(locale="en"), light.publish(locale="ar"))
    light.publish(locale="ar", corrections=[NOTE])
    page = light.get(f"/archive/{ISSUE}?locale=ar").text
    assert 'role="note" lang="ar" dir="rtl"' in page


# A view that is passed on


def test_a_view_passed_on_leads_to_no_page_of_its_person(bureau: Bureau) -> None:
    delivery = bureau.send(bureau.publish())
    view = "/view/" + bureau.porch.token(Purpose.VIEW, delivery)
    links = Form(bureau.get(view).text).links
    assert links == [
        "http://porch.example/shared",
        "http://porch.example/shared?of=q1&pick=a",
        "http://porch.example" + view,
        "https://biblio.example/programm?a=1&b=2",
    ]
    page = bureau.get("/shared?of=q1&pick=a").text
    assert title_of(page) == "Dieser Link gehört in eine E-Mail"
    assert "/subscribe?locale=de" in Form(page).links
    assert bureau.porch.client.post("/link", data={"email": "r1@schule.example"}).status_code == 200


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("/archive/%00", 404),
        ("/archive/newsletter/%00", 404),
        ("/archive?stream=%00", 404),
        ("/archive/feed.xml?stream=%00", 404),
    ],
)
def test_what_no_database_takes_is_not_looked_for(bureau: Bureau, where: str, status: int) -> None:
    assert bureau.porch.client.get(where).status_code == status
