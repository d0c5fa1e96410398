"""The outbox: one row per person and occurrence, from planned to ended.

Owns the states of a delivery and every statement that changes one. Knows nothing of
sockets, text or calendars.
"""

from l3mail.outbox.claims import (
    LEASE,
    Claim,
    Gate,
    begin,
    claim,
    claim_retries,
    give_back,
    glimpse,
    record,
    release,
    renew,
    settle,
    take_over,
)
from l3mail.outbox.orders import (
    ATTENTION,
    Brake,
    Settlement,
    brakes,
    cancel,
    counts,
    halt,
    listing,
    lookup,
    resolve,
    resume,
    retry,
)
from l3mail.outbox.outcomes import (
    UNCERTAIN_REST,
    Cause,
    Outcome,
    Started,
    Uncertainty,
    Verdict,
    retry_at,
)

__all__ = [
    "ATTENTION",
    "LEASE",
    "UNCERTAIN_REST",
    "Brake",
    "Cause",
    "Claim",
    "Gate",
    "Outcome",
    "Settlement",
    "Started",
    "Uncertainty",
    "Verdict",
    "begin",
    "brakes",
    "cancel",
    "claim",
    "claim_retries",
    "counts",
    "give_back",
    "glimpse",
    "halt",
    "listing",
    "lookup",
    "record",
    "release",
    "renew",
    "resolve",
    "resume",
    "retry",
    "retry_at",
    "settle",
    "take_over",
]
