"""What needs a person, in order and in words, on both databases."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from l3mail import courses, needs, newsletters, outbox
from l3mail.models import TRIGGER
from l3mail.needs import Cause, Need, Sending, in_short, in_words
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules
from tests.fakes import parish
from tests.fakes.village import MONDAY_TEN, PEPPER, Village

BERLIN = ZoneInfo("Europe/Berlin")
ISSUE = "newsletter/2026-12"


def told(village: Village, *problems: str) -> list[Need]:
    return village.do(needs.look, village.now, problems)


def test_a_house_in_order_needs_nobody(village: Village) -> None:
    village.delivery(village.learner())
    assert told(village) == []


def test_the_most_pressing_comes_first(village: Village) -> None:
    person = village.learner()
    village.delivery(person, state="held", reason="cap")
    village.delivery(person, state="uncertain", next_attempt_at=None)
    village.delivery(person, state="failed", reason="sender", ended_at=village.now)
    long_ago = village.now - timedelta(hours=2)
    village.delivery(person, due_at=long_ago)
    village.stream("newsletter", "newsletter")
    village.publish(ISSUE, stream="newsletter")
    issue = village.do(
        newsletters.schedule, ISSUE, village.now, segment=None, by="me", now=village.now
    )
    village.do(newsletters.pause, issue, village.now, "by me")
    village.do(outbox.halt, "kind", "lifecycle", "me", village.now)
    found = told(village, "no address")
    assert [need.cause for need in found] == [
        Cause.HALTED,
        Cause.REFUSED,
        Cause.WAITING,
        Cause.UNCERTAIN,
        Cause.PAUSED,
        Cause.FAILED,
        Cause.HELD,
    ]
    assert found[0] == Need(Cause.HALTED, "kind lifecycle", 0, village.now, "me")
    assert found[2].at == long_ago


def test_a_relay_that_is_down_and_mails_nobody_sends_need_a_person(village: Village) -> None:
    def of(sending: Sending) -> list[Need]:
        return village.do(needs.look, village.now, sending=sending)

    nobody, down = Sending(nobody=True), Sending("refused", village.now, nobody=False)
    assert of(nobody) == []
    village.delivery(village.learner(), lane=2)
    assert of(nobody) == [], "one may be starting"
    village.clock.advance(timedelta(minutes=2))
    assert of(nobody) == [Need(Cause.UNSENT, n=1)]
    assert of(down) == [Need(Cause.RELAY, at=down.since, because="refused")]
    assert of(Sending()) == []
    village.clock.advance(timedelta(hours=2))
    assert [need.cause for need in of(nobody)] == [Cause.UNSENT]
    village.do(outbox.halt, "everything", "", "me", village.now)
    assert [need.cause for need in of(nobody)] == [Cause.HALTED]


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("locale", ["de", "de-simple", "en", "fr"])
def test_every_cause_has_words_that_say_what_to_do(cause: Cause, locale: str) -> None:
    need = Need(cause, "newsletter/2026-12", 3, MONDAY_TEN, "because of it")
    words = in_words(need, BERLIN, locale)
    assert "{" not in words
    assert "`l3mail " in words or "because of it" in words


def test_a_broken_text_needs_a_person_only_where_somebody_is_to_get_it(village: Village) -> None:
    village.stream("newsletter", "newsletter")
    village.publish(ISSUE, stream="newsletter")
    outline = courses.Outline(
        "kurs", "Kurs", {"every_days": 1, "at": "10:00"}, [("kurs/01", "lesson")]
    )
    village.do(courses.define, outline, village.stream(), village.now)
    broken = {slug: f"{slug}.md" for slug in ("kurs/02", "entwurf/01", ISSUE, "newsletter/2027-01")}

    def subjects() -> list[str]:
        found = village.do(needs.look, village.now, (), broken)
        return [need.because for need in found if need.cause is Cause.BROKEN]

    assert subjects() == ["kurs/02"]
    at = village.now + timedelta(hours=48)
    village.do(newsletters.schedule, ISSUE, at, segment=None, by="me", now=village.now)
    assert subjects() == ["kurs/02", ISSUE]


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_a_name_for_subject_lines(cause: Cause) -> None:
    names = {in_short(cause, "kurs/01", locale) for locale in ("de", "de-simple", "en")}
    assert len(names) == 2
    assert all("{" not in name and len(name) < 60 for name in names)


def test_a_halt_of_our_own_says_why_and_one_of_an_operators_who(village: Village) -> None:
    village.do(outbox.halt, "message", "kurs/01", outbox.BY_ITSELF, village.now)
    village.do(outbox.halt, "kind", "lesson", "me", village.now)
    assert told(village) == [
        Need(Cause.HALTED, "kind lesson", 0, village.now, "me"),
        Need(Cause.REJECTED, "kurs/01", 0, village.now),
    ]


def test_what_waits_for_approval_is_told_with_its_people_as_far_as_they_are_known(
    village: Village,
) -> None:
    village.clock.set(parish.berlin("2027-09-01 12:00"))
    parish.declare(village, trigger="yearly", on="09-08", approval="required")
    parish.friend(village)
    parish.plan(village, "2027-09-08 08:00")
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), parish.ASKING.question)
    until = parish.berlin("2027-09-11 00:00")
    assert told(village) == [Need(Cause.APPROVAL, parish.SLUG, 0, until)]
    foreseen = [Need(Cause.APPROVAL, parish.SLUG, 1, until)]
    assert village.do(needs.look, village.now, agenda=agenda) == foreseen
    assert in_words(foreseen[0], BERLIN) == (
        f"{parish.SLUG} waits for approval until Sat 2027-09-11 00:00, 1 person:"
        f" `l3mail triggers approve {parish.SLUG}`"
    )
    parish.plan(village, "2027-09-08 09:00")
    assert told(village) == foreseen
    village.change(TRIGGER, 1, rule={"trigger": "birthday", "segment": "fort"})
    (_, unasked) = village.do(needs.look, village.now, agenda=agenda)
    assert (unasked.cause, unasked.subject) == (Cause.UNASKED, parish.SLUG)
    assert "fort" in unasked.because
