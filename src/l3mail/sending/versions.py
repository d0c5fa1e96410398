"""The published versions that mails are being written from, a few of them in memory.

Owns what is loaded together with an intent: the text of each mail, what of it is shown and
what is counted for it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from l3mail import publishing
from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.sending.counting import Counting

TEXTS_KEPT = 64
"""Published versions held in memory."""

Decide = Callable[[Connection, Sequence[Started], Mapping[int, Published], datetime], list[Started]]
"""Notes what of their texts is shown, for deliveries that have just begun."""


class Versions:
    """The versions one sender works with."""

    def __init__(self, decide: Decide | None) -> None:
        """Nothing is loaded yet; without `decide` no text may have conditions."""
        self._decide = decide
        self._counting = Counting()
        self._kept: dict[int, Published] = {}

    def load(
        self, connection: Connection, started: list[Started], now: datetime
    ) -> tuple[list[Started], dict[int, Published]]:
        """What these need to become mails, in their intents' transaction; for `keep` later."""
        missing = {delivery.message_id for delivery in started} - self._kept.keys()
        loaded = publishing.load(connection, missing)
        texts = {**self._kept, **loaded}
        if self._decide is not None:
            started = self._decide(connection, started, texts, now)
        return self._counting.told(connection, started, texts, now), loaded

    def keep(self, started: Sequence[Started], loaded: Mapping[int, Published]) -> None:
        """Remember what was loaded, and of the others what is still in use if they grow many."""
        if len(self._kept) > TEXTS_KEPT:
            in_use = {delivery.message_id for delivery in started} & self._kept.keys()
            self._kept = {number: self._kept[number] for number in in_use}
        self._kept |= loaded

    def of(self, delivery: Started) -> Published:
        """The text of a delivery whose version was kept."""
        return self._kept[delivery.message_id]
