"""Texts on the screen while they are written: what is compiled anew, what is shown, who may ask."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from l3mail.addresses import parse_address
from l3mail.clocks import FixedClock
from l3mail.previewing import Bell, Bench, Guests, Watch, create_app
from l3mail.settings import FILE, load_settings
from tests.fakes.chromium import CHROMIUM, browser, faults
from tests.fakes.library import LESSON, Shelf, png
from tests.fakes.porch import TestClient
from tests.fakes.village import MONDAY_TEN

SETTINGS = """
[workspace]
name = "Bildung in Musterstadt"
[streams.newsletter]
title = "Neues"
[impressum]
name = "Stadt Musterhausen"
address = "Markt 1, 01000 Musterhausen"
privacy_url = "https://stadt.example/privacy"
[attributes.role]
type = "choice"
choices = ["schule", "vhs"]
"""
HERE = "127.0.0.1:8123"
TEXT = "/text/kurs/01-start"
HOSTILE = {
    "id": 7,
    "address": "ada@schule.example",
    "first_name": '"><script>alert(1)</script><iframe src=x>',
    "last_name": "=?utf-8?q?x=0D=0ABcc:_evil=40x.example?=",
}


class Workshop:
    """A shelf of texts, and the bench they lie on."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf(folder)
        self.shelf.put(FILE, SETTINGS)
        self.shelf.image()
        self.shelf.lesson("{{ greeting }}, willkommen.\n\n![Tafel](media/tafel.png)")
        self.shelf.text("lessons/kurs/02-video.md", "Zweite.", 'subject: "Video"')
        self.shelf.text("lessons/kurs/01-start.en.md", "Hello.", 'subject: "Lesson"')
        self.shelf.text("newsletters/2026-12.md", "Neues.", 'subject: "Dezember"')
        self.bench = Bench(self.settings(), self.settings, FixedClock(MONDAY_TEN))
        self.guests = Guests(self.find)
        self.bell = Bell()

    def settings(self) -> Any:
        return load_settings(self.shelf.folder, {})

    def find(self, email: str) -> dict[str, Any] | None:
        return HOSTILE if parse_address(email).address == HOSTILE["address"] else None

    def app(self, *hosts: str) -> Any:
        return create_app(self.bench, self.guests, self.bell, hosts or [HERE])

    def all_compiled(self) -> int:
        """Compile what waits; how many texts that were."""
        before = self.bench.compiled
        while self.bench.catch_up():
            pass
        return self.bench.compiled - before

    def saved(self) -> int:
        """How many texts are compiled because of what was saved."""
        assert self.bench.look()
        return self.all_compiled()


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def client(workshop: Workshop) -> TestClient:
    return TestClient(workshop.app(), base_url=f"http://{HERE}", follow_redirects=False)


# -- what is compiled anew


def test_only_the_text_that_was_saved_is_compiled_anew(workshop: Workshop) -> None:
    assert workshop.all_compiled() == 4
    assert not workshop.bench.look()
    workshop.shelf.text("lessons/kurs/02-video.md", "Anders.", 'subject: "Video"')
    assert workshop.saved() == 1


@pytest.mark.parametrize(
    ("path", "change", "compiled"),
    [
        ("templates/words.toml", lambda text: text + "\n# Notiz\n", 4),
        ("templates/layouts/mail.mjml", lambda text: text + "\n", 4),
        ("media/tafel.png", lambda _: png(40, 30), 1),
        ("lessons/kurs/course.yaml", lambda text: text + 'from: "Kurs <k@stadt.example>"\n', 3),
        (FILE, lambda text: text + '[design]\nclaim = "Lernen"\n', 4),
        (FILE, lambda text: text.replace("Markt 1", "Markt 2"), 0),
    ],
    ids=["words", "layout", "picture", "course", "design", "Impressum"],
)
def test_what_is_around_texts_makes_those_old_that_it_is_around(
    workshop: Workshop, path: str, change: Callable[[str], str | bytes], compiled: int
) -> None:
    workshop.all_compiled()
    file = workshop.shelf.folder / path
    workshop.shelf.put(path, change(file.read_text("utf-8", errors="replace")))
    assert workshop.saved() == compiled


def test_a_file_that_is_new_or_gone_is_seen(workshop: Workshop, client: TestClient) -> None:
    workshop.shelf.text("lessons/kurs/03-ton.md", "Dritte.", 'subject: "Ton"')
    assert client.get("/text/kurs/03-ton").status_code == 200
    (workshop.shelf.folder / "lessons/kurs/03-ton.md").unlink()
    assert client.get("/text/kurs/03-ton").status_code == 404


# -- what is shown


def test_a_page_shows_small_and_wide_light_and_dark_with_all_an_editor_asks(
    workshop: Workshop, client: TestClient
) -> None:
    workshop.all_compiled()
    page = client.get(f"{TEXT}?as=maria").text
    frames = re.findall(r'<iframe id="(\S+)" src="([^"]+)"', page)
    assert [name for name, _ in frames] == [
        "phone-light",
        "phone-dark",
        "screen-light",
        "screen-dark",
    ]
    for words in (
        '<h1 lang="de">Lektion</h1>',
        '<p class="what" lang="de" dir="auto">Lektion</p>',
        "Guten Tag Maria Sommer, willkommen.",
        "<dt>List-Id</dt><dd>Kurs &lt;kurs.example.org&gt;</dd>",
        "<dt>List-Unsubscribe</dt><dd>&lt;http://127.0.0.1:8000/preview&gt;</dd>",
        "Gmail cuts off what is over 102",
        "Nothing to mend",
        f'<a href="{TEXT}?locale=en&amp;as=maria">en</a>',
        f'<a href="{TEXT}?locale=de&amp;as=maria" aria-current="page">Maria Sommer</a>',
    ):
        assert words in page, words
    for name, address in frames:
        picture = client.get(address.replace("&amp;", "&"))
        assert "Guten Tag Maria Sommer" in picture.text
        assert ("color-scheme: dark" in picture.text) is name.endswith("dark")
        assert "data:image/png;base64," in picture.text
        assert "sandbox allow-same-origin" in picture.headers["content-security-policy"]
        assert "allow-scripts" not in picture.headers["content-security-policy"]


def test_the_index_names_each_text_in_each_language(workshop: Workshop, client: TestClient) -> None:
    workshop.all_compiled()
    page = client.get("/").text
    found = re.findall(r'<h3><a href="/text/(\S+?)\?locale=(\w+)"', page)
    assert found == [
        ("kurs/01-start", "de"),
        ("kurs/01-start", "en"),
        ("kurs/02-video", "de"),
        ("newsletter/2026-12", "de"),
    ]
    assert "en: 1 of 2 texts, the others fall back to de" in page


def test_what_links_lead_to_here_is_nothing_or_a_file_of_the_text(
    workshop: Workshop, client: TestClient
) -> None:
    workshop.shelf.put("media/blatt.pdf", b"%PDF-1.7")
    workshop.shelf.lesson("[Arbeitsblatt](media/blatt.pdf)")
    html = client.get("/picture/light/kurs/01-start").text
    assert 'href="/preview"' in html
    assert "/unsubscribe/" not in html
    (paper,) = re.findall(r'href="(/media/\w+/blatt\.pdf)"', html)
    assert client.get(paper).content == b"%PDF-1.7"
    assert "do nothing" in client.get("/preview").text
    assert client.get(paper.replace("blatt", "anderes")).status_code == 404


def test_a_worksheet_is_shown_as_the_paper_that_is_made_of_it(
    workshop: Workshop, client: TestClient
) -> None:
    workshop.shelf.put("media/blatt.md", "---\ntitle: Blatt\n---\n\n::: lines 4\n:::\n")
    workshop.shelf.lesson("[Arbeitsblatt](media/blatt.pdf)")
    (paper,) = re.findall(
        r'href="(/media/\w+/blatt\.pdf)"', client.get("/picture/light/kurs/01-start").text
    )
    answer = client.get(paper)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")


def test_a_broken_text_shows_its_faults_and_the_last_good_picture(
    workshop: Workshop, client: TestClient
) -> None:
    assert "Nothing to mend" in client.get(TEXT).text
    workshop.shelf.lesson("{{ greeting }}\n\n::: kard\nx\n:::\n")
    page = client.get(TEXT).text
    assert "This text has errors. Below is how it was when it was last sound, at 10:00:00." in page
    assert "<code>lessons/kurs/01-start.md:6</code>" in page
    assert '<pre class="quoted" dir="auto">::: kard</pre>' in page
    assert '<div id="age" class=" stale">' in page
    assert "willkommen" in client.get("/picture/light/kurs/01-start").text
    workshop.shelf.lesson("Wieder heil.")
    page = client.get(TEXT).text
    assert "has errors" not in page
    assert '<div id="age" class="">' in page


def test_a_text_that_was_never_sound_says_so(workshop: Workshop, client: TestClient) -> None:
    workshop.shelf.text("newsletters/2027-01.md", "{{ foo }}", LESSON)
    page = client.get("/text/newsletter/2027-01").text
    assert "there is no picture of it yet" in page
    assert "<iframe" not in page
    assert client.get("/picture/light/newsletter/2027-01").status_code == 404
    assert client.get("/eml/newsletter/2027-01").status_code == 404
    assert "1 error" in client.get("/").text


def test_settings_that_cannot_be_read_are_told_and_all_goes_on(
    workshop: Workshop, client: TestClient
) -> None:
    workshop.shelf.put(FILE, SETTINGS + "[sennder]\n")
    for address in ("/", TEXT):
        page = client.get(address)
        assert page.status_code == 200
        assert "sennder" in page.text
    workshop.shelf.put(FILE, SETTINGS)
    assert "cannot be read as it is" not in client.get(TEXT).text


# -- as whom


def introduce(client: TestClient, address: str) -> httpx.Response:
    form = {"address": address, "slug": "kurs/01-start", "locale": "de"}
    answer: httpx.Response = client.post("/as", data=form)
    assert answer.status_code == 303
    return answer


def test_a_subscriber_is_found_by_address_and_stands_in_no_address_of_a_page(
    client: TestClient,
) -> None:
    where = introduce(client, " ada@schule.example ").headers["location"]
    assert where.startswith(f"{TEXT}?locale=de&as=s-")
    assert introduce(client, "ada@schule.example").headers["location"] == where
    page = client.get(where).text
    assert 'value="ada@schule.example"' in page
    assert page.count("ada@schule.example") == 2  # the field, and the header To
    for someone in ("7", "s-7", where[-8:]):
        assert "not known any more" in client.get(f"{TEXT}?as={someone}").text


def test_a_hostile_name_stays_a_name(client: TestClient) -> None:
    where = introduce(client, "ada@schule.example").headers["location"]
    page = client.get(where).text
    assert "<script>alert" not in page
    assert "<iframe src=x" not in page
    assert "Bcc" not in client.get(where.replace("/text/", "/eml/")).text.partition("\r\n\r\n")[0]
    picture = client.get(where.replace("/text/", "/picture/dark/")).text
    assert "<script" not in picture
    assert "&lt;script&gt;" in picture


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("x@schule.example", "No subscriber has this address"),
        ("kein Wort <x>", "This is no e-mail address"),
        ("", "Guten Tag, willkommen."),
    ],
)
def test_who_is_not_found_is_nobody(client: TestClient, address: str, said: str) -> None:
    assert said in client.get(introduce(client, address).headers["location"]).text


def test_without_a_database_there_are_examples(workshop: Workshop) -> None:
    workshop.guests = Guests()
    client = TestClient(workshop.app(), base_url=f"http://{HERE}", follow_redirects=False)
    page = client.get(f"{TEXT}?as=aylin").text
    assert "Sehr geehrte Frau Dr. Çelik, willkommen." in page
    assert "only examples of people" in page
    assert "as=unknown" in introduce(client, "ada@schule.example").headers["location"]


def test_parts_that_only_some_get_are_shown_as_their_reader_would_get_them(
    workshop: Workshop,
) -> None:
    workshop.shelf.lesson('Für alle.\n\n::: if district == "Nord"\n\nFür den Norden.\n\n:::\n')
    workshop.guests = Guests(workshop.find, lambda _text, _person: 0)
    client = TestClient(workshop.app(), base_url=f"http://{HERE}", follow_redirects=False)
    nobody = client.get(TEXT).text
    assert "Für den Norden." in nobody
    assert "line 6, shown" in nobody
    theirs = client.get(introduce(client, "ada@schule.example").headers["location"]).text
    assert "Für den Norden." not in theirs
    assert "line 6, not shown" in theirs


def test_a_page_shows_a_mail_as_each_mode_of_tracking_would_make_it(
    workshop: Workshop, client: TestClient
) -> None:
    workshop.shelf.lesson("Lesen Sie [das](https://medien.example/a).")
    measures = {
        "": ("direct", "none", "https://medien.example/a"),
        "off": ("direct", "none", "https://medien.example/a"),
        "aggregate": ("counted for all", "counted for all", "/c/preview-everybody/1"),
        "agreed": ("personal", "personal", "/c/preview-person/1"),
        "not-agreed": ("counted for all", "none", "/c/preview-everybody/1"),
        "x": ("direct", "none", "https://medien.example/a"),
    }
    for tracking, (links, pixel, led) in measures.items():
        page = client.get(f"{TEXT}?tracking={tracking}&as=maria").text
        assert f"<dt>Links</dt><dd>{links}" in page
        assert f"<dt>Pixel</dt><dd>{pixel}" in page
        picture = client.get(f"/picture/light/kurs/01-start?tracking={tracking}&as=maria").text
        assert f'href="{led}"' in picture
        assert "/o/preview" not in picture, "nothing is fetched"
        assert ("/o/preview" in client.get(f"/eml/kurs/01-start?tracking={tracking}").text) == (
            pixel != "none"
        )
        if tracking in {"aggregate", "agreed"}:
            assert f'href="{TEXT}?locale=de&amp;tracking={tracking}"' in page, "as somebody else"
    assert client.get("/c/preview-person/1").text.startswith("Links of a preview do nothing.")
    chosen = client.post(
        "/as",
        data={"address": "", "slug": "kurs/01-start", "locale": "de", "tracking": "agreed"},
    )
    assert "tracking=agreed" in chosen.headers["location"]


# -- who may ask


@pytest.mark.parametrize("path", ["/", TEXT, "/changes", "/picture/light/kurs/01-start", "/as"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8123", "127.0.0.1:80", "localhost"])
def test_who_asks_by_another_name_gets_nothing(client: TestClient, path: str, host: str) -> None:
    answer = client.request("POST" if path == "/as" else "GET", path, headers={"Host": host})
    assert answer.status_code == 421
    assert "Lektion" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/", TEXT, "/changes", "/media/ab/tafel.png"])
def test_nothing_is_written(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/text/../../etc/passwd",
        "/text/%2e%2e/%2e%2e/l3mail.toml",
        "/picture/light/../l3mail.toml",
        "/picture/grey/kurs/01-start",
        "/media/../l3mail.toml",
        "/media/0123456789abcdef/..%2f..%2fl3mail.toml",
        "/media/0123456789abcdef/tafel.png",
        "/eml/state/secret.key",
        "/pages/live.js",
        "/text/kurs/01-start?locale=../../x",
    ],
)
def test_no_path_leads_to_a_file(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_run_their_own_script_alone_and_are_framed_by_nobody(client: TestClient) -> None:
    for path in ("/", TEXT, "/gallery.css", "/live.js", "/nowhere"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


# -- over real HTTP


@contextlib.contextmanager
def served(workshop: Workshop) -> Iterator[str]:
    """The preview at a free port, with somebody who looks at the files."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        host = f"127.0.0.1:{door.getsockname()[1]}"
        config = uvicorn.Config(workshop.app(host), log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            with Watch(workshop.bench, workshop.bell.ring):
                yield f"http://{host}"
        finally:
            workshop.bell.stop()
            server.should_exit = True
            thread.join()


def told(lines: Iterator[str]) -> str:
    """The next revision somebody who waits is told."""
    return next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")


def test_who_waits_is_told_of_every_save_and_of_nothing_twice(workshop: Workshop) -> None:
    workshop.all_compiled()
    with (
        served(workshop) as base,
        httpx.stream("GET", f"{base}/changes?since=old", timeout=60) as news,
    ):
        lines = news.iter_lines()
        seen = [told(lines)]
        for body in ("Eins.", "Zwei.", "Drei."):
            workshop.shelf.text("lessons/kurs/02-video.md", body, 'subject: "Video"')
            while body not in httpx.get(f"{base}/text/kurs/02-video", timeout=60).text:
                seen.append(told(lines))
            seen.append(told(lines))
    assert len(seen) == len(set(seen))
    assert news.headers["content-type"].startswith("text/event-stream")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_a_link_out_of_the_workspace_is_not_followed(workshop: Workshop, tmp_path: Path) -> None:
    (workshop.shelf.folder / "lessons" / "loop").symlink_to(workshop.shelf.folder / "lessons")
    (workshop.shelf.folder / "lessons" / "kurs" / "09-weg.md").symlink_to("/etc/hostname")
    assert workshop.bench.look()
    assert workshop.bench.piece("kurs/09-weg", "de") is None


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1024])
def test_axe_finds_nothing_also_on_broken_texts(
    workshop: Workshop, width: int, scheme: str
) -> None:
    workshop.all_compiled()
    workshop.shelf.text("lessons/kurs/02-video.md", "{{ foo }} " + "x" * 300, "subjekt: Video")
    workshop.saved()
    size = {"width": width, "height": 800}
    with served(workshop) as base, browser(base, color_scheme=scheme, viewport=size) as page:
        found = {}
        for path in ("/", f"{TEXT}?as=long", "/text/kurs/02-video"):
            page.goto(path)
            page.get_by_text("Follows as you save").wait_for()
            found[path] = faults(page)
    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
def test_an_open_page_follows_a_save_without_being_loaded_anew(workshop: Workshop) -> None:
    workshop.shelf.lesson("Zeile.\n\n" * 80 + "Ende.")
    workshop.saved()
    with served(workshop) as base, browser(base, viewport={"width": 1024, "height": 600}) as page:
        page.goto(TEXT)
        page.get_by_text("Follows as you save").wait_for()
        page.frame_locator("#phone-dark").get_by_text("Ende.").wait_for()
        page.evaluate(
            "window.here = 1; scrollTo(0, 250);"
            "document.getElementById('phone-dark').contentWindow.scrollTo(0, 400)"
        )
        workshop.shelf.lesson("Neu.\n\n" + "Zeile.\n\n" * 80 + "Schluss.", 'subject: "Frisch"')
        page.frame_locator("#phone-dark:not(.coming)").get_by_text("Schluss.").wait_for()
        page.get_by_role("heading", name="Frisch").wait_for()
        frame = "document.getElementById('phone-dark').contentWindow.scrollY"
        assert page.evaluate(f"[window.here, scrollY, {frame}]") == [1, 250, 400]
        workshop.shelf.lesson("{{ foo }}")
        page.get_by_text("Below is how it was").wait_for()
        assert page.evaluate("window.here") == 1
