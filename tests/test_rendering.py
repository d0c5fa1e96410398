"""From a text and a person's values to the bytes of a mail."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import RenderingError
from l3mail.rendering import Head, compose, fill, placeholders

HEAD = Head(
    message_id="17.0123@stadt.example",
    date=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
    sender='"Bildung in Musterstadt" <kurs@stadt.example>',
    to="ada@schule.example",
    list_id="kurs.stadt.example",
)
LONG_LOOP = "{% for n in range(1000) %}{% for m in range(100) %}" + "x" * 20 + "{% endfor %}" * 2
LONG_NAME = "Landeshauptstadt Dresden, Amt fuer Schulen und lebenslanges Lernen in der Stadt"
TEXT = {
    "subject": "Lektion 1 für {{ first_name }}",
    "text": "{{ greeting }},\n\nes geht los: „Größe“.\n",
    "html": "<p>{{ greeting }},</p><p>es geht los.</p>",
}


def parsed(mail: bytes) -> EmailMessage:
    return message_from_bytes(mail, policy=default)


def made(person: Mapping[str, Any] | None = None, **parts: str) -> EmailMessage:
    return parsed(compose(TEXT | parts, placeholders(person or {}), HEAD))


def body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_an_hour_that_comes_twice_in_autumn_is_told_by_its_offset() -> None:
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    dates = [
        parsed(compose(TEXT, placeholders({}), replace(HEAD, date=twice.replace(fold=fold))))[
            "Date"
        ]
        for fold in (0, 1)
    ]
    assert [date.rpartition(" ")[2] for date in dates] == ["+0200", "+0100"]


def test_a_mail_has_a_text_and_an_html_part_and_the_headers_of_its_kind() -> None:
    mail = made({"first_name": "Ada", "last_name": "Ä"})
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert mail["Subject"] == "Lektion 1 für Ada"
    assert mail["From"] == "Bildung in Musterstadt <kurs@stadt.example>"
    assert mail["To"] == "ada@schule.example"
    assert mail["Message-ID"] == "<17.0123@stadt.example>"
    assert mail["Date"] == "Mon, 23 Nov 2026 09:00:00 +0000"
    assert mail["List-Id"] == "<kurs.stadt.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert all(len(mail.get_all(name, [])) == 1 for name in set(mail.keys()))
    assert body(mail, "plain") == "Guten Tag Ada Ä,\n\nes geht los: „Größe“.\n"
    assert "Guten Tag Ada Ä" in body(mail, "html")


def test_without_html_it_is_a_text() -> None:
    assert made(html="").get_content_type() == "text/plain"


def test_the_same_mail_is_the_same_bytes() -> None:
    values = placeholders({"first_name": "Ada"})
    assert compose(TEXT, values, HEAD) == compose(TEXT, values, HEAD)


def test_lines_are_short_end_in_crlf_and_are_seven_bit() -> None:
    mail = compose(TEXT | {"html": "ü" * 30_043}, placeholders({}), HEAD)
    lines = mail.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert mail.isascii()


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ('"Amt für Bildung" <kurs@stadt.example>', "Amt für Bildung <kurs@stadt.example>"),
        (
            f'"{LONG_NAME}" <kurs@stadt.example>',
            f'"{LONG_NAME}" <kurs@stadt.example>',
        ),
    ],
    ids=["umlaut", "comma in a long name"],
)
def test_the_sender_is_one_address_in_seven_bits(sender: str, shown: str) -> None:
    mail = compose(TEXT, placeholders({}), replace(HEAD, sender=sender))
    assert mail.isascii()
    assert parsed(mail)["From"] == shown
    assert len(parsed(mail)["From"].addresses) == 1


def test_an_address_with_an_umlaut_can_be_mailed() -> None:
    mail = compose(TEXT, placeholders({}), replace(HEAD, to="jürgen@schule.example"))
    assert "To: jürgen@schule.example".encode() in mail


def test_a_name_of_a_million_letters_is_cut_where_it_becomes_a_header() -> None:
    assert len(made({"first_name": "x" * 900_000}, html="", text="x")["Subject"]) == 250


@pytest.mark.parametrize(
    ("person", "greeting"),
    [
        ({}, "Guten Tag"),
        ({"first_name": "Ada"}, "Guten Tag Ada"),
        ({"first_name": "Ada", "last_name": "Licht"}, "Guten Tag Ada Licht"),
        ({"last_name": "Licht"}, "Guten Tag Licht"),
        ({"salutation": "Liebe Ada", "first_name": "A."}, "Liebe Ada"),
    ],
    ids=["nothing known", "first name", "both names", "last name", "salutation"],
)
def test_greeting_is_the_salutation_or_made_of_the_names(
    person: dict[str, Any], greeting: str
) -> None:
    assert placeholders(person)["greeting"] == greeting


@pytest.mark.parametrize(
    ("locale", "stranger", "ada"),
    [
        ("de-simple", "Guten Tag", "Guten Tag Ada"),
        ("en-GB", "Hello", "Hello Ada"),
        ("uk", "Добрий день", "Добрий день, Ada"),
        ("ar", "مرحبًا", "مرحبًا Ada"),
        ("tlh", "Guten Tag", "Guten Tag Ada"),
    ],
)
def test_greeting_is_in_the_language_of_the_text(locale: str, stranger: str, ada: str) -> None:
    assert placeholders({}, locale)["greeting"] == stranger
    assert placeholders({"first_name": "Ada"}, locale)["greeting"] == ada


@pytest.mark.parametrize("name", ["{}", "{0.__class__}", "%s {"])
def test_a_name_that_looks_like_a_marker_is_a_name(name: str) -> None:
    assert placeholders({"first_name": name})["greeting"] == f"Guten Tag {name}"


def test_values_are_escaped_in_html_and_literal_in_text() -> None:
    mail = made({"first_name": "<b>{{ 7*7 }}</b>&"})
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt;&amp;" in body(mail, "html")
    assert "<b>{{ 7*7 }}</b>&" in body(mail, "plain")


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?x=0D=0ABcc:_evil=40x.de?=",
        "a\r\nBcc: evil@x.example",
        "a\nb",
        "a\u2028b",
        "a\x85b",
        "a\x00b",
        "\ud800",
    ],
    ids=["CVE-2024-6923", "CRLF", "LF", "line separator", "NEL", "NUL", "surrogate"],
)
def test_a_value_that_would_become_another_header_stops_that_mail(name: str) -> None:
    with pytest.raises(RenderingError) as caught:
        made({"first_name": name})
    assert caught.value.part == "subject"


@given(st.text(max_size=60))
def test_no_name_changes_headers_or_recipients(name: str) -> None:
    try:
        mail = made({"first_name": name})
    except RenderingError:
        return
    assert sorted(mail.keys()) == sorted(made().keys())
    assert mail["To"] == "ada@schule.example"
    assert mail["From"] == "Bildung in Musterstadt <kurs@stadt.example>"


@pytest.mark.parametrize(
    ("part", "template", "says"),
    [
        ("text", "{{ birthday }}", "'birthday' is undefined"),
        ("html", "{{ first_name.__class__.__mro__ }}", "unsafe"),
        ("subject", "{% if %}", "TemplateSyntaxError"),
        ("text", "{{ 1 / 0 }}", "ZeroDivisionError"),
        ("text", "{{ attrs.role.name }}", "has no attribute"),
        ("text", "{% for n in range(1001) %}{% endfor %}", "range() of more than 1000"),
        ("html", "{{ 'x' * 2000000000 }}", "* is not for texts"),
        ("text", "{{ 9 ** 99999999 }}", "** is not for texts"),
        ("text", LONG_LOOP, "more than 1,000,000 characters"),
    ],
    ids=[
        "unknown placeholder",
        "out of the sandbox",
        "broken",
        "arithmetic",
        "missing attribute",
        "range",
        "times",
        "power",
        "flood",
    ],
)
def test_a_text_that_fails_names_its_part_and_reason(part: str, template: str, says: str) -> None:
    with pytest.raises(RenderingError) as caught:
        compose(TEXT | {part: template}, placeholders({"first_name": "Ada"}), HEAD)
    assert caught.value.part == part
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{{ '%099999999d' % 1 }}", id="a number of a hundred million digits"),
        pytest.param("{{ '%s' % first_name }}", id="formatting"),
        pytest.param(
            "{{ range(1000)|join(range(1000)|join(range(1000)|join('xxxxxxxxxx'))) }}",
            id="joins of joins",
        ),
        pytest.param(
            "{% for a in range(1000) %}{% for b in range(1000) %}"
            "{% if range(1000)|join('xxxxxxxxxx')|length > 3 %}{% endif %}{% endfor %}{% endfor %}",
            id="work that says nothing",
        ),
    ],
)
def test_what_makes_much_of_little_is_stopped(template: str) -> None:
    with pytest.raises(RenderingError):
        fill({"text": template}, "text", {"first_name": "Ada"})


def test_join_escapes_in_html_and_leaves_text_alone() -> None:
    compiled = {"html": "{{ streams|join(', ') }}", "text": "{{ streams|join(' & ') }}"}
    values = {"streams": ["<b>Kurs</b>", "Brief"]}
    assert fill(compiled, "html", values) == "&lt;b&gt;Kurs&lt;/b&gt;, Brief"
    assert fill(compiled, "text", values) == "<b>Kurs</b> & Brief"
