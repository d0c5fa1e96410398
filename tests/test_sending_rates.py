"""How many may begin when: rates agreed on, rates asked for, domains, and the relay's breaker."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.outbox import Claim
from l3mail.sending.backlog import HELD_FOR_A_DOMAIN, Backlog
from l3mail.sending.breaker import Breaker, State
from l3mail.sending.rates import (
    DOMAINS_KEPT,
    REST_SECONDS,
    SLOWEST,
    STEP_SECONDS,
    STEPS,
    DomainLimit,
    Domains,
    Limits,
    Rates,
    Throttle,
    Window,
)
from l3mail.sending.terms import Pace


@given(
    st.integers(1, 50),
    st.sampled_from([1.0, 60.0, 3600.0]),
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 60)), max_size=80),
)
def test_no_span_of_time_holds_more_than_was_agreed(
    limit: int, span: float, asked: list[tuple[float, int]]
) -> None:
    window, now = Window(limit, span), 1000.0
    begun: list[float] = []
    for pause, wanted in asked:
        now += pause * span
        count = min(wanted, window.room(now))
        if count:
            window.spend(now, count)
        begun += [now] * count
    for first in begun:
        assert sum(first <= at < first + span for at in begun) <= limit


def test_a_full_window_says_when_it_opens_and_then_has_room() -> None:
    window = Window(10, 60)
    window.spend(1000.0, 10)
    assert window.room(1000.0) == 0
    opens = window.opens_at(1000.0)
    assert 1060.0 <= opens <= 1062.0
    assert window.room(opens) == 10
    assert window.opens_at(opens) == opens


def send_evenly(throttle: Throttle, now: float, seconds: float, each_second: int) -> float:
    """Let as many begin as wanted and allowed; the time after it."""
    for _ in range(round(seconds * 20)):
        now += 1 / 20
        count = min(each_second // 20, throttle.room(now))
        if count:
            throttle.spend(now, count)
    return now


def complain(throttle: Throttle, now: float, times: int = 3) -> bool:
    heard = [throttle.heard(now, complains=True) for _ in range(times)]
    return any(heard)


def test_three_complaints_halve_the_rate_of_the_last_seconds() -> None:
    throttle = Throttle()
    now = send_evenly(throttle, 1000.0, 10, each_second=100)
    assert throttle.rate == math.inf
    assert not complain(throttle, now, 2)
    assert complain(throttle, now, 1)
    assert throttle.rate == pytest.approx(50, rel=0.05)


def test_complaints_that_are_few_among_many_answers_change_nothing() -> None:
    throttle = Throttle()
    now = send_evenly(throttle, 1000.0, 10, each_second=100)
    for number in range(200):
        assert not throttle.heard(now, complains=number % 10 == 0)
    assert throttle.rate == math.inf


def test_answers_to_what_was_begun_before_do_not_halve_again() -> None:
    throttle = Throttle()
    now = send_evenly(throttle, 1000.0, 10, each_second=100)
    assert complain(throttle, now, 20)
    slowed = throttle.rate
    assert not complain(throttle, now + REST_SECONDS - 0.1, 20)
    assert throttle.rate == slowed
    now = send_evenly(throttle, now, REST_SECONDS + 1, each_second=100)
    assert complain(throttle, now)
    assert throttle.rate == pytest.approx(slowed / 2, rel=0.1)


def test_a_relay_that_goes_on_complaining_is_still_asked_now_and_then() -> None:
    throttle, now = Throttle(), 1000.0
    throttle.spend(now)
    for _ in range(50):
        complain(throttle, now)
        now += REST_SECONDS
    assert throttle.rate == pytest.approx(SLOWEST, rel=STEPS * 0.1)
    assert throttle.opens_at(now) <= now + 1 / SLOWEST


def test_a_rate_comes_back_in_steps_and_is_free_in_the_end() -> None:
    throttle = Throttle()
    now = send_evenly(throttle, 1000.0, 10, each_second=100)
    complain(throttle, now)
    rates = []
    for _ in range(STEPS):
        rates.append(throttle.rate)
        now += STEP_SECONDS
        throttle.room(now)
    rises = [after - before for before, after in pairwise(rates)]
    assert rises == pytest.approx([rates[0] / STEPS] * (STEPS - 1))
    assert throttle.rate == math.inf


def test_a_lowered_rate_is_kept_evenly() -> None:
    throttle = Throttle()
    now = send_evenly(throttle, 1000.0, 10, each_second=100)
    complain(throttle, now)
    rate, begun, began = throttle.rate, 0, now
    while now < began + STEP_SECONDS - 1:
        now += 0.01
        count = throttle.room(now)
        assert count <= rate * 0.1 + 1
        if count:
            throttle.spend(now, count)
            begun += count
    assert begun == pytest.approx(rate * (STEP_SECONDS - 1), rel=0.05)


def test_a_tenth_of_the_hour_is_kept_for_those_whom_somebody_waits_for() -> None:
    rates = Rates(Limits(per_hour=100))
    assert (rates.room(0.0), rates.room(0.0, urgent=True)) == (90, 100)
    rates.spend(0.0, 90)
    assert (rates.room(1.0), rates.room(1.0, urgent=True)) == (0, 10)
    rates.spend(1.0, 10)
    assert rates.room(3599.0, urgent=True) == 0
    assert rates.opens_at(3599.0) <= 3660.0
    assert rates.room(3661.0) == 90


@pytest.mark.parametrize(
    ("limits", "ahead"),
    [
        (Limits(), 500),
        (Limits(per_second=5), 10),
        (Limits(per_second=1000), 500),
        (Limits(per_hour=20), 18),
        (Limits(per_hour=1), 1),
    ],
)
def test_no_more_is_leased_than_soon_begins(limits: Limits, ahead: int) -> None:
    assert Rates(limits).ahead(0.0, 2.0, 500) == ahead


def test_each_domain_has_its_limit_and_a_star_is_each_other_domains_own() -> None:
    domains = Domains({"gmx.de": DomainLimit(at_once=2), "*": DomainLimit(at_once=1)})
    for number, domain in enumerate(["gmx.de", "gmx.de", "web.de", "t-online.de"]):
        assert domains.takes(domain, 0.0)
        domains.begin(number, domain, 0.0)
    assert not any(domains.takes(domain, 0.0) for domain in ("gmx.de", "web.de", "t-online.de"))
    assert domains.takes("dresden.de", 0.0)
    domains.end(0)
    domains.end(0)
    assert domains.takes("gmx.de", 0.0)
    assert not domains.takes("web.de", 0.0)


def test_a_minutes_number_comes_back_with_time_not_with_the_end_of_a_dialogue() -> None:
    domains = Domains({"gmx.de": DomainLimit(per_minute=2)})
    for number in (1, 2):
        domains.begin(number, "gmx.de", 0.0)
        domains.end(number)
    assert not domains.takes("gmx.de", 59.0)
    assert domains.takes("gmx.de", domains.opens_at("gmx.de", 59.0))


def test_a_domain_that_got_nothing_for_a_minute_is_forgotten() -> None:
    domains = Domains({"*": DomainLimit(per_minute=1)})
    for number in range(3 * DOMAINS_KEPT):
        domains.begin(number, f"schule-{number}.example", float(number))
        domains.end(number)
    assert len(domains._minutes) <= DOMAINS_KEPT


def claims(*domains: str) -> list[Claim]:
    return [Claim(number, 1, domain) for number, domain in enumerate(domains, start=1)]


def test_a_domain_that_waits_is_passed_by_and_keeps_its_place() -> None:
    rates = Rates(Limits(domains={"gmx.de": DomainLimit(at_once=1)}))
    backlog = Backlog(rates)
    backlog.add(claims("gmx.de", "gmx.de", "web.de", "gmx.de", "web.de"))
    assert backlog.ripe(0.0) == 5, "as far as each alone goes"
    assert [claim.id for claim in backlog.pick(9, 0.0)] == [1, 3, 5]
    assert (len(backlog), backlog.ripe(0.0)) == (2, 0)
    rates.ended([1])
    assert [claim.id for claim in backlog.pick(9, 0.0)] == [2]
    assert [claim.id for claim in backlog.clear()] == [4]


def test_who_waits_for_a_confirmation_comes_first() -> None:
    backlog = Backlog(Rates(Limits(per_second=2)))
    backlog.add(claims("a.de", "a.de"))
    backlog.add([Claim(77, 1)], urgent=True)
    assert [claim.id for claim in backlog.pick(9, 0.0)] == [77, 1]


def test_a_domain_is_crowded_when_it_waits_and_enough_is_held() -> None:
    rates = Rates(Limits(domains={"gmx.de": DomainLimit(at_once=1)}))
    backlog = Backlog(rates)
    backlog.add(claims(*["gmx.de"] * (HELD_FOR_A_DOMAIN + 1), *["web.de"] * 100))
    assert backlog.crowded(0.0) == []
    backlog.pick(1, 0.0)
    assert backlog.crowded(0.0) == ["gmx.de"]


def test_where_no_domain_has_a_limit_nothing_is_asked_of_domains() -> None:
    backlog = Backlog(Rates(Limits()))
    backlog.add(claims(*["gmx.de"] * 100))
    assert backlog.crowded(0.0) == []
    assert len(backlog.pick(60, 0.0)) == 60


def test_the_breaker_opens_at_a_failure_and_lets_one_try_after_its_pause() -> None:
    breaker = Breaker((1.0, 2.0, 5.0))
    assert breaker.state(0.0) is State.CLOSED
    assert breaker.trip("no answer", 0.0) == 1.0
    assert (breaker.state(0.9), breaker.fault) == (State.OPEN, "no answer")
    assert breaker.state(1.0) is State.HALF_OPEN
    assert breaker.trip("no answer", 1.0) == 2.0
    assert breaker.state(2.9) is State.OPEN
    breaker.answered()
    assert (breaker.state(2.9), breaker.fault) == (State.HALF_OPEN, None)
    assert breaker.close()
    assert not breaker.close()
    assert breaker.state(2.9) is State.CLOSED
    assert breaker.trip("again", 3.0) == 1.0


def test_a_relay_that_works_again_has_no_fault() -> None:
    # An answer on a connection that stayed open: nothing is opened anew that would say so.
    breaker = Breaker((1.0, 2.0))
    breaker.trip("answers no mail", 0.0)
    assert breaker.close()
    assert (breaker.state(0.0), breaker.fault) == (State.CLOSED, None)


def test_a_connection_that_opens_proves_little() -> None:
    # It opens and closes the first mail's dialogue, for hours: the pauses grow all the same.
    breaker, pauses = Breaker((1.0, 2.0, 5.0)), []
    for now in range(0, 100, 10):
        breaker.answered()
        pauses.append(breaker.trip("closed at the first mail", float(now)))
    assert pauses == [1.0, 2.0] + [5.0] * 8


def test_a_relay_down_for_days_is_asked_once_a_minute() -> None:
    breaker, now, tries = Breaker(Pace().down), 0.0, []
    while now < 3 * 86400:
        if breaker.state(now) is not State.OPEN:
            tries.append(now)
            breaker.trip("takes no connection", now)
        now += 0.5
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[:6] == [1, 2, 5, 15, 30, 60]
    assert set(pauses[5:]) == {60}


def test_the_impatient_try_once() -> None:
    breaker = Breaker((1.0,))
    breaker.patient = False
    breaker.trip("no answer", 0.0)
    assert breaker.state(1000.0) is State.OPEN
