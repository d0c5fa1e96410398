"""What it costs to write a mail: pressed, beside the standard library's way with the same text.

Values and head are those of real deliveries and are ready before the clock starts.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

from sqlalchemy import Connection, select

from bench.crowd import Crowd, crowd, plan
from bench.figures import Figure, Goal, Size, middle
from l3mail import outbox, publishing, rendering
from l3mail.models import DELIVERY
from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.rendering import Head, plain
from l3mail.wiring import composer

PRESSED = Goal("write the test message, pressed / standard library", 20, 40)

_PEOPLE = 200
_ROUNDS = {Size.FULL: 9, Size.QUICK: 3}


@dataclass(frozen=True, slots=True)
class Order:
    """What one mail is written of."""

    compiled: Mapping[str, Any]
    values: Mapping[str, Any]
    head: Head


def figures(size: Size) -> Iterator[Figure]:
    with crowd(_PEOPLE) as here:
        plan(here)
        orders = list(_orders(here))
    ratios, pressed, plainly = [], [], []
    for _ in range(_ROUNDS[size]):
        slow = _seconds_each(plain.write, orders)
        # Many times over, or a fast round would be too short to be timed.
        fast = _seconds_each(rendering.compose, orders * 5)
        ratios.append(slow / fast)
        pressed.append(fast)
        plainly.append(slow)
    octets = len(rendering.compose(orders[0].compiled, orders[0].values, orders[0].head))
    yield Figure(
        PRESSED,
        middle(ratios),
        f"{octets / 1024:.0f} KB in {middle(pressed) * 1e6:.0f} µs"
        f" instead of {middle(plainly) * 1e6:.0f} µs",
    )


def _orders(here: Crowd) -> Iterator[Order]:
    """What the composer hands to rendering, taken from it on the way."""

    def verb(connection: Connection) -> list[tuple[Started, Published]]:
        found = []
        for number in connection.execute(select(DELIVERY.c.id)).scalars():
            delivery = outbox.glimpse(connection, number, "de")
            assert delivery is not None
            text = publishing.load(connection, [delivery.message_id])[delivery.message_id]
            found.append((delivery, text))
        return found

    write = composer(here.settings, here.database)
    texts: dict[int, Published] = {}
    for delivery, text in here.database.read(verb):
        with mock.patch.object(rendering, "compose") as compose:
            # One object for a message, as the sender holds it.
            write(delivery, texts.setdefault(text.id, text))
        yield Order(*compose.call_args.args)


def _seconds_each(
    write: Callable[[Mapping[str, Any], Mapping[str, Any], Head], bytes], orders: list[Order]
) -> float:
    # Of the processor's time: nothing is waited for, and others on the machine do not count.
    began = time.process_time()
    for order in orders:
        write(order.compiled, order.values, order.head)
    return (time.process_time() - began) / len(orders)
