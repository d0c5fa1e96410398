"""The domain of a delivery's recipient, asked for only where domains have limits."""

from sqlalchemy import String, func, select

from l3mail.models import DELIVERY, SUBSCRIBER

_ADDRESS = func.coalesce(
    select(SUBSCRIBER.c.address)
    .where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
    .correlate(DELIVERY)
    .scalar_subquery(),
    DELIVERY.c.address,
    "",
)
# No function for "what follows the @-sign" is known to both databases. From the right all is cut
# that the rest of the address is made of, up to the one @-sign; what is left is cut from the left.
DOMAIN = func.replace(
    _ADDRESS, func.rtrim(_ADDRESS, func.replace(_ADDRESS, "@", "")), "", type_=String()
)
"""As A-label, "" for nobody's; needs no more than the row of `DELIVERY`."""
