"""People: how they come in, say yes, change their mind, and go.

Owns subscribers, subscriptions, sign-ups and link requests, and leaves the evidence of each act.
Every verb takes one open connection and is one transaction. Nobody is mailed from here but
through delivery rows that `planning.mailable` lets pass. Must not know web, files or SMTP.
"""

from l3mail.subscribers.confirming import confirm, refuse
from l3mail.subscribers.erasing import (
    PROOFS,
    erase,
    erase_departed,
    expire_proofs,
    proof_kept_until,
    proof_until,
    purge,
)
from l3mail.subscribers.links import is_orphaned, redeem_link, request_link
from l3mail.subscribers.moving import (
    ADDRESS_CHANGED,
    NEW_ADDRESS,
    ask_new_address,
    end_moves,
    left_behind,
    look_up_move,
    pending_move,
    take_new_address,
    withdraw_move,
)
from l3mail.subscribers.people import find, hold
from l3mail.subscribers.signups import (
    ANYBODY_UNASKED,
    look_up_signup,
    plan_confirmations,
    sign_up,
)
from l3mail.subscribers.standings import show, standing, status_of
from l3mail.subscribers.subscriptions import (
    attest,
    correct,
    set_attributes,
    set_preferences,
    unsubscribe,
)
from l3mail.subscribers.terms import (
    SIGNUP_STATES,
    Attested,
    Confirmed,
    EnrollmentStanding,
    Joined,
    Move,
    Refused,
    Request,
    Rules,
    SignupState,
    Standing,
    StreamName,
    StreamStanding,
)

__all__ = [
    "ADDRESS_CHANGED",
    "ANYBODY_UNASKED",
    "NEW_ADDRESS",
    "PROOFS",
    "SIGNUP_STATES",
    "Attested",
    "Confirmed",
    "EnrollmentStanding",
    "Joined",
    "Move",
    "Refused",
    "Request",
    "Rules",
    "SignupState",
    "Standing",
    "StreamName",
    "StreamStanding",
    "ask_new_address",
    "attest",
    "confirm",
    "correct",
    "end_moves",
    "erase",
    "erase_departed",
    "expire_proofs",
    "find",
    "hold",
    "is_orphaned",
    "left_behind",
    "look_up_move",
    "look_up_signup",
    "pending_move",
    "plan_confirmations",
    "proof_kept_until",
    "proof_until",
    "purge",
    "redeem_link",
    "refuse",
    "request_link",
    "set_attributes",
    "set_preferences",
    "show",
    "sign_up",
    "standing",
    "status_of",
    "take_new_address",
    "unsubscribe",
    "withdraw_move",
]
