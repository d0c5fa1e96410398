"""Append-only facts about people and mails.

Owns the rows of `event` and `counter`; what follows from a fact is asked of it by queries
elsewhere. Nothing about where a visitor came from is ever known here.
"""

from l3mail.events.answers import Sheet, answer, answered, latest
from l3mail.events.days import IS_ONE_DONE, by_course, counts, days, mark, together, unmark
from l3mail.events.facts import append, append_once, interests, take_back_interest
from l3mail.events.guestbook import Guestbook
from l3mail.events.settling import ANY_RAW, next_settlement, settle
from l3mail.events.visits import Verdict, Visit, of_delivery, record_visits

__all__ = [
    "ANY_RAW",
    "IS_ONE_DONE",
    "Guestbook",
    "Sheet",
    "Verdict",
    "Visit",
    "answer",
    "answered",
    "append",
    "append_once",
    "by_course",
    "counts",
    "days",
    "interests",
    "latest",
    "mark",
    "next_settlement",
    "of_delivery",
    "record_visits",
    "settle",
    "take_back_interest",
    "together",
    "unmark",
]
