"""A text sent to its editor, and shown in a browser, as an editor types it."""

import email
import email.policy
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from l3mail.database import opened
from l3mail.errors import L3mailError
from l3mail.models import ACTIONS, DELIVERY, MESSAGE, SUBSCRIBER
from l3mail.settings import FILE
from tests.fakes.editor import Editor
from tests.fakes.office import ROOT
from tests.fakes.relay import Relay

ME = "ada@example.org"  # the sender's domain, while l3mail.toml names none
SEND = ("preview", "kurs/01-start", "--send-to", ME, "--yes")
EDITORS = """
[alerts]
editors = ["Ada@zeitung.example.com"]
[relay]
port = {port}
"""


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with Relay() as relay:
        yield relay


@pytest.fixture
def desk(tmp_path: Path, relay: Relay) -> Editor:
    desk = Editor(tmp_path, EDITORS.format(port=relay.port))
    desk.office.fill(1)
    return desk


def sent(desk: Editor, relay: Relay) -> list[Any]:
    """The mails that arrive when all that is queued for the staff is sent."""
    before = len(relay.taken)
    with opened(desk.office.settings.database_url) as database:
        person = update(DELIVERY).where(DELIVERY.c.purpose != "staff").values(state="cancelled")
        database.write(lambda connection: connection.execute(person))
    desk.office.run("worker", "--once")
    return [
        email.message_from_bytes(one.data, policy=email.policy.default)
        for one in relay.taken[before:]
    ]


def staff_rows(desk: Editor) -> list[dict[str, Any]]:
    return [row for row in desk.rows(DELIVERY) if row["purpose"] == "staff"]


def test_a_test_mail_is_a_row_of_the_staffs_and_arrives_as_the_mail_it_would_be(
    desk: Editor, relay: Relay
) -> None:
    said = desk.run(*SEND).stdout
    assert said.startswith(f"kurs/01-start (de) goes to:\n  {ME}\nQueued: 1 test mail")
    (row,) = staff_rows(desk)
    assert (row["state"], row["subscriber_id"], row["slug"]) == ("queued", None, "notice/test")
    (action,) = desk.rows(ACTIONS)
    assert (action["command"], action["counts"]) == (
        "preview kurs/01-start --send-to",
        {"deliveries": 1},
    )
    (mail,) = sent(desk, relay)
    assert (mail["To"], mail["Subject"]) == (ME, "[Test] Lektion")
    assert mail["List-Id"] == "Kurs <kurs.example.org>"
    assert mail["List-Unsubscribe"] == "<http://127.0.0.1:8000/preview>"
    plain, html = (part.get_content() for part in mail.iter_parts())
    assert "Guten Tag alle." in plain
    assert "http://127.0.0.1:8000/preview" in html
    assert "/unsubscribe/" not in plain + html
    assert len(list((desk.office.folder / "state/media").glob("*/tafel.png"))) == 1


def test_a_test_mail_is_filled_for_its_person_when_it_goes_and_rows_hold_nothing_of_them(
    desk: Editor, relay: Relay
) -> None:
    hostile = "=?utf-8?q?x=0D=0ABcc:_evil=40x.example?= <b>{{ 7 * 7 }}"
    with opened(desk.office.settings.database_url) as database:
        named = update(SUBSCRIBER).values(first_name=hostile)
        database.write(lambda connection: connection.execute(named))
    desk.run(*SEND, "--as", "p0@schule.example")
    assert "evil" not in str(desk.rows(MESSAGE)) + str(staff_rows(desk))
    (mail,) = sent(desk, relay)
    plain, html = (part.get_content() for part in mail.iter_parts())
    assert f"Guten Tag {hostile}." in plain
    assert "&lt;b&gt;{{ 7 * 7 }}" in html
    assert mail["Bcc"] is None
    assert mail["To"] == ME


def test_of_somebody_erased_meanwhile_a_test_mail_says_nothing(desk: Editor, relay: Relay) -> None:
    with opened(desk.office.settings.database_url) as database:
        named = update(SUBSCRIBER).values(first_name="Grace")
        database.write(lambda connection: connection.execute(named))
    desk.run(*SEND, "--as", "p0@schule.example")
    desk.run("subscribers", "erase", "p0@schule.example", "--yes")
    (mail,) = sent(desk, relay)
    assert "Guten Tag alle." in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize(
    ("district", "words", "said"),
    [
        ("Nord", ("--as", "p0@schule.example"), True),
        ("Süd", ("--as", "p0@schule.example"), False),
        ("Süd", (), True),
        ("Nord", ("--when", "none"), False),
    ],
)
def test_a_test_mail_has_the_parts_that_its_person_would_get(
    desk: Editor, relay: Relay, district: str, words: tuple[str, ...], said: bool
) -> None:
    desk.shelf.lesson('Für alle.\n\n::: if district == "Nord"\n\nFür den Norden.\n\n:::\n')
    with opened(desk.office.settings.database_url) as database:
        lives = update(SUBSCRIBER).values(district=district)
        database.write(lambda connection: connection.execute(lives))
    desk.run(*SEND, *words)
    (mail,) = sent(desk, relay)
    assert ("Für den Norden." in mail.get_body(("plain",)).get_content()) is said


def test_each_address_gets_one_and_again_whenever_it_is_asked_for(desk: Editor) -> None:
    both = ("--send-to", "Ada@Zeitung.example.com", "--send-to", "ada@zeitung.example.com")
    desk.run("preview", "kurs/01-start", *both, "--yes")
    desk.run("preview", "kurs/01-start", *both, "--yes")
    addresses = [row["address"] for row in staff_rows(desk)]
    assert addresses == ["Ada@zeitung.example.com"] * 2


def test_who_is_not_of_the_staff_or_wants_no_mail_gets_none(desk: Editor) -> None:
    words = ("preview", "kurs/01-start", "--yes", "--send-to")
    stranger = desk.run(*words, "p0@schule.example", code=1)
    assert 'editors = ["p0@schule.example"] below [alerts]' in str(stranger.exception)
    desk.run("subscribers", "add", ME, "--stream", "newsletter")
    desk.run("subscribers", "suppress", ME, "--reason", "never", "--yes")
    assert "suppressed" in str(desk.run(*words, ME, code=1).exception)
    assert staff_rows(desk) == []


def test_without_a_yes_nothing_is_queued(desk: Editor) -> None:
    refused = desk.run(*SEND[:-1], code=1)
    assert "mail it to 1 address?" in refused.output
    assert staff_rows(desk) == []


def test_a_broken_text_is_not_sent(desk: Editor) -> None:
    desk.shelf.lesson("{{ foo }}")
    assert "has errors" in str(desk.run(*SEND, code=1).exception)
    assert staff_rows(desk) == []


def test_nothing_is_sent_where_the_house_would_not_send(tmp_path: Path) -> None:
    desk = Editor(tmp_path, '[relay]\nhost = "mail.stadt.example"\n')
    refused = desk.run(*SEND, code=1)
    assert '"web.base_url" is "http://127.0.0.1:8000"' in str(refused.exception)
    assert staff_rows(desk) == []


@pytest.mark.parametrize(
    "words",
    [
        ("preview",),
        ("preview", "--port", "8001", "kurs/01-start"),
        ("preview", "--serve", "--send-to", ME),
        ("preview", "--serve", "--html", "mail.html"),
        ("preview", "--serve", "--tracking", "off"),
        ("preview", "kurs/01-start", "--send-to", ME, "--tracking", "off"),
        ("preview", "kurs/01-start", "--tracking", "off", "--agreed"),
        ("preview", "kurs/01-start", "--agreed"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(desk: Editor, words: tuple[str, ...]) -> None:
    desk.run(*words, code=2)


LINK = "https://medien.example/a?b=1"
ALL, OWN = "/c/preview-everybody/1", "/c/preview-person/1"


@pytest.mark.parametrize("part", ["--html", "--text"])
def test_a_part_that_can_not_be_written_is_one_clear_line(
    desk: Editor, part: str, tmp_path: Path
) -> None:
    desk.shelf.lesson("Hallo.")
    folder = tmp_path / "nowhere"
    fault = desk.run("preview", "kurs/01-start", part, str(folder / "mail"), code=1).exception
    assert isinstance(fault, L3mailError)
    line = f"{folder / 'mail'} can't be written: there is no folder {folder}; make it first"
    assert str(fault) == line
    for beside in ("", ", in place of what was there"):
        told = desk.run("preview", "kurs/01-start", part, str(tmp_path / "mail")).stdout
        assert told.endswith(f"Wrote {tmp_path / 'mail'}{beside}.\n")
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    kept = os.umask(0)
    os.umask(kept)
    return kept


@pytest.mark.parametrize("mode", ["off", "aggregate", "consent"])
def test_what_each_mode_puts_into_a_mail_is_shown(desk: Editor, mode: str, tmp_path: Path) -> None:
    desk.shelf.lesson(f"Lesen Sie [das]({LINK}).")
    (tmp_path / FILE).write_text(
        (tmp_path / FILE).read_text("utf-8") + f'[tracking]\nmode = "{mode}"\n', "utf-8"
    )
    html, text = tmp_path / "mail.html", tmp_path / "mail.txt"

    def seen(*words: str) -> tuple[str, str, list[str]]:
        """The line of what it measures, where the link leads, and where the pixel is."""
        files = ("--html", str(html), "--text", str(text))
        told = desk.run("preview", "kurs/01-start", *files, *words).stdout
        (line,) = (one for one in told.splitlines() if one.startswith("Tracking:"))
        (led,) = re.findall(r'href="([^"]*)"[^>]*>das<', html.read_text("utf-8"))
        assert led in text.read_text("utf-8")
        pixels = re.findall(r"/o/[^\"]*", html.read_text("utf-8"))
        return line.removeprefix("Tracking:  "), led.partition(":8000")[2] or led, pixels

    expected = {
        "off": ("off: links direct, pixel none", LINK, []),
        "aggregate": (
            "aggregate: links counted for all, pixel counted for all",
            ALL,
            ["/o/preview-everybody.gif"],
        ),
        "consent": (
            "consent, of somebody who did not agree: links counted for all, pixel none",
            ALL,
            [],
        ),
    }
    agreed = (
        "consent, of somebody who agreed: links personal, pixel personal",
        OWN,
        ["/o/preview-person.gif"],
    )
    assert seen() == expected[mode]
    for other, shown in expected.items():
        assert seen("--tracking", other) == shown
    assert seen("--tracking", "consent", "--agreed") == agreed
    _consent(desk, tracking=True)
    theirs = ("--as", "p0@schule.example")
    assert seen(*theirs) == (agreed if mode == "consent" else expected[mode])
    assert seen(*theirs, "--tracking", "consent", "--not-agreed") == expected["consent"]
    told = desk.run("preview", "kurs/01-start", "--tracking", "consent").stdout
    assert f"agreed\tlinks\tpersonal\thttp://127.0.0.1:8000{OWN}" in told
    assert "did not agree\tpixel\tnone\t" in told


def _consent(desk: Editor, *, tracking: bool) -> None:
    with opened(desk.office.settings.database_url) as database:
        saying = update(SUBSCRIBER).values(tracking=tracking)
        database.write(lambda connection: connection.execute(saying))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_preview_prints_its_address_and_ends_with_0(
    desk: Editor, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        desk.office.command("preview", "01-start.md", "--serve", "--as", "p0@schule.example"),
        cwd=ROOT,
        env={**desk.office.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        url = lines.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        page = httpx.get(url, timeout=60)
        base = url.partition("/text/")[0]
        # A page that is open, and waits for news, keeps nobody from leaving.
        with httpx.stream("GET", f"{base}/changes", timeout=60) as news:
            waiting = news.iter_lines()
            next(waiting)
            process.send_signal(number)
            list(waiting)
        lines.read()
    assert "Lektion" in page.text
    assert "p0@schule.example" in page.text
    assert process.wait(timeout=60) == 0


def test_a_port_that_is_taken_is_one_line(desk: Editor, relay: Relay) -> None:
    refused = desk.run("preview", "--serve", "--port", str(relay.port), code=1)
    assert f"can't listen at 127.0.0.1 port {relay.port}" in str(refused.exception)
