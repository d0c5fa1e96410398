"""The starter workspace, from the form to a lesson: every link of every mail, opened by robots."""

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from l3mail import courses
from l3mail.clocks import FixedClock
from l3mail.models import CONSENT, DELIVERY, EVENT, METADATA, SUBSCRIPTION
from l3mail.settings import load_settings
from l3mail.starter import lay_out
from l3mail.web import create_app
from l3mail.wiring import load_tokens, make_rules, open_database, rendered, set_up
from tests.fakes.porch import TestClient, form_of, title_of

SUNDAY = datetime(2026, 11, 22, 9, tzinfo=UTC)
KURS = "digital-kommunizieren"

pytestmark = pytest.mark.slow


class Journey:
    """A laid-out workspace with its door open."""

    def __init__(self, folder: Path) -> None:
        lay_out(folder)
        self.settings = load_settings(folder, {})
        self.clock = FixedClock(SUNDAY)
        set_up(self.settings, by="eva", now=SUNDAY)

    def open(self) -> Iterator["Journey"]:
        with open_database(self.settings) as self.database:
            rules, tokens = make_rules(self.settings), load_tokens(self.settings)
            app = create_app(self.settings, self.database, tokens, self.clock, rules)
            base = self.settings.web.base_url
            with TestClient(app, base_url=base, follow_redirects=False) as self.client:
                yield self

    def rows(self, table: Any = DELIVERY) -> list[dict[str, Any]]:
        return self.database.read(
            lambda connection: [dict(row._mapping) for row in connection.execute(select(table))]
        )

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        return {table.name: self.rows(table) for table in METADATA.sorted_tables}

    def mail(self, kind: str) -> EmailMessage:
        """The mail of a kind, as it would be sent."""
        delivery = next(row for row in self.rows() if row["kind"] == kind)
        raw = rendered(self.settings, self.database, delivery["id"])
        return email.message_from_bytes(raw, policy=email.policy.default)

    def links(self, kind: str) -> list[str]:
        """Every address of ours in a mail: in its headers, its text, its HTML."""
        mail = self.mail(kind)
        said = [str(mail.get("List-Unsubscribe", "")), str(mail.get("List-Help", ""))]
        texts = (part for part in mail.walk() if part.get_content_maintype() == "text")
        said.extend(part.get_content() for part in texts)
        base = re.escape(self.settings.web.base_url)
        return sorted(set(re.findall(rf"{base}/[^\s\"'<>)]*", "\n".join(said))))

    def plan(self) -> None:
        self.database.write(
            lambda connection: courses.plan(connection, self.clock.now(), self.settings.zone)
        )


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Journey]:
    yield from Journey(tmp_path).open()


def test_from_the_form_to_a_lesson_and_out_again(journey: Journey) -> None:
    page = journey.client.get(f"/subscribe?stream={KURS}")
    assert "Ich willige ein" in page.text  # the wording in force stands beside the button
    journey.clock.advance(timedelta(seconds=20))
    form = form_of(page.text) | {"email": ["ada@schule.example"], "first_name": ["Ada"]}
    assert journey.client.post("/subscribe", data=form).status_code == 200

    crawl(journey, "confirmation")
    (confirm,) = [link for link in journey.links("confirmation") if "/confirm/" in link]
    answer = journey.client.post(confirm, data=form_of(journey.client.get(confirm).text))
    assert "Montag, 23. November 2026, 10:00" in answer.text
    assert [row["act"] for row in journey.rows(CONSENT)][-1] == "confirmed"

    journey.clock.set(SUNDAY + timedelta(days=1))
    journey.plan()
    for kind in ("welcome", "lesson"):
        crawl(journey, kind)
    mail = journey.mail("lesson")
    one_click = str(mail["List-Unsubscribe"]).strip("<>")
    answer = journey.client.post(one_click, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, title_of(answer.text)) == (200, "Sie sind abgemeldet")
    assert [row["state"] for row in journey.rows(SUBSCRIPTION)] == ["unsubscribed"]


def crawl(journey: Journey, kind: str) -> None:
    """Open a mail's links as scanners do; each leads somewhere, none changes anything."""
    links = journey.links(kind)
    assert len(links) >= 2, kind
    before = journey.dump()
    for link in links:
        assert journey.client.get(link).status_code in {200, 302}, link
        for method in ("GET", "HEAD", "OPTIONS"):
            for _ in range(5):
                assert journey.client.request(method, link).status_code < 500, link
    assert journey.dump() == before
    assert not [row for row in journey.rows(EVENT) if row["kind"] != "confirmed"]
