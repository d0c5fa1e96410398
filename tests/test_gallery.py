"""Mails to look at: both designs whatever the viewer prefers, nothing fetched, nothing believed."""

import re
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from l3mail.gallery import Exhibit, Part, hang, in_scheme, kept_in, write
from tests.fakes.chromium import CHROMIUM, browser, faults
from tests.fakes.library import png

DAY_AND_NIGHT = """<!doctype html><html lang="de"><head>
<meta name="color-scheme" content="light dark" />
<meta name="supported-color-schemes" content="light dark">
<meta name="viewport" content="width=device-width">
<style type="text/css">:root { color-scheme: light dark; supported-color-schemes: light dark }
a { background-color: #fff }
@media (prefers-color-scheme: dark) { body { background-color: #121817 !important } }
@media screen and (prefers-color-scheme:light) { p { color: #1f2b2a } }</style>
<style media="(prefers-color-scheme: dark)">b { color: #fff }</style></head>
<body><div style="display:none;max-height:0">Kurz &amp; gut<br> gesagt\u200c\u00ad </div>
<p>Im CSS steht <code>@media (prefers-color-scheme: dark)</code>.</p></body></html>"""


def mail(
    subject: str | None = "Lektion 1",
    text: str | None = "Guten Tag",
    html: str | None = DAY_AND_NIGHT,
) -> bytes:
    made = EmailMessage()
    made["From"] = "Bildung in Musterstadt <kurs@musterstadt.example>"
    made["To"] = "ada@schule.example"
    made["Subject"] = subject
    made["List-Unsubscribe"] = "<https://kurse.example/unsubscribe/abc>"
    if text is not None:
        made.set_content(text)
        if html is not None:
            made.add_alternative(html, subtype="html")
    elif html is not None:
        made.set_content(html, subtype="html")
    return made.as_bytes()


def exhibit(name: str = "kurs/01-start", *, tongue: str = "de", **given: str | None) -> Exhibit:
    return Exhibit(name, "lesson", tongue, mail(**given))


def hung(*exhibits: Exhibit, media: Path | None = None) -> dict[str, str]:
    files = hang([Part("Lessons", exhibits)], title="Gallery", media=media)
    return {name: content.decode() for name, content in files.items()}


def styles(html: str) -> str:
    return "".join(re.findall(r"<style.*?</style>", html, re.DOTALL))


class Loading(HTMLParser):
    """What a browser would fetch or run, and where one can go from here."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.leads: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "srcset", "background", "poster"} or (tag, name) == ("link", "href"):
                self.fetched.append(value or "")
            if (tag, name) == ("a", "href"):
                self.leads.append(value or "")


def test_the_light_design_asks_no_viewer_and_has_no_dark_rule() -> None:
    light = in_scheme(DAY_AND_NIGHT, "light")
    assert "prefers-color-scheme" not in styles(light)
    assert "@media (max-width: 0) { body { background-color: #121817" in light
    assert "@media screen and (min-width: 0) { p" in light
    assert '<style media="(max-width: 0)">b' in light
    assert "color-scheme: light; supported-color-schemes: light }" in light
    assert '<meta name="color-scheme" content="light" />' in light


def test_the_dark_design_is_dark_for_every_viewer() -> None:
    dark = in_scheme(DAY_AND_NIGHT, "dark")
    assert "prefers-color-scheme" not in styles(dark)
    assert "@media (min-width: 0) { body { background-color: #121817" in dark
    assert "@media screen and (max-width: 0) { p" in dark
    assert '<style media="(min-width: 0)">b' in dark
    assert ":root { color-scheme: dark; supported-color-schemes: dark }" in dark
    assert '<meta name="supported-color-schemes" content="dark">' in dark


def test_what_a_mail_says_of_designs_and_its_other_rules_stay() -> None:
    for made in (in_scheme(DAY_AND_NIGHT, "light"), in_scheme(DAY_AND_NIGHT, "dark")):
        assert "<code>@media (prefers-color-scheme: dark)</code>" in made
        assert "a { background-color: #fff }" in made
        assert '<meta name="viewport" content="width=device-width">' in made


def test_images_of_the_house_are_carried_along_and_no_other_is_fetched(tmp_path: Path) -> None:
    (tmp_path / ("ab" * 8)).mkdir()
    (tmp_path / ("ab" * 8) / "tafel.png").write_bytes(png(3, 2))
    html = (
        f'<img alt="a > b" src="http://127.0.0.1:1/media/{"ab" * 8}/tafel.png">'
        f'<img src="http://127.0.0.1:1/media/{"cd" * 8}/fort.png">'
        "<img src=http://127.0.0.1:1/o/token.gif>"
        "<img src='file:///etc/passwd' srcset=\"https://stadt.example/a.png 2x\">"
        f'<img src="/media/{"ab" * 8}/..">'
    )
    made = in_scheme(html, "light", kept_in(tmp_path))
    found = Loading(made).fetched
    assert found[0].startswith("data:image/png;base64,")
    assert {one.partition(",")[0] for one in found[1:]} == {"data:image/gif;base64"}
    assert len(found) == 6
    assert "default-src 'none'; img-src data:" in made
    assert 'alt="a > b"' in made


def test_a_gallery_fetches_nothing_but_what_lies_beside_it() -> None:
    files = hung(exhibit(), exhibit(tongue="en", subject="Lesson 1"))
    for name, content in files.items():
        if name.endswith((".css", ".eml")):
            assert "url(" not in content
            continue
        page = Loading(content)
        assert "script" not in page.tags
        here = Path(name).parent
        for address in [*page.fetched, *page.leads]:
            local = address.partition("#")[0]
            assert urlsplit(address).scheme in {"", "data"}, address
            assert not local or local.startswith("data:") or (here / local).as_posix() in files


def test_a_mail_is_shown_small_and_wide_in_both_designs_with_what_matters() -> None:
    page = hung(exhibit())["kurs-01-start.de.html"]
    titles = re.findall(r'<iframe id="\S+" src="mails/(\S+)" title="([^"]*)"', page)
    assert titles == [
        (f"kurs-01-start.de.{design}.html", f"Lektion 1, {width} px wide, {design}")
        for width in (375, 1024)
        for design in ("light", "dark")
    ]
    for words in (
        '<span class="sender">Bildung in Musterstadt</span>',
        '<h1 lang="de">Lektion 1</h1>',
        "Kurz &amp; gut gesagt</p>",
        "<dt>List-Unsubscribe</dt><dd>&lt;https://kurse.example/unsubscribe/abc&gt;</dd>",
        f"<dd>{len(mail()) / 1024:.1f}\u00a0KB</dd>",
        '<pre class="plain" tabindex="0" lang="de">Guten Tag\n</pre>',
    ):
        assert words in page, words


def test_a_hostile_subject_stays_a_subject() -> None:
    hostile = '"><script>alert(1)</script><iframe src=x onload='
    files = hung(exhibit(subject=hostile, text=hostile), exhibit(name='../../"<b>', tongue="../x"))
    for name in ("index.html", "kurs-01-start.de.html"):
        page = Loading(files[name])
        assert "script" not in page.tags
        assert "x" not in page.fetched
        assert "&lt;script&gt;" in files[name]
    assert "b.x.html" in files
    assert not any(".." in name or name.startswith("/") for name in files)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"html": None}, "This mail has no HTML part."),
        ({"text": None}, "This mail has no text part."),
        ({"html": "<p>Tag</p>"}, "no dark design of its own"),
    ],
    ids=["no HTML", "no text", "no dark design"],
)
def test_what_a_mail_lacks_is_said(given: dict[str, str | None], said: str) -> None:
    files = hung(Exhibit("kurs/01-start", "lesson", "de", mail(**given)))
    page = files["kurs-01-start.de.html"]
    assert said in page
    assert said not in hung(exhibit())["kurs-01-start.de.html"]
    assert ("<iframe" in page) is (given.get("html", "") is not None)
    assert ("mails/kurs-01-start.de.dark.html" in files) is (given.get("html", "") is not None)


def test_mails_of_one_name_keep_apart_and_names_depend_on_order_alone() -> None:
    three = [exhibit(subject="eins"), exhibit(subject="zwei"), exhibit("index", tongue="")]
    files = hung(*three)
    assert '<h1 lang="de">zwei</h1>' in files["kurs-01-start.de-2.html"]
    assert '<h1 lang="de">eins</h1>' in files["kurs-01-start.de.html"]
    assert "index-2.html" in files
    assert hung(*three) == files


def test_a_gallery_is_written_to_a_folder_and_an_empty_one_says_so(tmp_path: Path) -> None:
    first = write(hang([Part("Lessons", ())], title="Gallery"), tmp_path / "gallery")
    assert first == tmp_path / "gallery" / "index.html"
    assert "There is no mail to show yet." in first.read_text(encoding="utf-8")
    assert (tmp_path / "gallery" / "gallery.css").exists()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM}")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_designs_show_whatever_the_viewer_prefers_and_axe_finds_nothing(
    tmp_path: Path, scheme: str
) -> None:
    pixel = DAY_AND_NIGHT.replace("</p>", '<img src="http://127.0.0.1:1/o/token.gif"></p>')
    text = "Guten Tag\n" * 90
    write(hang([Part("Lessons", (exhibit(html=pixel, text=text),))], title="Gallery"), tmp_path)
    size = {"width": 320, "height": 640}
    with browser(tmp_path.as_uri(), color_scheme=scheme, viewport=size) as page:
        for name in ("index.html", "kurs-01-start.de.html"):
            page.goto(f"{tmp_path.as_uri()}/{name}")
            assert faults(page) == []
        grounds = {frame.url.split(".")[-2]: ground(frame) for frame in page.frames[1:]}
    assert grounds == {"light": "rgba(0, 0, 0, 0)", "dark": "rgb(18, 24, 23)"}


def ground(frame: Any) -> str:
    return str(frame.evaluate("getComputedStyle(document.body).backgroundColor"))
