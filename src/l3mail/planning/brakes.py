"""What keeps a mail back that may go: an operator's halt, a campaign paused or cancelled."""

from sqlalchemy import ColumnElement, and_, exists, or_, select

from l3mail.models import CAMPAIGN, DELIVERY, HALT

_CAMPAIGN = CAMPAIGN.alias("campaign_of_mail")
_HALT = HALT.alias("halt_in_force")


def kept_back() -> ColumnElement[bool]:
    """Whether an operator's halt, or a paused or cancelled campaign, keeps a delivery back."""
    halted = exists(
        select(_HALT.c.id).where(
            or_(
                _HALT.c.scope == "everything",
                and_(_HALT.c.scope == "kind", _HALT.c.subject == DELIVERY.c.kind),
                and_(_HALT.c.scope == "message", _HALT.c.subject == DELIVERY.c.slug),
            )
        )
    )
    return or_(halted, stopped())


def stopped() -> ColumnElement[bool]:
    """Whether a paused or cancelled campaign keeps a delivery back."""
    campaign = exists(
        select(_CAMPAIGN.c.id).where(
            _CAMPAIGN.c.id == DELIVERY.c.campaign_id,
            or_(_CAMPAIGN.c.paused_at.is_not(None), _CAMPAIGN.c.cancelled_at.is_not(None)),
        )
    )
    return and_(DELIVERY.c.campaign_id.is_not(None), campaign)
