"""Somebody at one address who signs up, answers, leaves: people's verbs as a test tells them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import consents, courses, publishing, streams, subscribers, suppressions
from l3mail.addresses import address_key, parse_address
from l3mail.courses import Outline
from l3mail.models import CONSENT, DELIVERY, ENROLLMENT, SIGNUP, SUBSCRIPTION, SUPPRESSION
from l3mail.outbox import Outcome
from l3mail.subscribers import Attested, Confirmed, Refused, Request, Rules
from tests.fakes.village import PEPPER, TEXT, Village

RULES = Rules(pepper=PEPPER, zone=ZoneInfo("Europe/Berlin"), fallback_locale="de")
A_DAY = timedelta(hours=25)
COURSE = Outline(
    slug="kurs",
    title="Der Kurs",
    cadence={"weekday": "mon", "at": "10:00"},
    lessons=[("kurs/01-start", "lesson"), ("kurs/02-mehr", "lesson")],
)
NOTICES = ("notice/confirmation", "notice/already-subscribed", "notice/fresh-link")
WORDINGS = {"course": "Ja zum Kurs.", "newsletter": "Ja zur Post.", "tracking": "Ja zum Zählen."}


def settle(village: Village) -> None:
    """Declare a course and a newsletter, and publish what people's verbs send."""
    village.database.write(lambda connection: _settle(connection, village.now))


def _settle(connection: Connection, now: datetime) -> None:
    streams.declare(connection, "newsletter", "newsletter", "Der Newsletter", now)
    stream = streams.declare(connection, "kurs", "course", "Der Kurs", now)
    courses.define(connection, COURSE, stream, now)
    for slug in (*NOTICES, "kurs/welcome", "kurs/01-start", "kurs/02-mehr"):
        publishing.publish(
            connection, slug=slug, locale="de", source="", compiled=TEXT, by="editor", now=now
        )
    for name, text in WORDINGS.items():
        consents.declare_wording(connection, name, "de", text, now)


@dataclass
class Newcomer:
    """One address in a village; what it was mailed is handed over by `read_mail`."""

    village: Village
    address: str = "ada@schule.example"
    seen: list[int] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        return address_key(parse_address(self.address), PEPPER)

    @property
    def id(self) -> int | None:
        return self.village.do(subscribers.find, RULES, parse_address(self.address))

    @property
    def person(self) -> int:
        found = self.id
        assert found is not None
        return found

    def request(self, *slugs: str, **more: Any) -> Request:
        return Request(parse_address(self.address), slugs or ("kurs",), **more)

    def sign_up(self, *slugs: str, **more: Any) -> None:
        self.village.do(subscribers.sign_up, RULES, self.request(*slugs, **more), self.village.now)

    def attest(self, *slugs: str, **more: Any) -> Attested | Refused:
        return self.village.database.write(
            lambda connection: subscribers.attest(
                connection,
                RULES,
                self.request(*slugs, form="operator", **more),
                note="Liste vom Elternabend",
                by="amt",
                now=self.village.now,
            )
        )

    def link(self) -> tuple[int, int]:
        """What the newest sign-up's link carries."""
        rows = self.village.ask(
            select(SIGNUP.c.id, SIGNUP.c.generation)
            .where(SIGNUP.c.address_key == self.key)
            .order_by(SIGNUP.c.id.desc())
        )
        return (rows[0].id, rows[0].generation) if rows else (999, 1)

    def confirm(
        self, *slugs: str, link: tuple[int, int] | None = None, tracking: bool = True
    ) -> Confirmed | None:
        """Press the button; `tracking` is the page's box, which asks where the form asked."""
        number, generation = link or self.link()
        return self.village.do(
            subscribers.confirm,
            RULES,
            number,
            generation,
            slugs or ("kurs", "newsletter"),
            self.village.now,
            tracking=tracking,
        )

    def refuse(self, link: tuple[int, int] | None = None) -> bool:
        return self.village.do(subscribers.refuse, RULES, *(link or self.link()), self.village.now)

    def unsubscribe(self, *slugs: str, person: int | None = None) -> list[str]:
        return self.village.do(
            subscribers.unsubscribe,
            self.person if person is None else person,
            slugs or None,
            self.village.now,
            "page",
        )

    def erase(self, person: int | None = None, **more: Any) -> None:
        who = self.person if person is None else person
        self.village.database.write(
            lambda connection: subscribers.erase(
                connection, RULES, who, self.village.now, by="amt", **more
            )
        )

    def suppress(self, reason: str) -> None:
        self.village.do(suppressions.suppress, {self.key}, reason, self.village.now)

    def read_mail(self) -> list[str]:
        """The mails are sent and accepted; their slugs."""
        sent = self.village.start(lane=0) + self.village.start(lane=1)
        for mail in sent:
            self.village.record(mail, Outcome.ACCEPTED, code=250)
        return [mail.slug for mail in sent]

    def join(self, *slugs: str) -> Confirmed:
        """Sign up, read the mail, confirm; a day passes."""
        self.sign_up(*slugs)
        self.read_mail()
        confirmed = self.confirm(*slugs)
        assert confirmed is not None
        self.read_mail()
        self.village.clock.advance(A_DAY)
        return confirmed

    # -- what is known

    def membership(self, slug: str = "kurs", person: int | None = None) -> tuple[str, int] | None:
        rows = self.village.ask(
            select(SUBSCRIPTION.c.state, SUBSCRIPTION.c.generation).where(
                SUBSCRIPTION.c.subscriber_id == (self.id if person is None else person),
                SUBSCRIPTION.c.stream_id
                == self.village.database.read(lambda one: streams.find(one, slug)),
            )
        )
        return (rows[0].state, rows[0].generation) if rows else None

    def mails(self) -> list[str]:
        """Slugs of all deliveries since last asked."""
        rows = self.village.ask(select(DELIVERY.c.id, DELIVERY.c.slug).order_by(DELIVERY.c.id))
        new = [row for row in rows if row.id not in self.seen]
        self.seen += [row.id for row in new]
        return [row.slug for row in new]

    def enrollments(self, person: int | None = None) -> list[str]:
        who = self.id if person is None else person
        query = select(ENROLLMENT.c.state).where(ENROLLMENT.c.subscriber_id == who)
        return [row.state for row in self.village.ask(query.order_by(ENROLLMENT.c.id))]

    def suppression(self) -> str | None:
        query = select(SUPPRESSION.c.reason).where(SUPPRESSION.c.address_key == self.key)
        return next((str(row.reason) for row in self.village.ask(query)), None)

    def acts(self, person: int | None = None) -> list[str]:
        who = self.id if person is None else person
        whole = CONSENT.c.act.is_not(None)
        query = select(CONSENT.c.act).where(CONSENT.c.subscriber_id == who, whole)
        return [row.act for row in self.village.ask(query.order_by(CONSENT.c.seq))]

    def evidence(self, act: str) -> dict[str, Any]:
        """The content of the newest such act."""
        query = select(CONSENT.c.content).where(CONSENT.c.act == act)
        return dict(self.village.ask(query.order_by(CONSENT.c.seq.desc()))[0].content)
