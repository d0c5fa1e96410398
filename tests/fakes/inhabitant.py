"""Somebody of whom a village knows all it can: a canary in every place that may hold words."""

from dataclasses import dataclass
from typing import Any

from l3mail import certificates, events, subscribers, suppressions
from l3mail.addresses import address_key, parse_address
from l3mail.models import (
    DELIVERY,
    ENROLLMENT,
    LINK_REQUEST,
    STREAM,
)
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.village import PEPPER, Village

QUESTIONS = [
    {
        "name": "q1",
        "kind": "quiz",
        "text": "Was war neu?",
        "options": [{"value": "a", "text": "Alles", "right": True}],
    }
]


@dataclass
class Inhabitant:
    """A person, their number, and the words that stand for them, each in one place only."""

    village: Village
    address: str
    id: int
    canaries: tuple[str, ...]

    @property
    def key(self) -> bytes:
        return address_key(parse_address(self.address), PEPPER)

    def erase(self, **more: Any) -> None:
        Newcomer(self.village, self.address).erase(self.id, **more)


def settled(
    village: Village,
    address: str = "ada@schule.example",
    mark: str = "Ada",
    birthday: str = "1980-05-17",
) -> Inhabitant:
    """Somebody with something in every table that may speak of people."""
    if "newsletter" not in {row["slug"] for row in village.rows(STREAM)}:
        settle(village)
    marks: list[str] = []

    def canary(of: str) -> str:
        marks.append(f"{mark}Kanarienvogel{of}")
        return marks[-1]

    one = Newcomer(village, address)
    values = {
        "first_name": canary("Vorname"),
        "last_name": canary("Nachname"),
        "salutation": canary("Anrede"),
        "district": canary("Stadtteil"),
        "birthday": birthday,
        "attributes": {"role": canary("Rolle")},
        "tracking": True,
    }
    one.sign_up(values=values, source=canary("Quelle"), locale="de")
    one.read_mail()
    one.confirm()
    one.read_mail()
    village.clock.advance(A_DAY)
    later = {"first_name": canary("Spaeter")}
    one.sign_up("newsletter", values=later, source=canary("Aushang"))
    village.do(subscribers.request_link, RULES, parse_address(address), village.now)
    person = one.person
    marks += [address, birthday]
    _write_to_mails(village, person, canary)
    _act(village, person, canary)
    _certify(village, person, canary("Urkunde"))
    note = canary("Sperre")
    village.do(suppressions.suppress, {one.key}, "operator", village.now, note)
    return Inhabitant(village, address, person, tuple(marks))


def _write_to_mails(village: Village, person: int, canary: Any) -> None:
    mails = [row for row in village.rows(DELIVERY) if row["subscriber_id"] == person]
    village.change(
        DELIVERY, mails[0]["id"], details={"x": canary("Brief")}, reply_text=canary("Antwort")
    )
    for request in village.rows(LINK_REQUEST):
        if request["subscriber_id"] == person:
            village.change(LINK_REQUEST, request["id"], request_values={"x": canary("Link")})


def _act(village: Village, person: int, canary: Any) -> None:
    """Answers, openings, what came back: one fact of each kind."""
    text = village.publish("kurs/01-start", questions=QUESTIONS, text=f"Text {person}")  # type: ignore[arg-type]
    (link, *_) = village.number_links(text, "https://stadt.example/", name="mehr")
    lesson = village.delivery(person, slug="kurs/01-start", message_id=text, state="accepted")
    about = {"at": village.now, "subscriber_id": person, "delivery_id": lesson, "message_id": text}
    said = {"value": "a", "comment": canary("Kommentar")}
    facts: list[dict[str, Any]] = [
        about | {"kind": "answered", "name": "q1", "data": said},
        about | {"kind": "interested", "name": "video"},
        about | {"kind": "done", "name": "2026-11-24"},
        about | {"kind": "opened", "verdict": "human"},
        about | {"kind": "clicked", "verdict": "human", "link_id": link},
        *(
            about | {"kind": kind, "data": {"text": canary(kind)}}
            for kind in ("replied", "bounced", "complained")
        ),
    ]
    village.do(events.append, facts)


def _certify(village: Village, person: int, name: str) -> None:
    rows = village.rows(ENROLLMENT)
    (journey,) = (row["id"] for row in rows if row["subscriber_id"] == person)
    village.change(ENROLLMENT, journey, completed_at=village.now)
    village.database.write(
        lambda connection: certificates.issue(
            connection,
            journey,
            name=name,
            title="Der Kurs",
            completed_at=village.now,
            now=village.now,
        )
    )
