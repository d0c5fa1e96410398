"""The tables: l3mail's nouns, and nothing that acts on them.

Values are validated at the door, never here. Statements use the `Table` handles in capital
letters (`DELIVERY.c.state`), which are what the hot paths and the migrations speak.
"""

from typing import cast

from sqlalchemy import Table as SqlTable

from l3mail.models.columns import Id, Table, UtcDateTime
from l3mail.models.content import (
    ENROLLMENT_STATES,
    Approval,
    ApprovalMessage,
    Campaign,
    CampaignMessage,
    Certificate,
    Course,
    Enrollment,
    Lesson,
    Link,
    Message,
    Segment,
    Structure,
    Trigger,
)
from l3mail.models.facts import (
    EVENT_KINDS,
    VERDICTS,
    Action,
    AgedDelivery,
    AgedEvent,
    Aging,
    Counter,
    Event,
)
from l3mail.models.outbox import (
    DELIVERY_STATES,
    KINDS,
    PURPOSES,
    Delivery,
    Halt,
    Workspace,
)
from l3mail.models.people import (
    CONSENT_ACTS,
    STREAM_KINDS,
    SUBSCRIPTION_STATES,
    SUPPRESSION_REASONS,
    Consent,
    LinkRequest,
    Signup,
    Source,
    Stream,
    Subscriber,
    Subscription,
    Suppression,
    Wording,
)

METADATA = Table.metadata


def _handle(model: type[Table]) -> SqlTable:
    return cast("SqlTable", model.__table__)  # type: ignore[attr-defined]


ACTIONS = _handle(Action)
AGED_DELIVERY = _handle(AgedDelivery)
AGED_EVENT = _handle(AgedEvent)
AGING = _handle(Aging)
APPROVAL = _handle(Approval)
APPROVAL_MESSAGE = _handle(ApprovalMessage)
CAMPAIGN = _handle(Campaign)
CAMPAIGN_MESSAGE = _handle(CampaignMessage)
CERTIFICATE = _handle(Certificate)
CONSENT = _handle(Consent)
COUNTER = _handle(Counter)
COURSE = _handle(Course)
DELIVERY = _handle(Delivery)
ENROLLMENT = _handle(Enrollment)
EVENT = _handle(Event)
HALT = _handle(Halt)
LESSON = _handle(Lesson)
LINK = _handle(Link)
LINK_REQUEST = _handle(LinkRequest)
MESSAGE = _handle(Message)
SEGMENT = _handle(Segment)
SIGNUP = _handle(Signup)
SOURCE = _handle(Source)
STREAM = _handle(Stream)
STRUCTURE = _handle(Structure)
SUBSCRIBER = _handle(Subscriber)
SUBSCRIPTION = _handle(Subscription)
SUPPRESSION = _handle(Suppression)
TRIGGER = _handle(Trigger)
WORDING = _handle(Wording)
WORKSPACE = _handle(Workspace)

__all__ = [
    "ACTIONS",
    "AGED_DELIVERY",
    "AGED_EVENT",
    "AGING",
    "APPROVAL",
    "APPROVAL_MESSAGE",
    "CAMPAIGN",
    "CAMPAIGN_MESSAGE",
    "CERTIFICATE",
    "CONSENT",
    "CONSENT_ACTS",
    "COUNTER",
    "COURSE",
    "DELIVERY",
    "DELIVERY_STATES",
    "ENROLLMENT",
    "ENROLLMENT_STATES",
    "EVENT",
    "EVENT_KINDS",
    "HALT",
    "KINDS",
    "LESSON",
    "LINK",
    "LINK_REQUEST",
    "MESSAGE",
    "METADATA",
    "PURPOSES",
    "SEGMENT",
    "SIGNUP",
    "SOURCE",
    "STREAM",
    "STREAM_KINDS",
    "STRUCTURE",
    "SUBSCRIBER",
    "SUBSCRIPTION",
    "SUBSCRIPTION_STATES",
    "SUPPRESSION",
    "SUPPRESSION_REASONS",
    "TRIGGER",
    "VERDICTS",
    "WORDING",
    "WORKSPACE",
    "Action",
    "AgedDelivery",
    "AgedEvent",
    "Aging",
    "Approval",
    "ApprovalMessage",
    "Campaign",
    "CampaignMessage",
    "Certificate",
    "Consent",
    "Counter",
    "Course",
    "Delivery",
    "Enrollment",
    "Event",
    "Halt",
    "Id",
    "Lesson",
    "Link",
    "LinkRequest",
    "Message",
    "Segment",
    "Signup",
    "Source",
    "Stream",
    "Structure",
    "Subscriber",
    "Subscription",
    "Suppression",
    "Table",
    "Trigger",
    "UtcDateTime",
    "Wording",
    "Workspace",
]
