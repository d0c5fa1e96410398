"""How the demo's people read: when they open a mail, what they follow, which button they press.

Owns the reading, and keeps what was read among the deeds. Must not know rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from l3mail.demo import answering
from l3mail.demo.evidence import Deeds
from l3mail.demo.mailserver import Arrived
from l3mail.demo.people import READING, Person
from l3mail.demo.visitors import Browser, Page, question_of

Reading = tuple[datetime, Callable[[], str]]
"""When somebody reads, and the reading; it returns what the timeline says of it, "" for nothing."""


class Readers:
    """Everybody with a mailbox, by address."""

    def __init__(
        self,
        people: Mapping[str, Person],
        browser: Browser,
        deeds: Deeds,
        now: Callable[[], datetime],
    ) -> None:
        self._people = people
        self._browser = browser
        self._deeds = deeds
        self._now = now
        self._had: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._seen: set[str] = set()

    def take(self, new: Sequence[Arrived]) -> list[Reading]:
        """What comes of mails that have just arrived; who gets one twice reads it once."""
        readings: list[Reading] = []
        for one in new:
            person = self._people.get(one.address)
            if person is None or not one.stream or one.message_id in self._seen:
                continue
            self._seen.add(one.message_id)
            nth = self._had[one.address]
            self._had[one.address] += 1
            course = self._asked[one.address]
            self._asked[one.address] += bool(one.questions)
            after = person.reads_after(nth)
            if after is None:
                continue
            readings.append((one.at + after, partial(self._open, person, one, course)))
            link = person.chooses(nth, one.measured)
            if link or any(map(one.button, person.wishes)):
                act = partial(self._act, person, one, link)
                readings.append((one.at + after + READING, act))
        return readings

    def _open(self, person: Person, one: Arrived, nth: int) -> str:
        """Read a mail, and answer what it asks at once: another moment for it would take longer."""
        self._browser.open_mail(one.images)
        self._deeds.read[one.address, one.message_id] = self._now()
        said = self._answer(person, one, nth) if one.questions and person.answers else ""
        link = one.link("certificate") if person.collects else ""
        return self._collect(person, link) if link else said

    def _collect(self, person: Person, link: str) -> str:
        paper = self._browser.collect(link, person.name)
        is_genuine = self._browser.verify(paper, person.name)
        self._deeds.collected[person.address] = paper, is_genuine
        return f"{person.first_name} fetches the certificate, and looks its code up"

    def _answer(self, person: Person, one: Arrived, nth: int) -> str:
        """Tap an answer in the mail and go on from page to page; who wonders why, thinks again."""
        link, changed = one.questions[0], []
        link += answering.value_of(person, nth, question_of(link))[0]
        for _ in range(person.answers):
            name = question_of(link)
            value = answering.value_of(person, nth, name)
            page = self._send(person, one, link, value, nth)
            if person.rethinks and value != (known := answering.known(nth, name, value)):
                again = next(way for way in page.questions if question_of(way) == name)
                page = self._send(person, one, again, known, nth)
                changed.append(name)
            onward = [way for way in page.questions if question_of(way) != name]
            if not onward:
                break
            link = onward[0]
        if not changed:
            return ""
        return (
            f"{person.first_name} reads why {' and '.join(changed)} was not right, and changes it"
        )

    def _send(self, person: Person, one: Arrived, link: str, value: str, nth: int) -> Page:
        name = question_of(link)
        page = self._browser.answer(link, value, answering.remark_of(person, nth, name))
        self._deeds.answered[person.address, one.message_id, name].append(value)
        return page

    def _act(self, person: Person, one: Arrived, link: str) -> str:
        if link:
            self._browser.follow(link)
            self._deeds.followed[one.address, one.message_id] = self._now()
        said = []
        for wish in person.wishes:
            if button := one.button(wish):
                for _ in range(2 if person.insists else 1):
                    self._browser.press(button)
                self._deeds.wished[person.address, wish] = self._now()
                said.append(f"{person.first_name} presses the button for {wish}")
        return "; ".join(said)
