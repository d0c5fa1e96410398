"""Openings and clicks in the database: facts of who agrees, counts of the rest, verdicts later."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from l3mail import events, migrations, rounds, segments, subscribers
from l3mail.database import opened
from l3mail.events import Verdict, Visit
from l3mail.events.visits import MOST_A_DAY
from l3mail.models import COUNTER, EVENT, SUBSCRIBER
from l3mail.rounds import Agenda, Round
from l3mail.segments import Question, Vocabulary
from l3mail.subscribers import Rules
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import MONDAY_TEN, PEPPER, Village

BERLIN = ZoneInfo("Europe/Berlin")
LINKS = ("https://a.example", "https://b.example", "https://c.example")
LATER = timedelta(minutes=10)


class Mail:
    """One sent mail with three links, and who visits it."""

    def __init__(self, village: Village, *, tracking: bool = True, links: int = 3) -> None:
        self.village = village
        self.person = village.learner(f"p{len(village.rows())}@schule.example", tracking=tracking)
        self.message = village.publish(subject=str(len(village.rows())))
        self.delivery = village.delivery(self.person, message_id=self.message, state="accepted")
        self.links = village.number_links(self.message, *LINKS[:links], name="eins")

    def visit(self, link: int | None = None, after: float = 0, **values: Any) -> Visit:
        """An opening, or a click on the link of a number."""
        return Visit(
            kind="clicked" if link else "opened",
            at=self.village.now + timedelta(seconds=after),
            message_id=self.message,
            link_id=self.links[link - 1] if link else None,
            **{"delivery_id": self.delivery} | values,
        )

    def record(self, *visits: Visit, mode: str = "consent") -> None:
        self.village.do(events.record_visits, visits, mode=mode, zone=BERLIN)

    def verdicts(self) -> list[str]:
        rows = sorted(self.village.rows(EVENT), key=lambda row: int(row["id"]))
        return [row["verdict"] for row in rows if row["delivery_id"] == self.delivery]

    def counts(self) -> dict[tuple[int, str, date], int]:
        rows = [row for row in self.village.rows(COUNTER) if row["message_id"] == self.message]
        return {(row["link_id"], row["kind"], row["day"]): row["n"] for row in rows}


def settle(village: Village, limit: int = 5_000) -> int:
    return village.do(events.settle, village.now, limit)


@pytest.fixture
def mail(village: Village) -> Mail:
    return Mail(village)


MONDAY = date(2026, 11, 23)
# The person agrees, the mode, whether the token was a person's: facts, counts of it.
RULES = {
    "who agrees": (True, "consent", True, 2, 0),
    "who does not": (False, "consent", True, 0, 2),
    "who agrees, by a token that is nobody's": (True, "consent", False, 0, 2),
    "who agreed before the mode was changed": (True, "aggregate", True, 0, 2),
    "everybody where only counts are kept": (False, "aggregate", False, 0, 2),
    "nobody where nothing is measured": (True, "off", True, 0, 0),
    "nobody at all": (True, "off", False, 0, 0),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_consent_at_the_moment_of_a_visit_decides(
    village: Village, rule: tuple[bool, str, bool, int, int]
) -> None:
    agrees, mode, is_personal, facts, counted = rule
    mail = Mail(village, tracking=agrees)
    of = mail.delivery if is_personal else None
    mail.record(mail.visit(delivery_id=of), mail.visit(2, delivery_id=of), mode=mode)
    assert len(village.rows(EVENT)) == facts
    kinds = {(0, "opened", MONDAY): 1, (mail.links[1], "clicked", MONDAY): 1} if counted else {}
    assert mail.counts() == kinds


def test_a_fact_names_the_person_the_mail_and_the_link_and_nothing_else(mail: Mail) -> None:
    mail.record(mail.visit(2))
    (row,) = mail.village.rows(EVENT)
    assert {name: value for name, value in row.items() if value is not None} == {
        "id": row["id"],
        "kind": "clicked",
        "at": MONDAY_TEN,
        "subscriber_id": mail.person,
        "delivery_id": mail.delivery,
        "message_id": mail.message,
        "link_id": mail.links[1],
        "verdict": "raw",
        "data": {},
    }


def test_counts_add_up_by_link_and_local_day(mail: Mail) -> None:
    nobody = [mail.visit(link, delivery_id=None) for link in (None, None, 1, 2, 2)]
    mail.record(*nobody)
    mail.record(*nobody[:2])
    mail.village.clock.set(datetime(2026, 11, 23, 23, 30, tzinfo=UTC))  # half past midnight there
    mail.record(mail.visit(1, delivery_id=None))
    first, second = mail.links[:2]
    assert mail.counts() == {
        (0, "opened", MONDAY): 4,
        (first, "clicked", MONDAY): 1,
        (second, "clicked", MONDAY): 2,
        (first, "clicked", date(2026, 11, 24)): 1,
    }
    assert mail.village.rows(EVENT) == []


def test_a_count_has_no_room_for_a_person() -> None:
    assert set(COUNTER.c.keys()) == {"message_id", "link_id", "kind", "day", "n"}
    reached = {key.column.table.name for key in COUNTER.foreign_keys}
    assert reached == {"message"}, "a text, which is everybody's"


def test_a_machine_is_a_fact_and_no_count(village: Village) -> None:
    agrees, other = Mail(village), Mail(village, tracking=False)
    for mail in (agrees, other):
        mail.record(mail.visit(verdict="machine"), mail.visit(1, verdict="machine"))
    assert agrees.verdicts() == ["machine", "machine"]
    assert village.rows(COUNTER) == []


def test_a_batch_of_many_people_is_written_at_once(village: Village) -> None:
    mails = [Mail(village, tracking=n % 2 == 0) for n in range(4)]
    mails[0].record(*(mail.visit(1) for mail in mails for _ in range(3)))
    assert [len(mail.verdicts()) for mail in mails] == [3, 0, 3, 0]
    assert [sum(mail.counts().values()) for mail in mails] == [0, 3, 0, 3]
    village.do(events.record_visits, [], mode="consent", zone=BERLIN)


@pytest.mark.parametrize("change", [{"tracking": False}, {"erased_at": MONDAY_TEN}], ids=str)
def test_who_withdrew_or_was_erased_after_the_mail_was_sent_is_only_counted(
    mail: Mail, change: dict[str, Any]
) -> None:
    mail.record(mail.visit(1))
    mail.village.change(SUBSCRIBER, mail.person, **change)
    mail.record(mail.visit(1), mail.visit())
    assert mail.verdicts() == ["raw"]
    assert sorted(mail.counts().values()) == [1, 1]


# However often somebody comes


def test_of_five_thousand_hits_on_one_link_only_the_first_are_kept(mail: Mail) -> None:
    for begin in range(0, 5_000, 500):
        mail.record(*(mail.visit(1, after=n / 100) for n in range(begin, begin + 500)))
    assert len(mail.verdicts()) == MOST_A_DAY
    mail.village.clock.advance(timedelta(hours=1))
    assert settle(mail.village) == MOST_A_DAY
    assert Counter(mail.verdicts()) == {"human": 1, "unsure": MOST_A_DAY - 1}


def test_each_link_the_pixel_and_each_local_day_has_a_ceiling_of_its_own(mail: Mail) -> None:
    for hour in (21, 22, 23):  # midnight is at 23:00 UTC
        mail.village.clock.set(datetime(2026, 11, 23, hour, 30, tzinfo=UTC))
        for link in (None, 1, 2):
            mail.record(*[mail.visit(link, verdict="machine")] * (MOST_A_DAY - 10))
    assert len(mail.verdicts()) == 3 * (MOST_A_DAY + MOST_A_DAY - 10)
    other = Mail(mail.village)
    other.record(other.visit(1))
    assert other.verdicts() == ["raw"]


def test_who_comes_by_another_link_of_a_mail_over_its_ceiling_is_unclear(mail: Mail) -> None:
    """What would show a machine by its shape may be among what was not kept."""
    mail.record(*[mail.visit(1)] * MOST_A_DAY, mail.visit(2))
    assert mail.verdicts()[MOST_A_DAY:] == ["raw"]  # nothing was left out
    mail.record(mail.visit(1), mail.visit(2), mail.visit(3, verdict="machine"), mail.visit())
    assert mail.verdicts()[MOST_A_DAY + 1 :] == ["unsure", "machine", "unsure"]


def test_a_count_of_nobody_has_no_ceiling(mail: Mail) -> None:
    mail.record(*[mail.visit(1, delivery_id=None)] * 300)
    assert list(mail.counts().values()) == [300]


# Settling


def test_ten_minutes_after_what_was_raw_is_judged_once(mail: Mail) -> None:
    mail.record(mail.visit(), mail.visit(2, after=20))
    mail.village.clock.advance(LATER - timedelta(seconds=1))
    assert settle(mail.village) == 0
    mail.village.clock.advance(timedelta(seconds=1))
    assert settle(mail.village) == 1
    assert mail.verdicts() == ["human", "raw"]
    mail.village.clock.advance(timedelta(seconds=20))
    assert settle(mail.village) == 1
    assert mail.verdicts() == ["human", "human"]
    before = mail.village.rows(EVENT)
    mail.village.clock.advance(timedelta(days=1))
    assert settle(mail.village) == 0
    assert mail.village.rows(EVENT) == before


def test_a_scanner_is_told_from_the_person_who_comes_after_it(mail: Mail) -> None:
    scanned = [mail.visit(), *(mail.visit(n, after=n) for n in (1, 2, 3))]
    mail.record(*scanned, mail.visit(None, after=600), mail.visit(2, after=620))
    mail.village.clock.advance(timedelta(hours=1))
    assert settle(mail.village) == 6
    assert mail.verdicts() == ["machine"] * 4 + ["human"] * 2


@pytest.mark.parametrize(("opening", "click"), [("raw", "human"), ("unsure", "unsure")])
def test_only_an_opening_that_was_a_persons_speaks_for_the_only_link(
    village: Village, opening: Verdict, click: Verdict
) -> None:
    mail = Mail(village, links=1)
    mail.record(mail.visit(verdict=opening), mail.visit(1, after=300))
    village.clock.advance(LATER)
    settle(village)  # the opening alone, if it is still to be judged
    village.clock.advance(LATER)
    settle(village)
    assert mail.verdicts()[1] == click


def test_people_do_not_stand_in_each_others_light(village: Village) -> None:
    """Three people, one link each, at one moment: no burst."""
    mails = [Mail(village) for _ in range(3)]
    for number, mail in enumerate(mails, start=1):
        mail.record(mail.visit(number))
    village.clock.advance(LATER)
    assert settle(village) == 3
    assert [mail.verdicts() for mail in mails] == [["human"]] * 3


def test_the_links_of_the_text_decide_what_all_of_them_are(village: Village) -> None:
    few, many = Mail(village, links=2), Mail(village, links=3)
    for mail in (few, many):
        mail.record(mail.visit(1), mail.visit(2, after=5))
    village.clock.advance(timedelta(hours=1))
    settle(village)
    assert few.verdicts() == ["machine", "machine"]
    assert many.verdicts() == ["unsure", "unsure"]


def test_a_withdrawal_before_the_verdict_changes_no_fact_of_before(mail: Mail) -> None:
    mail.record(mail.visit(1))
    mail.village.change(SUBSCRIBER, mail.person, tracking=False)
    mail.village.clock.advance(LATER)
    assert settle(mail.village) == 1
    assert mail.verdicts() == ["human"]
    assert answer(mail, 'clicked("kurs/01")') is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_the_size_of_a_batch_changes_no_verdict(village: Village, limit: int) -> None:
    one_link, three_links = Mail(village, links=1), Mail(village)
    one_link.record(one_link.visit(), one_link.visit(1, after=4), one_link.visit(1, after=5))
    three_links.record(*(three_links.visit(n, after=n) for n in (1, 2, 3)))
    three_links.record(three_links.visit(1, after=30))
    village.clock.advance(timedelta(hours=1))
    batches = []
    while done := settle(village, limit):
        batches.append(done)
    assert (sum(batches), max(batches)) == (7, min(limit, 7))
    assert one_link.verdicts() == ["human", "human", "unsure"]
    assert three_links.verdicts() == ["machine", "machine", "machine", "human"]


def test_raw_events_of_no_mail_do_not_stop_the_rest(mail: Mail) -> None:
    mail.village.do(events.append, [{"kind": "clicked", "at": MONDAY_TEN, "verdict": "raw"}])
    mail.record(mail.visit(1))
    mail.village.clock.advance(LATER)
    assert settle(mail.village) == 2
    assert sorted(row["verdict"] for row in mail.village.rows(EVENT)) == ["human", "unsure"]


def no_segment(*_: object) -> Question:
    raise AssertionError("no campaign here names a segment")


AGENDA = Agenda(Rules(PEPPER, BERLIN, "de"), no_segment)


def test_a_round_settles_and_the_next_moment_is_when_there_is_something_to_settle(
    mail: Mail,
) -> None:
    village = mail.village
    mail.record(mail.visit(1), mail.visit(None, after=60, verdict="unsure"))
    assert village.do(rounds.next_moment, village.now, AGENDA) == MONDAY_TEN + LATER
    village.clock.advance(LATER)
    assert village.do(rounds.next_moment, village.now, AGENDA) is None
    assert village.do(rounds.due, village.now, AGENDA) == Round(settled=1)
    assert rounds.STEPS[0].__name__ == "_settle"  # before anything that asks for verdicts


# Segments read the verdicts


def answer(mail: Mail, question: str) -> bool | None:
    """Whether the person is meant; None where nobody can know."""
    village = mail.village
    vocabulary = Vocabulary(messages=None, segments=None)
    asked = segments.compile(
        segments.parse(question, vocabulary), village.now, BERLIN, tracking_mode="consent"
    )
    columns: tuple[Any, ...] = (asked.yes, asked.unknown)
    query = select(*columns).select_from(SUBSCRIBER).where(SUBSCRIBER.c.id == mail.person)
    ((yes, unknown),) = village.ask(query)
    return None if unknown else bool(yes)


def test_segments_see_a_click_and_an_opening_once_they_are_a_persons(village: Village) -> None:
    mail = Mail(village)
    mail.record(mail.visit(), mail.visit(1, after=20))
    questions = ('opened("kurs/01")', 'clicked("kurs/01")', 'clicked("kurs/01", "eins")')
    assert [answer(mail, question) for question in questions] == [False, False, False]
    village.clock.advance(LATER + timedelta(seconds=20))
    settle(village)
    assert [answer(mail, question) for question in questions] == [True, True, True]
    assert answer(mail, 'clicked("kurs/01", "zwei")') is False


def test_segments_do_not_see_a_scanner(village: Village) -> None:
    mail = Mail(village)
    mail.record(mail.visit(), *(mail.visit(n, after=n) for n in (1, 2, 3)))
    village.clock.advance(timedelta(hours=1))
    settle(village)
    assert [answer(mail, f'{name}("kurs/01")') for name in ("opened", "clicked")] == [False, False]


@pytest.mark.postgres
def test_a_visit_in_the_moment_of_a_withdrawal_waits_for_it() -> None:
    url = fresh_database(postgres_url())
    with opened(url) as database:
        migrations.upgrade(database, MONDAY_TEN)
        mail = Mail(Village(database))
        with database.engine.connect() as leaving, ThreadPoolExecutor(1) as pool:
            # Withdrawn, and not committed yet: a fact about the person must not slip by.
            subscribers.set_preferences(leaving, mail.person, MONDAY_TEN, tracking=False)
            recording = pool.submit(mail.record, mail.visit(1))
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while database.read(lambda connection: connection.execute(waiting).scalar()) == 0:
                assert not recording.done(), "it did not wait"
            leaving.commit()
            recording.result()
        assert mail.verdicts() == []
        assert list(mail.counts().values()) == [1]
    drop_database(url)
