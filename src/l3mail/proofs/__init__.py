"""Proof of consent: what is kept of one person, put together so that a stranger can check it.

Owns how evidence is read, told and packed. Changes nothing; what it hands out names nobody else.
Whoever packs one asks `packing` by name: it brings along what sets pages and papers, and who lists
acts is not to wait for that.
"""

from l3mail.proofs.evidence import find, of_people, of_person, standings, streams_of
from l3mail.proofs.lists import listing
from l3mail.proofs.telling import Telling
from l3mail.proofs.terms import House, Mail, Proof

__all__ = [
    "House",
    "Mail",
    "Proof",
    "Telling",
    "find",
    "listing",
    "of_people",
    "of_person",
    "standings",
    "streams_of",
]
