"""What answers say of the relay itself: that it works, that it is down, that we are too fast.

Hears outcomes once they are written. Decides about no row: rows have their own consequences.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from l3mail.outbox import Attempt, Cause, Outcome
from l3mail.sending.bulletins import Board
from l3mail.sending.connections import Lines, seconds
from l3mail.sending.rates import Throttle
from l3mail.sending.refusals import REFUSALS_ENDURED, without_login
from l3mail.sending.replies import LOGIN_WANTED, asks_for_patience
from l3mail.sending.tallies import Tally

log = logging.getLogger("l3mail.sending")

REPORT_SECONDS = 10.0
"""So often a long queue says how far it has come."""


class Ear:
    """Turns outcomes into trust, distrust and patience, and counts them."""

    def __init__(
        self, lines: Lines, throttle: Throttle, tally: Tally, board: Board | None = None
    ) -> None:
        """What is heard is told to these; the board tells other processes."""
        self._lines = lines
        self._throttle = throttle
        self._tally = tally
        self._board = board
        self._streak = _Streak()
        self._since = 0.0

    def forebodes(self, finished: Sequence[Attempt]) -> bool:
        """Whether these, once heard, have the relay down: nothing more is begun with their commit.

        Heard they are when they are written; mails begun with them would meet the same relay.
        """
        streak, down = replace(self._streak_now()), False
        for attempt in finished:
            answered, fault = streak.after(attempt)
            down = bool(fault) or (down and not answered)
        return down

    def hear(self, finished: Sequence[Attempt], distrusted: Sequence[str]) -> None:
        """Draw conclusions from outcomes; `distrusted` are slugs that were halted by them."""
        if finished:
            self._count(finished)
        streak = self._streak_now()
        for attempt in finished:
            # Ids and codes only: a relay's words may name the person.
            what = (attempt.delivery.id, attempt.stage, attempt.code, attempt.status)
            self._listen(attempt)
            if attempt.outcome is Outcome.UNKNOWN:
                log.warning("delivery %d is uncertain since %s", *what[:2])
            answered, fault = streak.after(attempt)
            if fault:
                # Going on would defer a whole issue, or put all of it in doubt.
                self._lines.distrust(fault)
            if answered:
                self._lines.trust()
                if attempt.cause is Cause.SENDER:
                    log.warning("our sender was refused, delivery %d at %s: %s %s", *what)
        for slug in distrusted:
            log.error("%s is halted: our sender was refused again and again; see `resume`", slug)

    def _streak_now(self) -> "_Streak":
        self._streak.endured = 1 if self._lines.probing else REFUSALS_ENDURED
        return self._streak

    def _count(self, finished: Sequence[Attempt]) -> None:
        """Count outcomes, and say so where the last word on them is long ago."""
        if not self._tally.has_news:
            self._since = seconds()
        self._tally.outcomes.update(attempt.outcome for attempt in without_login(finished)[0])
        if seconds() - self._since >= REPORT_SECONDS:
            self.report()
            self._since = seconds()

    def _listen(self, attempt: Attempt) -> None:
        """Slow down where answers ask for it."""
        if attempt.code is None:
            return
        complains = asks_for_patience(
            attempt.stage, attempt.code, attempt.status, attempt.text, reused=attempt.reused
        )
        if self._throttle.heard(seconds(), complains=complains):
            rate = self._throttle.rate
            answer = f"{attempt.code} {attempt.status or ''}".rstrip()
            log.warning(
                "the relay asks us to slow down: %s; at most %.3g a second for now", answer, rate
            )
            self._tally.slowed_to = rate

    def post(self) -> None:
        """Tell how the relay is and how fast it lets us go: in the tally, and to who asks."""
        rate = self._throttle.rate
        if self._tally.slowed_to is not None and rate == math.inf:
            log.info("the relay keeps up again: mail goes at full rate")
        self._tally.relay_fault = self._lines.fault
        self._tally.slowed_to = None if rate == math.inf else rate
        if self._board:
            self._board.post(self._tally, probing=self._lines.probing)

    def close(self) -> None:
        """Nothing more will be heard."""
        if self._board:
            self._board.close()

    def report(self) -> None:
        """One line for all that was handed over since the last one."""
        if news := self._tally.news():
            log.info(news)


@dataclass(slots=True)
class _Streak:
    """How many mails in a row met no answer of the relay's, and how many are too many."""

    length: int = 0
    endured: int = REFUSALS_ENDURED

    def after(self, attempt: Attempt) -> tuple[bool, str]:
        """Whether the relay answered this one; and what is wrong with it, "" while endured."""
        if attempt.code in LOGIN_WANTED:
            return False, (
                f"it wants a login ({attempt.code}): look at username below [relay] and at"
                " L3MAIL_SMTP_PASSWORD"
            )
        if how := _no_answer(attempt):
            self.length += 1
            return False, f"it {how}" if self.length >= self.endured else ""
        self.length, self.endured = 0, REFUSALS_ENDURED
        return True, ""


def _no_answer(attempt: Attempt) -> str:
    """How the relay failed to answer a mail, "" where it did or where that says little of it."""
    if attempt.outcome is Outcome.UNKNOWN and attempt.stage == "dot":
        return "answers no mail"
    if attempt.breach and not attempt.reused:
        return f"breaks the rules of SMTP: `l3mail outbox show {attempt.delivery.id}`"
    if attempt.stage == "mail" and attempt.code in {None, 421} and not attempt.reused:
        return "closes fresh sessions at the first mail"
    return ""
