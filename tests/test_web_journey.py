"""The starter workspace, from the form to a lesson: every link of every mail, opened by robots."""

import asyncio
import email
import email.policy
import html
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, insert, select

from l3mail import courses, newsletters, outbox, rounds
from l3mail.clocks import FixedClock
from l3mail.events import Guestbook
from l3mail.models import (
    CONSENT,
    DELIVERY,
    EVENT,
    METADATA,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.outbox import Gate
from l3mail.planning import LANES
from l3mail.settings import FILE, load_settings
from l3mail.starter import lay_out
from l3mail.web import create_app
from l3mail.wiring import load_tokens, make_agenda, make_rules, open_database, rendered, set_up
from tests.fakes.porch import TestClient, form_of, title_of

SUNDAY = datetime(2026, 11, 22, 9, tzinfo=UTC)
KURS = "digital-kommunizieren"
MEASURED = (
    f"lessons/{KURS}/welcome.md",
    f"lessons/{KURS}/01-ziele.md",
    "newsletters/2026-12.md",
    "newsletters/lifecycle/birthday.md",
)
LINKS = """
[Zum Medienzentrum](https://medien.example/a?b=1 "medien")

Siehe die [Beispiele](https://beispiele.example/eins) und <https://stadt.example/zwei>.
"""

pytestmark = pytest.mark.slow


class Journey:
    """A laid-out workspace with its door open; `mode` of tracking, and links that can be counted.

    Of the starter's texts that are measured, the first lesson names one page of somebody else.
    """

    def __init__(self, folder: Path, mode: str = "off") -> None:
        lay_out(folder)
        if mode != "off":
            with (folder / FILE).open("a", encoding="utf-8") as settings:
                settings.write(f'\n[tracking]\nmode = "{mode}"\n')
            for text in MEASURED:
                with (folder / text).open("a", encoding="utf-8") as body:
                    body.write(LINKS)
        self.settings = load_settings(folder, {})
        self.clock = FixedClock(SUNDAY)
        set_up(self.settings, by="eva", now=SUNDAY)

    def open(self) -> Iterator["Journey"]:
        with open_database(self.settings) as self.database:
            rules, tokens = make_rules(self.settings), load_tokens(self.settings)
            self.book = Guestbook(
                self.database, mode=self.settings.tracking.mode, zone=self.settings.zone
            )
            self.app = create_app(
                self.settings, self.database, tokens, self.clock, rules, book=self.book
            )
            base = self.settings.web.base_url
            self.client = TestClient(self.app, base_url=base, follow_redirects=False)
            yield self

    def rows(self, table: Any = DELIVERY) -> list[dict[str, Any]]:
        return self.database.read(
            lambda connection: [dict(row._mapping) for row in connection.execute(select(table))]
        )

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        self.book.flush()
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
        said.extend(html.unescape(part.get_content()) for part in texts)
        base = re.escape(self.settings.web.base_url)
        return sorted(set(re.findall(rf"{base}/[^\s\"'<>)]*", "\n".join(said))))

    def plan(self) -> None:
        self.database.write(
            lambda connection: courses.plan(connection, self.clock.now(), self.settings.zone)
        )

    def begin(self) -> None:
        """Write the intent of all that is queued, as a sender does."""
        now, settings = self.clock.now(), self.settings
        measures = settings.tracking.mode == "consent"

        def verb(connection: Connection) -> None:
            claims = [
                claim
                for lane in LANES
                for claim in outbox.claim(connection, "me", now, lane=lane, after=0, limit=100)
            ]
            gate = Gate("me", now, settings.staff, settings.workspace.locale, measures)
            assert len(outbox.begin(connection, claims, gate)) == len(claims)

        self.database.write(verb)

    def agree(self, streams: list[str]) -> None:
        """Sign up for all this and to be measured, and confirm."""
        page = self.client.get("/subscribe")
        self.clock.advance(timedelta(seconds=20))
        boxes = {"stream": streams, "tracking": ["yes"], "email": ["ada@schule.example"]}
        self.client.post("/subscribe", data=form_of(page.text) | boxes)
        self.begin()
        (confirm,) = [link for link in self.links("confirmation") if "/confirm/" in link]
        form = form_of(self.client.get(confirm).text) | {"tracking": ["yes"]}
        assert self.client.post(confirm, data=form).status_code == 200
        is_asked = self.settings.tracking.mode == "consent"
        assert [row["tracking"] for row in self.rows(SUBSCRIBER)] == [is_asked]


@pytest.fixture
def journey(tmp_path: Path) -> Iterator[Journey]:
    yield from Journey(tmp_path).open()


def test_from_the_form_to_a_lesson_and_out_again(journey: Journey) -> None:
    page = journey.client.get(f"/subscribe?stream={KURS}")
    assert "Ich willige ein" in page.text  # the wording in force stands beside the button
    journey.clock.advance(timedelta(seconds=20))
    form = form_of(page.text) | {"email": ["ada@schule.example"], "first_name": ["Ada"]}
    assert journey.client.post("/subscribe", data=form).status_code == 200
    journey.begin()
    crawl(journey, "confirmation")
    (confirm,) = [link for link in journey.links("confirmation") if "/confirm/" in link]
    answer = journey.client.post(confirm, data=form_of(journey.client.get(confirm).text))
    assert "Montag, 23. November 2026, 10:00" in answer.text
    assert [row["act"] for row in journey.rows(CONSENT)][-1] == "confirmed"

    journey.clock.set(SUNDAY + timedelta(days=1))
    journey.plan()
    journey.begin()
    for kind in ("welcome", "lesson"):
        crawl(journey, kind)
    mail = journey.mail("lesson")
    one_click = str(mail["List-Unsubscribe"]).strip("<>")
    answer = journey.client.post(one_click, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, title_of(answer.text)) == (200, "Sie sind abgemeldet")
    assert [row["state"] for row in journey.rows(SUBSCRIPTION)] == ["unsubscribed"]


@pytest.mark.parametrize(("mode", "times"), [("consent", 50), ("aggregate", 5)])
def test_scanners_of_every_mail_leave_nothing_but_what_they_opened(
    tmp_path: Path, mode: str, times: int
) -> None:
    """All at once and again: whatever else stands in the database is as it was."""
    for journey in Journey(tmp_path, mode).open():
        agree_and_get_every_kind_of_mail(journey)
        kinds = ("confirmation", "welcome", "lesson", "newsletter", "lifecycle")
        links = sorted({link for kind in kinds for link in journey.links(kind)})
        measured = [link for link in links if re.search("/[oc]/", link)]
        # A pixel and three links in each but the confirmation, and the lesson's own one.
        assert len(measured) == 4 * 4 + 1
        before = journey.dump()
        asyncio.run(swarm(journey, links, times))
        after = journey.dump()
        events, counters = after.pop("event"), after.pop("counter")
        assert events[: len(before["event"])] == before.pop("event")
        assert before.pop("counter") == []
        assert after == before
        seen = Counter((row["kind"], row["verdict"]) for row in events if row["verdict"])
        heads = {("opened", "machine"): 4 * times, ("clicked", "machine"): 13 * times}
        gets = {("opened", "raw"): 4 * times, ("clicked", "raw"): 13 * times}
        if mode == "consent":
            assert (seen, counters) == (Counter(heads | gets), [])
            assert settled(journey) == Counter(machine=2 * 17 * times)
        else:
            assert seen == Counter()
            assert [row["n"] for row in counters] == [times] * 17


def agree_and_get_every_kind_of_mail(journey: Journey) -> None:
    journey.agree([KURS, "newsletter", "lifecycle"])
    now = journey.clock.now()
    journey.database.write(
        lambda connection: newsletters.schedule(
            connection,
            "newsletter/2026-12",
            now + timedelta(hours=1),
            segment=None,
            by="eva",
            now=now,
        )
    )
    journey.clock.set(SUNDAY + timedelta(days=1))
    rounds.run(journey.database, journey.clock, make_agenda(journey.settings))
    (model,) = [row for row in journey.rows() if row["kind"] == "newsletter"]
    streams = {row["slug"]: row["id"] for row in journey.rows(STREAM)}
    greeting: dict[str, Any] = {"kind": "lifecycle", "slug": "lifecycle/birthday"}
    greeting |= {"occurrence": "yearly:birthday:2026"}
    greeting |= {"stream_id": streams["lifecycle"], "campaign_id": None, "message_id": None}
    del model["id"]
    journey.database.write(
        lambda connection: connection.execute(insert(DELIVERY).values(**{**model, **greeting}))
    )
    journey.begin()


async def swarm(journey: Journey, links: list[str], times: int) -> None:
    """Open every link by every method that is to change nothing, all at the same time."""
    door = httpx.ASGITransport(journey.app)
    async with httpx.AsyncClient(transport=door, base_url=journey.settings.web.base_url) as client:
        for _ in range(times):
            asked = [
                client.request(method, link)
                for link in links
                for method in ("GET", "HEAD", "OPTIONS")
            ]
            answers = await asyncio.gather(*asked)
            assert {answer.status_code for answer in answers} <= {200, 302, 405}


def settled(journey: Journey) -> Counter[str]:
    """The verdicts ten minutes later."""
    journey.clock.advance(timedelta(minutes=10))
    rounds.run(journey.database, journey.clock, make_agenda(journey.settings))
    return Counter(row["verdict"] for row in journey.rows(EVENT) if row["verdict"])


def crawl(journey: Journey, kind: str) -> None:
    """Open a mail's links as scanners do; each leads somewhere, none changes anything."""
    links = journey.links(kind)
    assert len(links) >= 2, kind
    # Nor is anybody's address in what a server on the way writes down.
    assert not [link for link in links if re.search("@|%40|schule", link)]
    before = journey.dump()
    for link in links:
        assert journey.client.get(link).status_code in {200, 302}, link
        for method in ("GET", "HEAD", "OPTIONS"):
            for _ in range(5):
                assert journey.client.request(method, link).status_code < 500, link
    assert journey.dump() == before
    assert not [row for row in journey.rows(EVENT) if row["kind"] != "confirmed"]
