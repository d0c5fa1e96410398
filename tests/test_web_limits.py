"""Ceilings on sign-ups: who is counted together, and whose word on an address counts."""

import ipaddress
from datetime import timedelta

import pytest

from l3mail.clocks import FixedClock
from l3mail.sources import Raised
from l3mail.web import limits
from l3mail.web.limits import STOP_AT, Ceilings, Over, Verdict, network_of, visitor
from tests.fakes.village import MONDAY_TEN

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")]


def ceilings(per_network: int = 3, overall: int = 100) -> tuple[Ceilings, FixedClock]:
    clock = FixedClock(MONDAY_TEN)
    return Ceilings(clock, per_network, overall), clock


def test_the_ceiling_asks_for_a_step_and_ten_times_as_much_stops() -> None:
    door, _ = ceilings(3)
    verdicts = [door.knock("192.0.2.7") for _ in range(3 * STOP_AT + 2)]
    assert verdicts[:3] == [Verdict.PASS] * 3
    assert set(verdicts[3 : 3 * STOP_AT]) == {Verdict.STEP}
    assert set(verdicts[3 * STOP_AT :]) == {Verdict.STOP}


def test_neighbours_count_together_and_strangers_do_not() -> None:
    door, _ = ceilings(2)
    assert [door.knock(f"192.0.2.{n}") for n in (1, 2)] == [Verdict.PASS] * 2
    assert door.knock("192.0.2.200") is Verdict.STEP
    assert door.knock("192.0.3.1") is Verdict.PASS
    assert [door.knock(f"2001:db8::{n}") for n in (1, 2)] == [Verdict.PASS] * 2
    assert door.knock("2001:db8::ffff:1") is Verdict.STEP
    assert door.knock("2001:db8:0:1::1") is Verdict.PASS


def test_what_is_long_ago_counts_no_more() -> None:
    door, clock = ceilings(2)
    for _ in range(3):
        door.knock("192.0.2.1")
    assert door.knock("192.0.2.1") is Verdict.STEP
    clock.advance(timedelta(hours=2))
    assert door.knock("192.0.2.1") is Verdict.PASS


def test_a_clock_set_back_gives_nobody_a_new_hour() -> None:
    door, clock = ceilings(1)
    door.knock("192.0.2.1")
    clock.set(MONDAY_TEN - timedelta(days=1))
    assert door.knock("192.0.2.1") is Verdict.STEP


def test_the_ceiling_over_all_holds_for_new_networks_too() -> None:
    door, _ = ceilings(3, 5)
    verdicts = [door.knock(f"192.0.{n}.1") for n in range(60)]
    assert verdicts[:5] == [Verdict.PASS] * 5
    assert set(verdicts[5:]) == {Verdict.STEP}, "all together are slowed down, never shut out"


def test_a_network_that_is_stopped_does_not_count_for_the_others() -> None:
    door, _ = ceilings(2, 25)
    flood = [door.knock("192.0.2.1") for _ in range(10_000)]
    assert flood.count(Verdict.STOP) == 10_000 - 2 * STOP_AT
    assert door.knock("198.51.100.1") is Verdict.PASS


def test_somebody_is_told_once_an_hour_that_all_together_are_too_many() -> None:
    door, clock = ceilings(100, 2)
    told: list[Over] = []
    door.ring = told.append
    heard = []
    for _ in range(5):
        door.knock("192.0.2.1")
        heard.append(len(told))
    assert heard == [0, 0, 1, 1, 1]
    clock.advance(timedelta(hours=1))
    for _ in range(3):
        door.knock("192.0.2.1")
    assert told == [Over(2), Over(2)]
    clock.advance(timedelta(hours=3))
    door.knock("192.0.2.1")
    assert len(told) == 2


# A source whose event is on


HALL = Raised("stadtfest", 40)


def test_what_comes_by_an_event_counts_for_nobody_else() -> None:
    door, _ = ceilings(3, 5)
    assert {door.knock("192.0.2.1", HALL) for _ in range(40)} == {Verdict.PASS}
    assert [door.knock("192.0.2.1") for _ in range(4)] == [Verdict.PASS] * 3 + [Verdict.STEP]


def test_a_network_that_was_closed_is_open_for_who_comes_by_an_event() -> None:
    door, _ = ceilings(1)
    while door.knock("192.0.2.1") is not Verdict.STOP:
        pass
    assert door.knock("192.0.2.1", HALL) is Verdict.PASS


def test_an_event_that_is_full_asks_for_a_step_and_then_each_network_is_counted() -> None:
    door, _ = ceilings(3)
    told: list[Over] = []
    door.ring = told.append
    for _ in range(40):
        door.knock("192.0.2.1", HALL)
    assert told == []
    late = [door.knock("192.0.2.1", HALL) for _ in range(3 * STOP_AT + 1)]
    assert late == [Verdict.STEP] * 3 * STOP_AT + [Verdict.STOP]
    assert door.knock("198.51.100.1", HALL) is Verdict.STEP, "who used it up shuts nobody out"
    assert told == [Over(40, "stadtfest")]
    assert str(told[0]) == (
        "more than 40 sign-ups in an hour by the source stadtfest; each needs a step more"
    )


def test_an_event_has_room_again_after_an_hour_and_beside_another_event() -> None:
    door, clock = ceilings(3)
    for _ in range(41):
        door.knock("192.0.2.1", HALL)
    assert door.knock("192.0.2.1", Raised("fachtag", None)) is Verdict.PASS
    clock.advance(timedelta(hours=2))
    assert door.knock("192.0.2.1", HALL) is Verdict.PASS


def test_a_source_without_a_ceiling_has_the_workspace_s() -> None:
    clock = FixedClock(MONDAY_TEN)
    door = Ceilings(clock, 1, 100, per_source=2)
    verdicts = [door.knock("192.0.2.1", Raised("fachtag", None)) for _ in range(3)]
    assert verdicts == [Verdict.PASS, Verdict.PASS, Verdict.STEP]


def test_this_machine_is_everybody_behind_a_proxy_we_were_not_told_of() -> None:
    door, _ = ceilings(1)
    assert {door.knock("127.0.0.1") for _ in range(50)} == {Verdict.PASS, Verdict.STEP}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_NETWORKS", 10)
    door, _ = ceilings(3, 10_000)
    for n in range(1000):
        door.knock(f"192.{n % 250}.{n // 250}.1")
    assert len(door) == 10
    monkeypatch.setattr(limits, "MOST_SOURCES", 5)
    for n in range(100):
        door.knock("192.0.2.1", Raised(f"fest-{n}", None))
    assert len(door) <= 15


def test_no_network_is_kept_in_clear() -> None:
    door, _ = ceilings()
    door.knock("192.0.2.7")
    assert b"192.0.2" not in b"".join(door._networks)
    assert "192" not in repr(door)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", ("192.0.2.0/24", False)),
        ("::ffff:192.0.2.7", ("192.0.2.0/24", False)),
        ("2001:db8::7", ("2001:db8::/64", False)),
        ("127.0.0.1", ("127.0.0.0/24", True)),
        ("192.0.2.7:4711", ("192.0.2.0/24", False)),
        ("[2001:db8::7]:4711", ("2001:db8::/64", False)),
        ("fe80::7%eth0", ("fe80::/64", False)),
        ("testclient", ("unknown", False)),
        ("", ("unknown", False)),
        ("1" * 10_000, ("unknown", False)),
    ],
    ids=range(10),
)
def test_a_network_is_a_24_or_a_64(address: str, network: tuple[str, bool]) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.9", ["198.51.100.1"], "203.0.113.9", id="a stranger is not asked"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="a proxy of ours is"),
        pytest.param(
            "10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1", id="what is left may be invented"
        ),
        pytest.param("10.0.0.1", ["198.51.100.1, 10.2.0.1"], "198.51.100.1", id="two proxies"),
        pytest.param("10.0.0.1", ["198.51.100.1", "10.2.0.1"], "198.51.100.1", id="two headers"),
        pytest.param("10.0.0.1", ["unknown"], "10.0.0.1", id="no address"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="no header"),
        pytest.param("::1", ["[2001:db8::1]"], "[2001:db8::1]", id="brackets"),
        pytest.param("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1:4711", id="a port"),
        pytest.param(
            "10.0.0.1",
            ["[2001:db8::1]:4711, 10.2.0.1:80"],
            "[2001:db8::1]:4711",
            id="ports of both kinds",
        ),
        pytest.param("10.0.0.1", ["198.51.100.1:x"], "10.0.0.1", id="no port"),
        pytest.param("", ["198.51.100.1"], "", id="no peer"),
        pytest.param(
            "10.0.0.1",
            ["203.0.113.5, 127.0.0.1", "198.51.100.1, 10.9.9.9"],
            "198.51.100.1",
            id="invented before two proxies",
        ),
        pytest.param(
            "10.0.0.1", ["2001:db8::9, 2001:db8::1"], "2001:db8::1", id="the last of IPv6"
        ),
        pytest.param("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="a mapped proxy"),
        pytest.param("10.0.0.1", ["198.51.100.1,"], "10.0.0.1", id="an empty hop"),
    ],
)
def test_only_a_trusted_proxy_says_who_came(peer: str, forwarded: list[str], expected: str) -> None:
    assert visitor(peer, forwarded, PROXIES) == expected
