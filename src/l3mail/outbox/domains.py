"""The address of a delivery's recipient, and its domain where domains have limits."""

from sqlalchemy import String, func, select

from l3mail.models import DELIVERY, SUBSCRIBER

ADDRESS = func.coalesce(
    select(SUBSCRIBER.c.address)
    .where(SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
    .correlate(DELIVERY)
    .scalar_subquery(),
    DELIVERY.c.address,
    "",
)
""""" for nobody's; needs no more than the row of `DELIVERY`."""

# No function for "what follows the @-sign" is known to both databases. From the right all is cut
# that the rest of the address is made of, up to the one @-sign; what is left is cut from the left.
DOMAIN = func.replace(
    ADDRESS, func.rtrim(ADDRESS, func.replace(ADDRESS, "@", "")), "", type_=String()
)
"""As A-label, as `ADDRESS` else."""
