"""A connection as the ledger sees it: what it waits for, what it announced, which mail it gets.

Values and rules without a database; the words on the wire are the dialogue's.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from l3mail.outbox import Attempt, Claim, Outcome, Started
from l3mail.publishing import Published
from l3mail.sending.dialogue import Wire
from l3mail.sending.terms import Terms


@dataclass(eq=False, slots=True)
class Session:
    """One connection: since when it is open, and what it has announced and not been given.

    Its `answer`, asked for `since`, is its next delivery; None tells it to part.
    """

    wire: Wire
    opened: float
    since: float
    answer: "asyncio.Future[tuple[Started, Published] | None]"
    announced: Claim | None = None

    def has_room(self, terms: Terms, now: float) -> bool:
        """Whether it may carry one more after those it has carried."""
        carried = self.wire.carried
        return carried < terms.messages_per_connection and (
            carried == 0 or now - self.opened < terms.connection_age
        )


def allot(
    waiters: Sequence[Session], started: Sequence[Started]
) -> list[tuple[Session, Started | None]]:
    """Who gets which mail: each what it announced, the others the rest as far as it goes.

    One whose announced mail may not start is named with None: its envelope is no good any more.
    """
    begun = {delivery.id: delivery for delivery in started}
    bound = [(one, begun.pop(one.announced.id, None)) for one in waiters if one.announced]
    free = [one for one in waiters if not one.announced]
    return [*bound, *zip(free, begun.values(), strict=False)]


def out_of_step(attempt: Attempt) -> bool:
    """Whether an announced envelope met silence, or a relay that did not expect it."""
    return attempt.outcome is Outcome.DEFERRED and attempt.stage == "mail" and attempt.code is None
