"""Sending: from claimed rows to a relay that said yes, no, later, or nothing.

Owns connections, dialogues and the order of commits around them. Knows no schedule and
decides nothing about who is mailed: the outbox's gate does.
"""

from l3mail.sending.bulletins import Board, Bulletin, bulletins
from l3mail.sending.counting import Counting
from l3mail.sending.high_water import (
    RECONCILED,
    HighWater,
    Mark,
    contradiction,
    read_mark,
    write_mark,
)
from l3mail.sending.rates import DomainLimit, Limits
from l3mail.sending.relays import Relay
from l3mail.sending.sender import Compose, Sender
from l3mail.sending.tallies import Tally
from l3mail.sending.terms import Pace, Terms
from l3mail.sending.witnessing import note_found

__all__ = [
    "RECONCILED",
    "Board",
    "Bulletin",
    "Compose",
    "Counting",
    "DomainLimit",
    "HighWater",
    "Limits",
    "Mark",
    "Pace",
    "Relay",
    "Sender",
    "Tally",
    "Terms",
    "bulletins",
    "contradiction",
    "note_found",
    "read_mark",
    "write_mark",
]
