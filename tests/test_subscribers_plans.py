"""One person's act reads that person's rows, never a table: on SQLite, by its own account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from l3mail import subscribers
from l3mail.addresses import parse_address
from l3mail.models import LINK_REQUEST
from tests.fakes.newcomer import RULES, Newcomer, settle
from tests.fakes.village import Village

# Tables that grow with people or mails; the rest stays small.
LARGE = {"delivery", "enrollment", "event", "link_request", "signup", "subscriber"}
LARGE |= {"consent", "subscription", "suppression"}


def ask_for_link(ada: Newcomer) -> None:
    ada.village.do(subscribers.request_link, RULES, parse_address(ada.address), ada.village.now)


def move(ada: Newcomer) -> None:
    """Ask for another address, look, take it, and sweep."""
    village, new = ada.village, parse_address("ada@neu.example")
    for _ in range(2):  # the second wish ends the first
        village.do(subscribers.ask_new_address, RULES, ada.person, new, village.now)
    number = max(row["id"] for row in village.rows(LINK_REQUEST) if row["purpose"] == "address")
    village.do(subscribers.look_up_move, number, village.now)
    village.do(subscribers.take_new_address, RULES, number, village.now)
    village.do(subscribers.end_moves, village.now, 100)


ACTS: dict[str, Callable[[Newcomer], object]] = {
    "sign_up": lambda ada: ada.sign_up("kurs", "newsletter", values={"tracking": True}),
    "look_up_signup": lambda ada: ada.village.do(
        subscribers.look_up_signup, *ada.link(), ada.village.now
    ),
    "confirm": lambda ada: ada.confirm(),
    "refuse": lambda ada: ada.refuse(),
    "unsubscribe": lambda ada: ada.unsubscribe(),
    "attest": lambda ada: ada.attest("newsletter"),
    "request_link": ask_for_link,
    "request_link, unknown": lambda ada: ask_for_link(Newcomer(ada.village, "bea@schule.example")),
    "move": move,
    "confirm, unknown": lambda ada: ada.confirm(link=(4711, 1)),
    "standing": lambda ada: ada.village.do(subscribers.standing, ada.person),
    "show": lambda ada: ada.village.do(subscribers.show, ada.person),
    "erase": lambda ada: ada.erase(),
    "plan_confirmations": lambda ada: ada.village.do(
        subscribers.plan_confirmations, RULES, ada.village.now
    ),
}


@pytest.mark.parametrize("state", ["asked", "joined"])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_an_act_scans_no_large_table(
    sqlite_village: Village, act: Callable[[Newcomer], object], state: str
) -> None:
    settle(sqlite_village)
    ada = Newcomer(sqlite_village)
    ada.sign_up()
    ada.read_mail()
    if state == "joined":
        ada.confirm()
        ada.village.clock.advance(timedelta(days=2))
    asked: list[tuple[str, Any]] = []
    engine = ada.village.database.engine

    def note(_1: Any, _2: Any, statement: str, values: Any, _3: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            asked.append((statement, values[0] if many else values))

    event.listen(engine, "before_cursor_execute", note)
    act(ada)
    event.remove(engine, "before_cursor_execute", note)
    steps = [
        (str(row[3]), statement)
        for statement, values in asked
        for row in ada.village.database.read(
            lambda one, s=statement, v=values: one.exec_driver_sql(  # type: ignore[misc]
                f"EXPLAIN QUERY PLAN {s}", v
            ).all()
        )
    ]
    scans = [
        (step, statement)
        for step, statement in steps
        if step.startswith("SCAN")
        and "INDEX" not in step
        and step.split()[1] in LARGE
        # The newest act is the last row by its key: one step, though it is called a scan.
        and "ORDER BY consent.seq DESC" not in statement
    ]
    assert not scans
