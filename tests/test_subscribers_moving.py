"""Another address: only it can say yes, whoever asks learns nothing of it, and nothing is lost."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from l3mail import consents, subscribers
from l3mail.addresses import parse_address
from l3mail.database import Database
from l3mail.models import DELIVERY, LINK_REQUEST, METADATA, SIGNUP, SUBSCRIBER, SUBSCRIPTION
from l3mail.outbox import Outcome
from l3mail.subscribers import Move, imports
from l3mail.subscribers.entries import Entry
from l3mail.subscribers.imports import Order
from l3mail.subscribers.spreadsheets import Row
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.village import BACKENDS, Village, ground

NEW = "ada@neu.example"
MAIL, FAREWELL = "notice/new-address", "notice/address-changed"


@pytest.fixture(scope="module", params=BACKENDS)
def soil(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("moving")) as database:
        yield database


@pytest.fixture
def ada(soil: Database) -> Newcomer:
    """Somebody in a course, known by an address of theirs."""
    village = Village(soil)
    village.empty()
    settle(village)
    for slug in (MAIL, FAREWELL):
        village.publish(slug)
    ada = Newcomer(village)
    ada.join()
    return ada


def ask(ada: Newcomer, address: str = NEW, **more: Any) -> str:
    return ada.village.do(
        subscribers.ask_new_address,
        RULES,
        ada.person,
        parse_address(address),
        ada.village.now,
        **more,
    )


def offer(ada: Newcomer) -> int:
    """The number that the newest link to a new address carries."""
    return max(
        int(row["id"]) for row in ada.village.rows(LINK_REQUEST) if row["purpose"] == "address"
    )


def follow(ada: Newcomer, number: int) -> Move | None:
    return ada.village.do(subscribers.look_up_move, number, ada.village.now)


def take(ada: Newcomer, number: int) -> Move | None:
    return ada.village.do(subscribers.take_new_address, RULES, number, ada.village.now)


def state(move: Move | None) -> str | None:
    return None if move is None else move.state


def address_of(ada: Newcomer, person: int) -> Any:
    return ada.village.row(SUBSCRIBER, person)["address"]


def everything(ada: Newcomer) -> dict[str, Any]:
    return {table.name: ada.village.rows(table) for table in METADATA.sorted_tables}


def test_only_the_new_address_can_say_yes_and_all_stays_with_the_person(ada: Newcomer) -> None:
    person, old_key = ada.person, ada.key
    assert ask(ada) == "mailed"
    assert address_of(ada, person) == "ada@schule.example"
    (mail,) = [row for row in ada.village.rows(DELIVERY) if row["slug"] == MAIL]
    assert (mail["kind"], mail["purpose"]) == ("confirmation", "request")
    assert mail["subscriber_id"] != person
    assert ada.read_mail() == [MAIL]
    number = offer(ada)
    before = everything(ada)
    assert follow(ada, number) == Move("open", None)
    assert everything(ada) == before
    assert take(ada, number) == Move("changed", None)
    ada.address = NEW
    assert ada.person == person
    assert address_of(ada, person) == NEW
    assert ada.membership() == ("confirmed", 2)
    assert ada.enrollments() == ["active"]
    told = ada.evidence("address_changed")
    assert told["address_key_before"] == old_key.hex()
    assert told["address_key"] == ada.key.hex()
    assert "link" in told["proved_by"]
    assert [one["message"] for one in told["mails"]] == [MAIL]
    assert "example" not in str(told)
    assert ada.village.database.read(consents.verify).broken_at is None
    tombstone = ada.village.row(SUBSCRIBER, mail["subscriber_id"])
    assert (tombstone["address"], tombstone["address_key"]) == (None, None)
    assert tombstone["erased_at"] is not None


def test_the_same_link_changes_nothing_twice(ada: Newcomer) -> None:
    ask(ada)
    take(ada, offer(ada))
    after = everything(ada)
    assert state(take(ada, offer(ada))) == "changed"
    assert state(follow(ada, offer(ada))) == "changed"
    assert everything(ada) == after
    ada.village.clock.advance(timedelta(days=2))
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert follow(ada, offer_over(ada)) is None


def offer_over(ada: Newcomer) -> int:
    return max(int(row["id"]) for row in ada.village.rows(LINK_REQUEST))


def move(ada: Newcomer) -> None:
    ask(ada)
    ada.read_mail()
    assert state(take(ada, offer(ada))) == "changed"


def test_the_old_address_is_told_and_then_forgotten(ada: Newcomer) -> None:
    person = ada.person
    move(ada)
    (mail,) = ada.village.start(lane=0)
    assert (mail.slug, mail.address, mail.kind) == (FAREWELL, ada.address, "notice")
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.id not in {None, person}  # as long as its mail is under way
    ada.village.record(mail, Outcome.ACCEPTED, code=250)
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.id is None
    assert ada.address not in str(everything(ada))
    assert ada.village.row(SUBSCRIBER, person)["address"] == NEW
    ada.village.clock.advance(timedelta(days=32))
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.key not in {row["address_key"] for row in ada.village.rows(SUBSCRIBER)}


def test_nobody_waits_for_ever_to_tell_the_old_address(ada: Newcomer) -> None:
    move(ada)
    ada.village.clock.advance(RULES.offer_lifetime)
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.read_mail() == []
    assert ada.address not in str(everything(ada))


def test_an_old_address_that_is_barred_is_told_nothing_and_kept_no_longer(ada: Newcomer) -> None:
    ask(ada)
    ada.read_mail()
    ada.suppress("hard_bounce")
    take(ada, offer(ada))
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.read_mail() == []
    assert ada.address not in str(everything(ada))


def test_who_is_erased_leaves_no_old_address_waiting_to_be_told(ada: Newcomer) -> None:
    person = ada.person
    move(ada)
    ada.erase(person)
    assert [word for word in (ada.address, NEW) if word in str(everything(ada))] == []
    assert ada.read_mail() == []


def test_who_moves_back_at_once_is_told_at_the_address_they_leave(ada: Newcomer) -> None:
    person, home = ada.person, ada.address
    move(ada)
    ada.address = NEW
    ask(ada, home)
    assert state(take(ada, offer(ada))) == "changed"
    assert address_of(ada, person) == home
    told = [mail.address for mail in ada.village.start(lane=0) if mail.slug == FAREWELL]
    assert told == [NEW]


def test_the_old_address_is_mailed_no_fresh_link(ada: Newcomer) -> None:
    move(ada)
    ada.village.do(subscribers.request_link, RULES, parse_address(ada.address), ada.village.now)
    assert ada.read_mail() == [FAREWELL]
    farewell = max(int(row["id"]) for row in ada.village.rows(LINK_REQUEST))
    assert ada.village.do(subscribers.redeem_link, farewell, ada.village.now) is None


def test_two_presses_at_once_are_one_change(ada: Newcomer) -> None:
    ask(ada)
    number = offer(ada)
    with ThreadPoolExecutor(2) as pool:
        states = list(pool.map(lambda _: state(take(ada, number)), range(2)))
    assert states == ["changed", "changed"]
    assert (
        ada.acts(ada.village.rows(LINK_REQUEST)[0]["subscriber_id"]).count("address_changed") == 1
    )


def test_what_is_queued_goes_to_the_new_address(ada: Newcomer) -> None:
    ada.village.delivery(ada.person, slug="kurs/01-start", generation=2)
    ask(ada)
    take(ada, offer(ada))
    assert [one.address for one in ada.village.start(lane=1)] == [NEW]


def test_links_that_the_old_address_was_mailed_die(ada: Newcomer) -> None:
    ada.sign_up("newsletter")
    confirm = ada.link()
    fresh = ada.village.link_request(ada.person, purpose="preferences")
    ask(ada)
    take(ada, offer(ada))
    assert ada.village.do(subscribers.redeem_link, fresh, ada.village.now) is None
    assert ada.confirm("newsletter", link=confirm) is None
    assert ada.refuse(link=confirm) is False
    # What was asked is not lost: the new address can still say yes.
    ada.address = NEW
    mails = {mail.slug: mail.address for mail in ada.village.start(lane=0)}
    assert mails == {"notice/confirmation": NEW, FAREWELL: "ada@schule.example"}
    ada.confirm("newsletter")
    assert ada.membership("newsletter") == ("confirmed", 2)


def strange(_: Newcomer) -> None:
    """Nobody has the new address."""


def asking(bea: Newcomer) -> None:
    bea.sign_up("newsletter")


def joined(bea: Newcomer) -> None:
    bea.join()


def left(bea: Newcomer) -> None:
    bea.join()
    bea.unsubscribe()


def erased(bea: Newcomer) -> None:
    bea.join()
    bea.erase()


def run_out(bea: Newcomer) -> None:
    bea.sign_up()
    bea.village.clock.advance(timedelta(days=8))
    bea.village.do(subscribers.purge, bea.village.now, 100)


def barred(reason: str) -> Callable[[Newcomer], None]:
    return lambda bea: bea.suppress(reason)


def restricted(bea: Newcomer) -> None:
    bea.join()
    bea.village.change(SUBSCRIBER, bea.person, restricted_at=bea.village.now)


STATES: dict[str, tuple[Callable[[Newcomer], None], bool, str | None]] = {
    "nobody": (strange, True, "changed"),
    "an open sign-up": (asking, True, "changed"),
    "a sign-up that ran out": (run_out, True, "changed"),
    "somebody erased": (erased, True, "changed"),
    "hard bounce": (barred("hard_bounce"), True, "changed"),
    "never": (barred("never"), False, None),
    "complaint": (barred("complaint"), False, None),
    "operator": (barred("operator"), False, None),
    "somebody in a course": (joined, True, "taken"),
    "somebody who left": (left, True, "taken"),
    "somebody restricted": (restricted, False, "taken"),
}


@pytest.mark.parametrize(("arrange", "mailed", "outcome"), STATES.values(), ids=STATES)
def test_the_state_of_the_new_address_decides(
    ada: Newcomer, arrange: Callable[[Newcomer], None], mailed: bool, outcome: str | None
) -> None:
    bea = Newcomer(ada.village, NEW)
    arrange(bea)
    ada.read_mail()
    person = ada.person
    assert ask(ada) == ("mailed" if mailed else "unmailed")
    assert ada.read_mail() == [MAIL] * mailed
    assert state(follow(ada, offer(ada))) == ("open" if outcome == "changed" else outcome)
    assert state(take(ada, offer(ada))) == outcome
    assert address_of(ada, person) == (NEW if outcome == "changed" else "ada@schule.example")
    if outcome == "changed":
        assert bea.person == person
        assert bea.suppression() is None
    elif outcome == "taken":
        assert bea.person != person
        assert len(ada.village.rows(SUBSCRIPTION)) == 2
    assert ada.village.database.read(consents.verify).broken_at is None


def test_whoever_asks_leaves_the_same_rows_whatever_the_new_address_is(ada: Newcomer) -> None:
    def kinds(arrange: Callable[[Newcomer], None]) -> list[Any]:
        bea = Newcomer(ada.village, f"{arrange.__name__}@neu.example")
        arrange(bea)
        before = {row["id"] for row in ada.village.rows(LINK_REQUEST)}
        ask(ada, bea.address)
        rows = ada.village.rows(LINK_REQUEST)
        return sorted(row["purpose"] for row in rows if row["id"] not in before)

    assert kinds(strange) == kinds(joined) == ["address", "move"]
    pending = ada.village.do(subscribers.pending_move, ada.person, ada.village.now)
    # As it was typed, not as somebody else once wrote it.
    assert pending == "joined@neu.example"


def test_an_open_sign_up_of_the_new_address_ends_and_is_named(ada: Newcomer) -> None:
    bea = Newcomer(ada.village, NEW)
    bea.sign_up("newsletter", values={"first_name": "Bea"})
    number, generation = bea.link()
    ask(ada)
    moved = take(ada, offer(ada))
    assert moved == Move("changed", None, ("Der Newsletter",))
    assert bea.confirm("newsletter", link=(number, generation)) is None
    assert ada.membership("newsletter", person=bea.person) is None
    assert "Bea" not in str(everything(ada))
    # "This wasn't me" still bars the address.
    assert bea.refuse(link=(number, generation))
    assert bea.suppression() == "never"


def test_the_owner_s_page_says_that_an_address_is_taken_and_nothing_is_merged(
    ada: Newcomer,
) -> None:
    bea = Newcomer(ada.village, NEW)
    ask(ada)
    number = offer(ada)
    bea.sign_up("newsletter")  # meanwhile
    bea.confirm("newsletter")
    before = everything(ada)
    assert state(follow(ada, number)) == state(take(ada, number)) == "taken"
    assert everything(ada) == before


@pytest.mark.parametrize("who", ["asker", "new"])
def test_erasing_either_in_between_ends_it(ada: Newcomer, who: str) -> None:
    ask(ada)
    number, person = offer(ada), ada.person
    if who == "asker":
        ada.erase()
    else:
        ada.erase(Newcomer(ada.village, NEW).person)
    assert NEW not in str(everything(ada))
    assert ada.village.do(subscribers.pending_move, person, ada.village.now) is None
    assert follow(ada, number) is None
    assert take(ada, number) is None
    assert address_of(ada, person) == (None if who == "asker" else "ada@schule.example")
    assert ada.read_mail() == []


def test_of_several_who_want_an_address_one_gets_it_and_the_others_wishes_end(
    ada: Newcomer,
) -> None:
    bea = Newcomer(ada.village, "bea@schule.example")
    bea.join()
    ask(bea)
    late = offer(ada)
    ask(ada)
    assert state(take(ada, offer(ada))) == "changed"
    assert ada.village.do(subscribers.pending_move, bea.person, ada.village.now) is None
    assert take(ada, late) is None
    # The row of whoever has it by now, and the mail that asked them, are all that is left of it.
    assert [row["address"] for row in ada.village.rows(SUBSCRIBER)].count(NEW) == 1
    assert NEW not in str(ada.village.rows(LINK_REQUEST))


def test_erasing_at_once_whoever_asks_and_whoever_is_asked_waits_for_nobody_in_a_ring(
    ada: Newcomer,
) -> None:
    ask(ada)
    new = Newcomer(ada.village, NEW).person
    with ThreadPoolExecutor(3) as pool:
        done: list[Future[Any]] = [
            pool.submit(ada.erase, ada.person),
            pool.submit(ada.erase, new),
            pool.submit(take, ada, offer(ada)),
        ]
        assert [one.exception() for one in done] == [None] * 3
    assert [word for word in ("ada@", NEW) if word in str(everything(ada))] == []


def test_a_later_wish_takes_the_place_of_an_earlier_one(ada: Newcomer) -> None:
    ask(ada, "typo@neu.example")
    typo = offer(ada)
    ask(ada)
    assert follow(ada, typo) is None
    assert "typo@" not in str(everything(ada))
    assert ada.read_mail() == [MAIL]
    assert state(take(ada, offer(ada))) == "changed"


def test_a_wish_can_be_withdrawn(ada: Newcomer) -> None:
    ask(ada)
    assert ada.village.do(subscribers.withdraw_move, ada.person, ada.village.now)
    assert take(ada, offer(ada)) is None
    assert NEW not in str(everything(ada))
    assert not ada.village.do(subscribers.withdraw_move, ada.person, ada.village.now)


def test_a_wish_that_nobody_answers_is_forgotten(ada: Newcomer) -> None:
    ask(ada)
    number, holder = offer(ada), Newcomer(ada.village, NEW).person
    ada.read_mail()
    end = RULES.offer_lifetime
    ada.village.clock.advance(end - timedelta(seconds=1))
    assert ada.village.do(subscribers.end_moves, ada.village.now, 100) == 0
    assert state(follow(ada, number)) == "open"
    ada.village.clock.advance(timedelta(seconds=1))
    assert follow(ada, number) is None
    assert take(ada, number) is None
    assert ada.village.do(subscribers.end_moves, ada.village.now, 100) == 2
    assert NEW not in str(everything(ada))
    assert ada.village.row(SUBSCRIBER, holder)["address_key"] is not None
    ada.village.clock.advance(timedelta(days=30))
    assert ada.village.do(subscribers.end_moves, ada.village.now, 100) == 0
    assert ada.village.row(SUBSCRIBER, holder)["address_key"] is None
    assert ada.village.rows(LINK_REQUEST) == []
    assert [row["slug"] for row in ada.village.rows(DELIVERY)].count(MAIL) == 1


def test_a_sign_up_that_runs_out_does_not_take_an_offer_with_it(ada: Newcomer) -> None:
    bea = Newcomer(ada.village, NEW)
    bea.sign_up()
    ada.village.clock.advance(timedelta(days=6, hours=12))
    ask(ada)
    ada.village.clock.advance(timedelta(hours=13))
    ada.village.do(subscribers.purge, ada.village.now, 100)
    assert state(take(ada, offer(ada))) == "changed"


def test_nobody_has_many_addresses_mailed(ada: Newcomer) -> None:
    said = [ask(ada, f"x{n}@neu.example") for n in range(5)]
    assert said == ["mailed"] * 3 + ["too_often"] * 2
    ada.village.clock.advance(A_DAY)
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ask(ada) == "mailed"
    assert ask(ada, "ADA@schule.example") == "same"


def test_an_address_is_not_mailed_by_many(ada: Newcomer) -> None:
    said = []
    crowd = [Newcomer(ada.village, f"p{n}@schule.example") for n in range(5)]
    for one in crowd:
        one.join()
    for one in crowd:
        said.append(ask(one))
        ada.read_mail()
    assert said == ["mailed"] * 3 + ["unmailed"] * 2


def test_by_whatever_door_an_address_is_named_it_is_asked_three_times_in_thirty_days(
    ada: Newcomer,
) -> None:
    stranger = Newcomer(ada.village, NEW)
    asked = []
    for day in range(8):
        if day % 2:
            stranger.sign_up("newsletter")
        else:
            ask(ada)
        asked += ada.read_mail()
        ada.village.clock.advance(A_DAY)
        ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert asked == [MAIL, "notice/confirmation", MAIL]
    ada.village.clock.advance(timedelta(days=30))
    assert ask(ada) == "mailed"


def test_an_address_that_was_only_named_by_somebody_is_mailed_no_fresh_link(ada: Newcomer) -> None:
    ask(ada)
    ada.read_mail()
    ada.village.do(subscribers.request_link, RULES, parse_address(NEW), ada.village.now)
    assert ada.read_mail() == []
    ada.village.do(subscribers.request_link, RULES, parse_address(ada.address), ada.village.now)
    assert ada.read_mail() == ["notice/fresh-link"]


def test_an_old_list_does_not_bring_back_the_address_somebody_moved_away_from(
    ada: Newcomer,
) -> None:
    row = Entry(Row(2, (ada.address,)), ada.request())
    ask(ada)
    ada.read_mail()
    take(ada, offer(ada))
    moved = ada.village.database.read(subscribers.left_behind)
    attest, invite = Order("attest", "amt", "Liste", moved=moved), Order("invite", "amt")
    (refused,) = ada.village.do(imports.take, RULES, [row], attest, ada.village.now).rejections
    assert "moved to another" in refused.reason
    assert ada.read_mail() == [FAREWELL]
    ada.village.do(subscribers.end_moves, ada.village.now, 100)
    assert ada.id is None
    assert ada.village.do(imports.take, RULES, [row], attest, ada.village.now).rejections
    # Whoever reads mail there now may be asked, and once they said yes they are known.
    ada.village.do(imports.take, RULES, [row], invite, ada.village.now)
    assert ada.read_mail() == ["notice/confirmation"]
    ada.confirm()
    news = Entry(Row(2, (ada.address,)), ada.request("newsletter"))
    assert ada.village.do(imports.take, RULES, [news], attest, ada.village.now).joined == 1


def test_two_who_want_each_other_s_address_keep_their_own(ada: Newcomer) -> None:
    bea = Newcomer(ada.village, "bea@schule.example")
    bea.join()
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda pair: ask(*pair), [(ada, bea.address), (bea, ada.address)])
        assert list(said) == ["mailed", "mailed"]
    for row in ada.village.rows(LINK_REQUEST):
        if row["purpose"] == "address":
            assert state(take(ada, row["id"])) == "taken"


def test_an_offer_is_no_fresh_link_and_a_wish_no_offer(ada: Newcomer) -> None:
    ask(ada)
    for row in ada.village.rows(LINK_REQUEST):
        assert ada.village.do(subscribers.redeem_link, row["id"], ada.village.now) is None
        if row["purpose"] == "move":
            assert take(ada, row["id"]) is None
    assert take(ada, 4711) is None
    fresh = ada.village.link_request(ada.person, purpose="preferences")
    assert take(ada, fresh) is None


def test_an_operator_asks_in_the_person_s_name_and_the_evidence_says_so(ada: Newcomer) -> None:
    ask(ada, by="operator")
    ada.read_mail()
    take(ada, offer(ada))
    assert ada.evidence("address_changed")["by"] == "operator"
    assert ada.village.rows(SIGNUP)[0]["address_key"] == Newcomer(ada.village, NEW).key
