"""People: how they come in, say yes, change their mind, and go.

Owns subscribers, subscriptions, sign-ups and link requests, and leaves the evidence of each act.
Every verb takes one open connection and is one transaction. Nobody is mailed from here but
through delivery rows that `planning.mailable` lets pass. Must not know web, files or SMTP.
"""

from l3mail.subscribers.confirming import confirm, refuse
from l3mail.subscribers.erasing import erase, expire_proofs, purge
from l3mail.subscribers.links import redeem_link, request_link
from l3mail.subscribers.people import find
from l3mail.subscribers.signups import (
    ANYBODY_UNASKED,
    look_up_signup,
    plan_confirmations,
    sign_up,
)
from l3mail.subscribers.standings import show, standing, status_of
from l3mail.subscribers.subscriptions import attest, set_attributes, set_preferences, unsubscribe
from l3mail.subscribers.terms import (
    SIGNUP_STATES,
    Attested,
    Confirmed,
    EnrollmentStanding,
    Joined,
    Refused,
    Request,
    Rules,
    SignupState,
    Standing,
    StreamName,
    StreamStanding,
)

__all__ = [
    "ANYBODY_UNASKED",
    "SIGNUP_STATES",
    "Attested",
    "Confirmed",
    "EnrollmentStanding",
    "Joined",
    "Refused",
    "Request",
    "Rules",
    "SignupState",
    "Standing",
    "StreamName",
    "StreamStanding",
    "attest",
    "confirm",
    "erase",
    "expire_proofs",
    "find",
    "look_up_signup",
    "plan_confirmations",
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
    "unsubscribe",
]
