"""The demo's people and its course: two dozen educators, seven mails."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from l3mail.courses import Outline
from l3mail.demo.mailserver import FULL, GREYLISTED, SILENT, UNKNOWN

STREAM = "digital-sichtbar"
LEAVES = "bert@kita-sonne.example"
"""Unsubscribes on a Monday morning, after the lesson was queued and before it was sent."""

FIRST_DAY = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)  # 10:00 in Berlin, on the second: Monday

COURSE = Outline(
    slug=STREAM,
    title="Digital sichtbar",
    cadence={"weekday": "mon", "at": "10:00"},
    lessons=[
        (f"{STREAM}/01-ziele", "lesson"),
        (f"{STREAM}/02-social-media", "lesson"),
        (f"{STREAM}/03-kurzvideo", "lesson"),
        (f"{STREAM}/04-newsletter", "lesson"),
        (f"{STREAM}/05-ki", "lesson"),
        (f"{STREAM}/06-netzwerk", "lesson"),
        (f"{STREAM}/evaluation", "evaluation"),
    ],
)

TEXTS = {
    "01-ziele": (
        "Wen wollen Sie erreichen?",
        (
            "schreiben Sie in einem Satz auf, wer von Ihrem nächsten Angebot erfahren soll"
            " und was diese Person danach tun kann."
        ),
    ),
    "02-social-media": (
        "Ein Kanal, gut gepflegt",
        (
            "wählen Sie den einen Kanal, auf dem Ihre Leute schon sind, und legen Sie zwei feste"
            " Tage in der Woche dafür fest."
        ),
    ),
    "03-kurzvideo": (
        "Dreißig Sekunden im Hochformat",
        (
            "filmen Sie heute eine Hand, die etwas zeigt: eine Frage, drei Schritte, ein Ergebnis."
            " Untertitel nicht vergessen."
        ),
    ),
    "04-newsletter": (
        "Post, auf die man wartet",
        (
            "ein Newsletter braucht einen Termin, einen Absender mit Namen und eine einzige Bitte"
            " an die Lesenden."
        ),
    ),
    "05-ki": (
        "KI schreibt vor, Sie entscheiden",
        (
            "lassen Sie sich fünf Überschriften vorschlagen, streichen Sie vier, und prüfen Sie in"
            " der letzten jede Tatsache."
        ),
    ),
    "06-netzwerk": (
        "Was hat es gebracht?",
        (
            "zählen Sie Anmeldungen statt Klicks, und fragen Sie eine Kollegin, was bei ihr"
            " angekommen ist."
        ),
    ),
    "evaluation": (
        "Sechs Wochen: Ihre Meinung",
        "antworten Sie auf diese E-Mail mit einem Satz: Was nehmen Sie mit, was fehlte?",
    ),
}
"""Subject and body by lesson."""

_NAMES = (
    "Ada Bert Clara David Elif Fatima Georg Hanna Ivan Jana Karim Lena"
    " Mehmet Nora Olga Paul Rosa Samir Tilda Yusuf"
).split()
_HOUSES = ("schule-am-park", "kita-sonne", "vhs-nord", "bibliothek-west")


@dataclass(frozen=True, slots=True)
class Educator:
    """Somebody who confirms the course at `confirmed_at`; `leaves` before the third lesson."""

    address: str
    first_name: str
    confirmed_at: datetime
    leaves: bool = False


def educators() -> list[Educator]:
    """The people in the order they confirm, over two weeks and at all hours."""
    addresses = [
        f"{name.lower()}@{_HOUSES[number % len(_HOUSES)]}.example"
        for number, name in enumerate(_NAMES)
    ]
    everyone = [*zip(_NAMES, addresses, strict=True)]
    everyone += [("Gerda", GREYLISTED), ("Nils", UNKNOWN), ("Vera", FULL), ("Stina", SILENT)]
    return [
        # The first confirms on a Monday at 10:00:00 sharp and begins that moment; the second
        # is one second late and begins a week later.
        Educator(
            address,
            name,
            FIRST_DAY + (timedelta(seconds=number) if number < 2 else timedelta(hours=13 * number)),
            leaves=address == LEAVES,
        )
        for number, (name, address) in enumerate(everyone)
    ]
