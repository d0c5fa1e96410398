"""The evidence of consent: acts in a chain that shows whether anybody changed one.

Each act has `digest = H(salt, content)` and `link = H(link before, digest)`. Erasing a person
takes content and salt and leaves both hashes and the tombstone's number, so the chain still
verifies and says nothing of anybody; an act that lost its words without that is found. Cutting off
the newest acts shows only against a link noted elsewhere: the weekly report.
Owns the rows of `consent` and of `wording`; decides nothing about who is mailed.
"""

from l3mail.consents.acts import forget, forget_all, hold, note, note_all
from l3mail.consents.hashes import PERSON, canonical, digest_of, joined
from l3mail.consents.walks import Fault, Verification, count, verify
from l3mail.consents.wordings import (
    Wording,
    current_wordings,
    declare_wording,
    hash_of,
    in_force,
    wordings,
)

__all__ = [
    "PERSON",
    "Fault",
    "Verification",
    "Wording",
    "canonical",
    "count",
    "current_wordings",
    "declare_wording",
    "digest_of",
    "forget",
    "forget_all",
    "hash_of",
    "hold",
    "in_force",
    "joined",
    "note",
    "note_all",
    "verify",
    "wordings",
]
