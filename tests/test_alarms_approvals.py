"""The question to the approvers: when it is put, to whom, and what stands in it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from l3mail import alarms, publishing, rounds, triggers
from l3mail.alarms import Asking, Duty
from l3mail.models import APPROVAL
from l3mail.rendering import fill
from l3mail.rounds import Agenda
from l3mail.subscribers import Rules
from tests.fakes.parish import ASKING, BERLIN, berlin, declare, friend
from tests.fakes.village import PEPPER, Village

HEAD, DEPUTY = "leitung@stadt.example", "vertretung@stadt.example"
DUTY = Duty((), "Bildung in Musterstadt", BERLIN, "de")


def link(approval: int, approver: str, until: datetime) -> str:
    return f"https://l3.example/approve/{approval}-{approver.partition('@')[0]}"


def asking(*approvers: str) -> Asking:
    return Asking(approvers, link, lambda _: {"greeting": "Guten Tag"})


def tick(village: Village, at: str, *approvers: str) -> list[dict[str, Any]]:
    """The questions there are once everything is planned that is due at a moment."""
    village.clock.set(berlin(at))
    planner = alarms.asker(DUTY, asking(*(approvers or (HEAD,))))
    rules = Rules(PEPPER, BERLIN, "de")
    rounds.run(village.database, village.clock, Agenda(rules, ASKING.question, planners=(planner,)))
    rows = [row for row in village.rows() if row["slug"] == "notice/approval"]
    return sorted(rows, key=lambda row: int(row["id"]))


def part(village: Village, row: dict[str, Any], name: str) -> str:
    (text,) = village.do(publishing.load, [row["message_id"]]).values()
    return fill(text.compiled, name, {})


def yearly(village: Village, at: str = "09:00") -> None:
    """A mailing for 8 September that needs a yes, and two people it is for."""
    village.clock.set(berlin("2027-09-01 12:00"))
    declare(village, trigger="yearly", on="09-08", at=at, approval="required", valid_for="2d")
    for name in ("ada", "bea"):
        friend(village, name, joined=berlin("2024-01-10 12:00"))


HOURS = {
    "due at nine: at eight": ("09:00", "2027-09-08 07:59", "2027-09-08 08:00"),
    "due at seven: at eight, though it is open before": (
        "07:00",
        "2027-09-08 07:30",
        "2027-09-08 08:00",
    ),
    "due at night: when it is opened": ("00:15", "2027-09-07 23:00", "2027-09-07 23:15"),
}


@pytest.mark.parametrize(("due", "before", "asked"), HOURS.values(), ids=HOURS)
def test_it_is_asked_at_eight_or_when_it_is_opened_later(
    village: Village, due: str, before: str, asked: str
) -> None:
    yearly(village, due)
    assert tick(village, before) == []
    (row,) = tick(village, asked)
    (approval,) = village.rows(APPROVAL)
    assert row["occurrence"] == f"notice:approval:{approval['id']}"
    assert (row["purpose"], row["kind"], row["address"]) == ("staff", "notice", HEAD)
    assert row["lapses_at"] == approval["lapses_at"]
    assert len(tick(village, asked)) == 1


def test_what_is_asked(village: Village) -> None:
    yearly(village)
    village.publish("lifecycle/gruss", text="Liebe Leute,\n\nheute ist Tag. Mehr: x@y.example\n")
    (row,) = tick(village, "2027-09-08 08:00")
    number = village.rows(APPROVAL)[0]["id"]
    assert part(village, row, "subject") == "[Bildung in Musterstadt] Freigeben? Lektion"
    assert part(village, row, "text") == (
        "Freigeben? Lektion\n\n"
        "lifecycle/gruss (2027) soll am 08.09.2027, 09:00 Uhr an 2 Personen gehen und wartet auf"
        " Ihre Freigabe.\n\n"
        "So beginnt sie\n\n> Liebe Leute,\n>\n> heute ist Tag. Mehr: …\n\n"
        f"Ganz ansehen und entscheiden:\nhttps://l3.example/approve/{number}-leitung\n\n"
        "Der Link gilt für Sie persönlich; bitte leiten Sie ihn nicht weiter. Oder mit einem"
        f" Befehl: `l3mail triggers approve {number}` oder `l3mail triggers reject {number}`.\n\n"
        "Entscheidet bis 11.09.2027, 00:00 Uhr niemand, wird sie nicht gesendet.\n\n"
        "-- \nBildung in Musterstadt\n"
    )
    html = part(village, row, "html")
    assert f'<a href="https://l3.example/approve/{number}-leitung">' in html
    assert "<blockquote>\n<p>Liebe Leute,</p>\n<p>heute ist Tag. Mehr: …</p>\n" in html


def test_each_approver_gets_a_link_of_their_own_also_one_named_later(village: Village) -> None:
    yearly(village)
    tick(village, "2027-09-08 08:00")
    rows = tick(village, "2027-09-08 08:10", HEAD, DEPUTY)
    assert [row["address"] for row in rows] == [HEAD, DEPUTY]
    assert "-vertretung" in part(village, rows[1], "text")


@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_what_is_decided_is_asked_no_more(village: Village, decision: Any) -> None:
    yearly(village, "07:00")
    tick(village, "2027-09-08 07:30")
    (batch,) = village.do(triggers.pending, village.now)
    village.do(triggers.decide, batch.id, decision, "eva", village.now)
    assert tick(village, "2027-09-08 08:00") == []


def test_nobody_is_asked_where_nobody_may_approve(village: Village) -> None:
    yearly(village)
    village.clock.set(berlin("2027-09-08 08:00"))
    planner = alarms.asker(DUTY, asking())
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question, planners=(planner,))
    rounds.run(village.database, village.clock, agenda)
    assert [row for row in village.rows() if row["kind"] == "notice"] == []
    assert planner.next_moment is not None
    assert village.do(planner.next_moment, village.now, agenda) is None


def test_the_hour_is_foreseen(village: Village) -> None:
    yearly(village, "07:00")
    tick(village, "2027-09-08 06:30", "x@stadt.example")
    planner = alarms.asker(DUTY, asking(HEAD))
    agenda = Agenda(Rules(PEPPER, BERLIN, "de"), ASKING.question)
    moment = village.do(planner.next_moment, village.now, agenda)
    assert moment == village.now + timedelta(minutes=90)
