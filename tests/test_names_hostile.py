"""A hundred thousand hostile names, on every way a name takes: none is more than a name.

The oracle is what the same mail, page or file is for somebody called X: nothing but the name's own
place may differ. Names are drawn from pieces that have broken mail programs, pages, spreadsheets
and terminals.
"""

import csv
import io
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path
from random import Random
from typing import Any

import pytest
from markupsafe import escape

from l3mail.addresses import NAME_LIMIT, header_safe
from l3mail.errors import HeaderInjectionError, RenderingError, quoted
from l3mail.models import DELIVERY, SUBSCRIBER
from l3mail.rendering import Head, compose, placeholders
from l3mail.rendering.heads import block
from l3mail.settings import load_settings, make_state
from l3mail.subscribers import spreadsheets
from l3mail.subscribers.profiles import line
from l3mail.web.pages import Pages
from l3mail.web.words import read_words
from l3mail.wiring import composer
from tests.fakes.porch import open_settings
from tests.fakes.post import send
from tests.fakes.relay import Relay
from tests.fakes.village import Village

HOW_MANY = 100_000
CVE = "=?utf-8?q?x=0D=0ABcc:_evil=40x.de?="
PIECES = [
    *"Ada Bülent Żółć Ngọc 李 O'Hara -".split(),
    CVE,
    "=?utf-8?b?QmNjOiBldmlsQHguZGU=?=",
    "=?",
    "?=",
    "==?",
    "=\u200b?",
    "=\u200d?",
    "\r\nBcc: evil@x.de",
    "\nSubject: x",
    "\r",
    "\n.\n",
    "\r\n.\r\nMAIL FROM:<evil@x.de>\r\n",
    "\x00",
    "\x1b[2J\x1b]0;x\x07",
    "\x08\x7f\x85\x9b",
    "\u2028",
    "\u2029",
    "\ud800",
    "\udfff",
    "\u202e",
    "\u2066",
    "\u200b\u200c\u200d\ufeff",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u0915\u094d\u200d\u0937",
    "e\u0301\u0323",
    "Z\u0335\u0321\u0489" * 3,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U000e0041\ufffe",
    '"',
    "'",
    "<",
    ">",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<mj-raw>",
    "</title>",
    "&lt;&#60;&",
    "<evil@x.de>",
    ", evil@x.de",
    ";",
    ":",
    "\\",
    "(",
    "@",
    "{{ 7*7 }}",
    "{% for a in range(9) %}",
    "{0.__class__}",
    "${jndi:ldap://x}",
    "%s%n%(name)s",
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+49",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    ";;,,",
    '""',
    "[bold red]x[/]",
    "[link=http://x]",
    "\t",
    "\u00a0\u3000",
    "a" * 250,
    "ü" * 90,
    "",
    " ",
]
SETTINGS = """
[sender]
from = "Bildung <kurs@stadt.example>"
[impressum]
privacy_url = "https://stadt.example/datenschutz"
[web]
base_url = "https://kurse.stadt.example"
"""
HEAD = Head(
    message_id="17.0123@stadt.example",
    date=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
    sender='"Bildung in Musterstadt" <kurs@stadt.example>',
    to="ada@schule.example",
    list_id="kurs.stadt.example",
)
TEXT = {
    "subject": "Lektion 1 für {{ first_name }}",
    "text": "{{ greeting }},\n\nes geht los.\n",
    "html": '<p title="{{ first_name }}">{{ greeting }},</p>',
}
TAG = re.compile(r"<[^>]*>")
FORMULA = tuple("=+-@\t\r")


@pytest.fixture(scope="module")
def names() -> list[str]:
    """As strangers type them."""
    draw = Random(20261123)
    sizes = draw.choices((1, 2, 3, 4, 6), k=HOW_MANY)
    made = ["".join(draw.choices(PIECES, k=size)) for size in sizes]
    return [CVE, *PIECES, *made][:HOW_MANY]


@pytest.fixture(scope="module")
def kept(names: list[str]) -> list[str]:
    """The same as they are kept."""
    return [tame for name in names if (tame := line(name)) is not None]


def portions(names: list[str], size: int) -> Iterator[list[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def headers(mail: bytes) -> list[tuple[str, str]]:
    """All headers but what stands in the subject."""
    return [
        (name, "" if name == "Subject" else str(value))
        for name, value in message_from_bytes(mail, policy=compat32).items()
    ]


def parts(mail: bytes) -> list[str]:
    """What its text and its HTML say."""
    read: Any = message_from_bytes(mail, policy=compat32)
    return [part.get_payload(decode=True).decode() for part in read.get_payload()]


def test_what_is_kept_of_a_name_is_one_line_that_nobody_mistakes(kept: list[str]) -> None:
    assert len(kept) > HOW_MANY * 0.9
    for name in kept:
        assert len(name) <= NAME_LIMIT
        assert "=?" not in name
        assert name == name.strip()
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", name)


def test_no_name_changes_the_head_of_a_mail(names: list[str], kept: list[str]) -> None:
    """Its bytes before and after the subject are those of X's, and a subject is one header."""
    before, _, after = block(HEAD, "Hallo X").partition("Subject: Hallo X\r\n")

    def look(name: str) -> bool:
        try:
            head = block(HEAD, f"Hallo {name}")
        except RenderingError:
            return False
        assert head.startswith(before + "Subject: ")
        assert head.endswith(after)
        lines = head[len(before) : len(head) - len(after)].split("\r\n")
        assert lines.pop() == ""
        assert all(one.startswith(" =?utf-8?q?") for one in lines[1:]), lines
        assert all(one.isascii() and one.isprintable() for one in lines), lines
        return True

    assert all(map(look, kept))
    # Whoever got past the door has no mail rather than a header of their own.
    assert sum(map(look, names[:10_000])) < 10_000


def test_a_parser_sees_the_headers_of_x_and_one_recipient(kept: list[str]) -> None:
    expected = headers(compose(TEXT, placeholders({"first_name": "X"}), HEAD))
    for name in kept[:: len(kept) // 3_000]:
        mail = compose(TEXT, placeholders({"first_name": name}), HEAD)
        assert headers(mail) == expected, ascii(name)
        text, html = parts(mail)
        assert f"Guten Tag {name}".rstrip(" ,") in text, ascii(name)
        assert TAG.findall(html) == [f'<p title="{escape(name)}">', "</p>"]


def test_no_name_changes_a_page(kept: list[str], tmp_path: Path) -> None:
    settings = open_settings(tmp_path)
    pages = Pages(settings, read_words(tmp_path), "")
    rest: dict[str, Any] = {"languages": [], "streams": [], "tracking": "", "refuse": "/refuse/x"}

    def page(some: list[str]) -> str:
        return pages.fill("confirm", "de", rest | {"facts": [("Name", name) for name in some]})

    for some in portions(kept, 1_000):
        told = page(some)
        empty = page(["X"] * len(some))
        assert TAG.findall(told) == TAG.findall(empty)
        assert all(str(escape(name)) in told for name in some[::50])
        assert told.encode("utf-8")


def test_no_name_is_a_formula_or_another_cell(names: list[str]) -> None:
    """Raw ones even: what lies in a database was not always put there by us."""
    for some in portions(names, 10_000):
        rows = [[str(number), name, "end"] for number, name in enumerate(some)]
        for separator in ",;" if some[0] == names[0] else ",":
            written = "".join(spreadsheets.write(rows, separator))
            read = list(csv.reader(io.StringIO(written, newline=""), delimiter=separator))
            assert [[row[0], spreadsheets.unmarked(row[1]), row[2]] for row in read] == rows
            assert not [row[1] for row in read if row[1].startswith(FORMULA)]


def test_no_name_is_more_than_part_of_a_line_in_a_log_or_on_a_terminal(names: list[str]) -> None:
    for name in names:
        told = quoted(name)
        assert told.isprintable()
        assert len(told) < 700


def test_a_queue_of_hostile_people_reaches_their_own_addresses_and_no_others(
    sqlite_village: Village,
    names: list[str],
    kept: list[str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The whole way, from the row to the wire: whose name no header can bear gets no mail."""
    caplog.set_level(logging.DEBUG, "l3mail")
    village = sqlite_village
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
    # A lone surrogate is no text for a database.
    raw = [name for name in names[:400] if name.isascii()][:60]
    called = ["X", *kept[:240], *raw]
    village.publish(**TEXT)
    stream = village.stream()
    people = village.crowd([stream], [{"first_name": name} for name in called])
    shared = {"purpose": "stream", "kind": "lesson", "occurrence": "lesson:1:kurs/01", "lane": 1}
    shared |= {"stream_id": stream, "slug": "kurs/01", "state": "queued"}
    shared |= {"due_at": village.now, "planned_at": village.now}
    village.insert_all(DELIVERY, [shared | {"subscriber_id": person} for person in people])

    with Relay(one_rcpt=True) as relay:
        send(village, relay, compose=composer(settings, village.database))
        assert not relay.violations
        taken = {mail.rcpt_to[0]: mail for mail in relay.accepted}
        assert {len(mail.rcpt_to) for mail in relay.accepted} == {1}

    addresses = {row["id"]: row["address"] for row in village.rows(SUBSCRIBER)}
    named = dict(zip((addresses[person] for person in people), called, strict=True))
    unsafe = {address for address, name in named.items() if not _may_be_a_header(name)}
    assert unsafe
    assert len(unsafe) < 60
    assert taken.keys() == named.keys() - unsafe
    ends = {addresses[row["subscriber_id"]]: row["state"] for row in village.rows()}
    assert {address for address, state in ends.items() if state == "failed"} == unsafe
    kinds = {
        tuple(message_from_bytes(mail.data, policy=compat32).keys()) for mail in taken.values()
    }
    assert len(kinds) == 1
    assert {message_from_bytes(mail.data)["To"] for mail in taken.values()} == taken.keys()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert not [name for name in called if len(name) > 12 and name in said]
    assert "evil" not in said


def _may_be_a_header(name: str) -> bool:
    try:
        header_safe(name)
    except HeaderInjectionError:
        return False
    return True
