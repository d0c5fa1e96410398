"""Why a person did or didn't get each mail, as the operator reads it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from l3mail import courses, outbox
from l3mail.models import CAMPAIGN, DELIVERY, ENROLLMENT, MESSAGE, SEGMENT, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import Outcome
from tests.fakes.desk import TUESDAY, Desk, at_a_desk
from tests.test_courses import deliver, enroll, plan, school, tick

ADA = "ada@schule.example"


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        school(desk.village)
        yield desk


def explained(desk: Desk) -> Any:
    return desk.json("explain", ADA, at=desk.village.now)


def test_what_comes_next_and_when(desk: Desk) -> None:
    enroll(desk.village, desk.learner(ADA))
    found = explained(desk)
    assert (found["email"], found["status"]) == (ADA, "active")
    (journey,) = found["enrollments"]
    assert journey["next_message"] == "kurs/01"
    assert journey["next_due_at"] == "2026-11-30T10:00:00+01:00"
    assert journey["kept_back_by"] == []
    (stream,) = found["subscriptions"]
    assert (stream["stream"], stream["status"]) == ("kurs", "confirmed")
    assert "course kurs: active, next kurs/01 on Mon 2026-11-30 10:00" in desk.run("explain", ADA)


def test_what_came_is_told_with_its_moment(desk: Desk) -> None:
    enroll(desk.village, desk.learner(ADA))
    desk.village.clock.advance(timedelta(days=6))
    tick(desk.village)
    (mail,) = explained(desk)["deliveries"]
    assert (mail["message"], mail["status"]) == ("kurs/01", "accepted")
    assert mail["why"] == "accepted by the mail server"
    assert mail["ended_at"] == "2026-11-30T10:00:00+01:00"
    assert "accepted by the mail server, Mon 2026-11-30 10:00" in desk.run("explain", ADA)


@pytest.mark.parametrize(
    ("hinder", "ground"),
    [
        pytest.param(lambda v: v.suppress(1, "complaint"), "suppressed", id="barred"),
        pytest.param(
            lambda v: v.change(SUBSCRIBER, 1, restricted_at=v.now), "restricted", id="restricted"
        ),
        pytest.param(
            lambda v: v.change(SUBSCRIPTION, 1, state="unsubscribed"), "unsubscribed", id="left"
        ),
        pytest.param(
            lambda v: v.change(SUBSCRIPTION, 1, state="unconfirmed"), "not confirmed", id="unasked"
        ),
        pytest.param(
            lambda v: v.do(outbox.halt, "kind", "lesson", "eva", v.now),
            "kind lesson is halted since 2026-11-24 by eva",
            id="halted",
        ),
        pytest.param(
            lambda v: v.change(MESSAGE, 1, superseded_at=v.now),
            "nothing is published under this slug",
            id="unpublished",
        ),
        pytest.param(
            lambda v: v.do(courses.pause, 1, None, v.now), "the learner pauses", id="paused"
        ),
    ],
)
def test_what_keeps_the_next_lesson_back_is_named(desk: Desk, hinder: Any, ground: str) -> None:
    enroll(desk.village, desk.learner(ADA))
    hinder(desk.village)
    (journey,) = explained(desk)["enrollments"]
    assert journey["kept_back_by"] == [ground]
    assert f"kept back: {ground}" in desk.run("explain", ADA)


def test_a_halt_of_something_else_keeps_nothing_back(desk: Desk) -> None:
    enroll(desk.village, desk.learner(ADA))
    desk.village.do(outbox.halt, "kind", "newsletter", "eva", desk.village.now)
    assert explained(desk)["enrollments"][0]["kept_back_by"] == []


def test_a_suppression_is_told_with_reason_and_day(desk: Desk) -> None:
    desk.village.suppress(desk.learner(ADA), "complaint")
    found = explained(desk)
    assert found["status"] == "suppressed"
    assert found["suppressed"]["reason"] == "complaint"
    assert "suppressed since Tue 2026-11-24 10:00: complaint" in desk.run("explain", ADA)


def test_a_waiting_mail_says_why_it_waits_and_whether_it_will_go(desk: Desk) -> None:
    person = desk.learner(ADA)
    campaign = desk.village.campaign()
    desk.village.delivery(person, "newsletter", campaign_id=campaign, slug="newsletter/2026-12")
    desk.village.change(
        CAMPAIGN, campaign, paused_at=desk.village.now, paused_reason="our sender was refused"
    )
    desk.village.suppress(person, "never")
    (mail,) = explained(desk)["deliveries"]
    assert mail["why"] == (
        "waits to be sent; its campaign is paused: our sender was refused;"
        " will not be sent as things are: suppressed"
    )


def test_campaigns_without_a_mail_for_them_say_why(desk: Desk) -> None:
    village = desk.village
    person = desk.learner(ADA)
    village.subscribe(person, village.stream("newsletter", "newsletter"))
    village.insert(SEGMENT, name="alle", expression='received("kurs/01")', saved_at=village.now)
    gone, to_come = village.campaign("newsletter/1"), village.campaign("newsletter/2")
    village.change(CAMPAIGN, gone, planned_at=village.now - timedelta(days=3))
    village.change(CAMPAIGN, to_come, segment="alle")
    village.delivery(person, "newsletter", campaign_id=village.campaign("newsletter/3"))
    found = {one["message"]: (one["status"], one["why"]) for one in explained(desk)["campaigns"]}
    assert found == {
        "newsletter/1": ("passed by", "had not confirmed newsletter when it was planned"),
        "newsletter/2": ("scheduled", "its segment alle doesn't select them now"),
    }
    village.delivery(person, slug="kurs/01", state="accepted", ended_at=village.now)
    assert "its segment alle selects them now" in desk.run("explain", ADA)


def test_a_put_off_mail_is_told_with_the_relays_words_and_the_next_attempt(desk: Desk) -> None:
    enroll(desk.village, desk.learner(ADA))
    desk.village.clock.advance(timedelta(days=6))
    plan(desk.village)
    deliver(desk.village, Outcome.DEFERRED)
    desk.village.change(DELIVERY, 1, reply_code=450, reply_text="4.2.1 greylisted \x1b[31m")
    (mail,) = explained(desk)["deliveries"]
    assert mail["why"].startswith("the mail server said: later; 450 4.2.1 greylisted")
    assert mail["next_attempt_at"] > mail["due_at"]
    text = desk.run("explain", ADA)
    assert "next attempt" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("state", "values", "why"),
    [
        ("failed", {"reason": "person", "reply_code": 550, "reply_text": "5.1.1 no such user"},
         "failed; person; 550 5.1.1 no such user"),
        ("cancelled", {"reason": "unsubscribed"}, "was not sent; unsubscribed"),
        ("lapsed", {"reason": "its moment passed before it could be sent"},
         "was not sent; its moment passed before it could be sent"),
        ("uncertain", {}, "handed over, but the answer got lost"),
        ("held", {"reason": "nothing is published under this slug"},
         "held back; nothing is published under this slug"),
        ("accepted", {"uncertain_at": TUESDAY},
         "accepted by the mail server; after it had been in doubt, so it may have come twice"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)  # fmt: skip
def test_every_state_has_its_words(
    desk: Desk, state: str, values: dict[str, Any], why: str
) -> None:
    desk.village.delivery(desk.learner(ADA), state=state, **values)
    assert [mail["why"] for mail in explained(desk)["deliveries"]] == [why]


def test_an_open_request_and_an_ended_course_are_told(desk: Desk) -> None:
    person = desk.learner(ADA)
    enroll(desk.village, person)
    desk.village.signup(person)
    desk.village.change(
        ENROLLMENT, 1, state="cancelled", next_due_at=None, ended_at=desk.village.now
    )
    text = desk.run("explain", ADA)
    assert "asked to join kurs; may be confirmed until Tue 2026-12-01" in text
    assert "course kurs: cancelled on Tue 2026-11-24 10:00" in text


def test_the_newest_mails_come_last_and_the_limit_keeps_them(desk: Desk) -> None:
    person = desk.learner(ADA)
    for number in range(4):
        desk.village.delivery(person, slug=f"kurs/0{number}")
    found = desk.json("explain", ADA, "--limit", "2")
    assert [mail["message"] for mail in found["deliveries"]] == ["kurs/02", "kurs/03"]


def test_an_unknown_address_is_one_line_and_exit_1(desk: Desk) -> None:
    desk.run("explain", "fremd@schule.example", code=1)
    assert desk.error == "l3mail: fremd@schule.example is not known here\n"
    desk.run("explain", "kein-at", code=1)
    assert len(desk.error.splitlines()) == 1


def test_a_confirmation_that_the_limit_keeps_back_is_told(desk: Desk) -> None:
    village, now = desk.village, desk.village.now
    person = desk.learner(ADA)
    first = village.signup(person, confirmed_at=now)
    mail = village.request(person, first, state="accepted", first_started_at=now)
    again = village.signup(person, requested_at=now + timedelta(minutes=2))
    text = desk.run("explain", ADA)
    assert (
        "no mail yet for the request of Tue 2026-11-24 10:02: at most 1 a day to an address,"
        " the last began Tue 2026-11-24 10:00; the next may go Wed 2026-11-25 10:00"
    ) in text
    assert explained(desk)["signups"][0]["limit"]["next_at"] == "2026-11-25T10:00:00+01:00"
    for days in (10, 20):
        old = village.signup(person, confirmed_at=now)
        began = now - timedelta(days=days)
        village.request(person, old, state="accepted", first_started_at=began)
    assert (
        "at most 3 in 30 days to an address, the last began Tue 2026-11-24 10:00;"
        " the next may go Fri 2026-12-04 10:00"
    ) in desk.run("explain", ADA)
    village.change(DELIVERY, mail, first_started_at=now + timedelta(days=400))
    assert "no mail yet" not in desk.run("explain", ADA), "a clock that ran ahead bars nobody"
    village.change(DELIVERY, mail, state="queued", first_started_at=None)
    assert "and another one waits to be sent" in desk.run("explain", ADA)
    village.change(DELIVERY, mail, signup_id=again)
    assert "no mail yet" not in desk.run("explain", ADA)


def test_what_is_scheduled_does_not_come_to_the_suppressed(desk: Desk) -> None:
    village = desk.village
    person = desk.learner(ADA)
    village.subscribe(person, village.stream("newsletter", "newsletter"))
    village.campaign("newsletter/2")
    village.suppress(person, "complaint")
    assert [one["why"] for one in explained(desk)["campaigns"]] == ["but suppressed"]
    assert "newsletter/2: scheduled" in desk.run("explain", ADA)
