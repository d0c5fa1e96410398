"""The demo's people: who fills in the form when, and what each of them does later.

Plain values. Knows nothing of pages, rows or mail servers; `timelapse` lets it happen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from l3mail.demo.mailserver import FULL, GREYLISTED, SILENT, UNKNOWN

COURSE = "digital-kommunizieren"
NEWSLETTER = "newsletter"
LIFECYCLE = "lifecycle"
ISSUE = "newsletter/2026-12"
SEGMENT = "nord"
DISTRICT = "Nord"

LEAVES = "bert@kita-sonne.example"
"""Unsubscribes by one click on a Monday, after lesson 3 was queued and before it was sent."""
LEAVES_AT = f"{COURSE}/03-video"
PAUSES = "jana@kita-sonne.example"
FORGETS = "karim@vhs-nord.example"
"""Signs up again for what was confirmed long ago."""
SCANNED = "hanna@bibliothek-west.example"
"""A scanner opens every link of every mail before she does."""
WITHDRAWS = "paul@bibliothek-west.example"
"""Has allowed measuring, and forbids it in mid-course."""
SILENTLY = "uwe@schule-am-park.example"
"""Fills in the form and never opens the mail."""
FOLLOW_UPS = {
    "video": "lifecycle/video-checkliste",
    "newsletter-vorlage": "lifecycle/newsletter-vorlage",
    "ki-leitfaden": "lifecycle/ki-leitfaden",
}
"""What answers the button for an interest."""
BIRTHDAY = "lifecycle/birthday"
YEARLY = "lifecycle/tag-des-ehrenamts"
YEARLY_AT = datetime(2026, 12, 5, 8, 0, tzinfo=UTC)  # Saturday, 9:00 in Berlin
STAFF = "bildung@musterstadt.example"
"""The office: gets the reports, may approve."""

FIRST_SLOT = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)  # Monday, 10:00 in Berlin
BEGIN = FIRST_SLOT - timedelta(minutes=30)
END = FIRST_SLOT + timedelta(weeks=10)

FORESEES_AT = datetime(2026, 10, 20, 11, 30, tzinfo=UTC)
"""When the office asks what is to come: everybody has confirmed by then."""
FORGETS_AT = datetime(2026, 10, 22, 15, 20, tzinfo=UTC)
PAUSES_AT = datetime(2026, 10, 28, 18, 5, tzinfo=UTC)
PAUSE_WEEKS = 2
COFFEE = timedelta(minutes=25)
"""So long what needs approval waits for the office."""
WITHDRAWS_AT = datetime(2026, 11, 5, 19, 40, tzinfo=UTC)
SCHEDULES_AT = datetime(2026, 11, 27, 13, 0, tzinfo=UTC)
ISSUE_AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)  # Tuesday, 10:00 in Berlin

_NAMES = (
    "Ada Bert Clara David Elif Fatima Georg Hanna Ivan Jana Karim Lena"
    " Mehmet Nora Olga Paul Rosa Samir Tilda Yusuf"
).split()
_HOUSES = ("schule-am-park", "kita-sonne", "vhs-nord", "bibliothek-west")
_DISTRICTS = (DISTRICT, "Mitte", "Süd", "")
_HASTY = {"Clara"}
"""Sends the form faster than anybody types: the page asks for one step more."""
_BIRTHDAYS = {
    "Ada": "31.10.1990",  # a Saturday, and a holiday in Saxony
    "Elif": "18.11.",  # says no year
    "Fatima": "29.02.1992",
    "Georg": "7.11.1961",  # without wanting lifecycle mailings: no greeting
    "Ivan": "24.12.1974",
}
_WISHES = {
    "Ada": ("video", "ki-leitfaden"),
    "Elif": ("newsletter-vorlage",),
    "Fatima": ("video",),
    "Hanna": ("video",),
    "Karim": ("video", "newsletter-vorlage"),
    "Olga": ("ki-leitfaden",),
}
"""The interests each presses the button of, when reading the mail that has it."""
_INSISTS = {"Elif"}
"""Presses every button twice: it counts once."""
_DILIGENT = {"Ada", "Clara", "Karim", "Olga"}
"""Read every mail and answer every question; the others answer none, one or two of a mail."""
ALL = 99
_COLLECTS = {"Ada", "Karim"}
"""Fetch their certificate when the last mail of the course offers it."""
_RETHINKS = {"Clara", "Karim"}
"""Read why an answer was not right, and change it."""


_READS_AFTER = (
    timedelta(minutes=25),
    timedelta(hours=1, minutes=40),
    timedelta(hours=3, minutes=10),
    timedelta(hours=6, minutes=50),
    timedelta(hours=21, minutes=15),
    None,
)
"""How long mails lie unread: the habits there are."""
READING = timedelta(seconds=50)
"""From opening a mail to the first click in it."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who fills in the form at `asks_at`; the button is pressed at `confirms_at`.

    Who has no mail to confirm by then comes back later; None: never. `tracking` is the box that
    allows opens and clicks to be measured. Reading habits follow from `habit`, any number.
    `answers` is how many questions of a mail are answered, `rethinks` whether what was wrong is
    then put right. `collects` is whether a certificate is fetched.
    """

    first_name: str
    address: str
    asks_at: datetime
    confirms_at: datetime | None
    streams: tuple[str, ...] = (COURSE,)
    district: str = ""
    locale: str = "de"
    is_hasty: bool = False
    birthday: str = ""
    tracking: bool = False
    wishes: tuple[str, ...] = ()
    insists: bool = False
    habit: int = 0
    answers: int = 0
    rethinks: bool = False
    collects: bool = False

    @property
    def name(self) -> str:
        """What stands on a certificate."""
        return f"{self.first_name} Muster"

    def reads_after(self, nth: int) -> timedelta | None:
        """How long the `nth` mail of a stream lies unread; None: it is never read."""
        after = _READS_AFTER[(self.habit + nth) % len(_READS_AFTER)]
        return after or (_READS_AFTER[0] if self.wishes or self.answers == ALL else None)

    def chooses(self, nth: int, links: Sequence[str]) -> str:
        """Which link of the `nth` mail is followed; "" for none."""
        is_curious = (self.habit + nth) % 3 == 1
        return links[(self.habit + nth) % len(links)] if links and is_curious else ""


def everybody() -> list[Person]:
    """The people in the order they ask, over two weeks and at all hours."""
    addresses = [
        f"{name.lower()}@{_HOUSES[number % len(_HOUSES)]}.example"
        for number, name in enumerate(_NAMES)
    ]
    crowd = [*zip(_NAMES, addresses, strict=True)]
    crowd += [("Gerda", GREYLISTED), ("Vera", FULL), ("Stina", SILENT)]
    people = [_of_crowd(number, *somebody) for number, somebody in enumerate(crowd)]
    return people + _others()


def _of_crowd(number: int, name: str, address: str) -> Person:
    asks_at = FIRST_SLOT + timedelta(hours=13 * number, minutes=7 * number % 60)
    confirms_at = asks_at + timedelta(minutes=11 + 17 * number % 40)
    if address == GREYLISTED:
        confirms_at = asks_at + timedelta(minutes=15)  # before the second attempt: no mail yet
    if number < 2:
        # The first confirms on a Monday at 10:00:00 sharp and begins that moment; the second
        # is one second late and begins a week later.
        asks_at = FIRST_SLOT - timedelta(minutes=20 - 3 * number)
        confirms_at = FIRST_SLOT + timedelta(seconds=number)
    # Every mixture of wanting lifecycle mailings and allowing to measure is there.
    joins = {NEWSLETTER: number % 2 == 0, LIFECYCLE: number % 4 < 2 or address == SCANNED}
    return Person(
        first_name=name,
        address=address,
        asks_at=asks_at,
        confirms_at=confirms_at,
        streams=(COURSE, *(slug for slug, is_so in joins.items() if is_so)),
        district=_DISTRICTS[number // 2 % len(_DISTRICTS)],
        is_hasty=name in _HASTY,
        birthday=_BIRTHDAYS.get(name, ""),
        tracking=number % 4 in {0, 3},
        wishes=_WISHES.get(name, ()),
        insists=name in _INSISTS,
        habit=number,
        answers=_effort(number, name, address),
        rethinks=name in _RETHINKS,
        collects=name in _COLLECTS,
    )


def _effort(number: int, name: str, address: str) -> int:
    if name in _DILIGENT:
        return ALL
    return 0 if address == SCANNED else number % 3


def _others() -> list[Person]:
    def at(day: int, hour: int, minute: int) -> datetime:
        return datetime(2026, 10, day, hour, minute, tzinfo=UTC)

    return [
        Person("Uwe", SILENTLY, at(6, 16, 40), None),
        Person("Nils", UNKNOWN, at(7, 6, 55), None),
        Person(
            "Xenia", "xenia@verein.example", at(8, 11, 10), at(8, 11, 31), locale="en", answers=ALL
        ),
        Person(
            "Wilma",
            "wilma@verein.example",
            at(9, 7, 25),
            at(9, 7, 58),
            locale="de-simple",
            answers=ALL,
            collects=True,
        ),
        Person("Zoe", "zoe@verein.example", at(10, 12, 5), at(10, 12, 9), (NEWSLETTER,), DISTRICT),
    ]
