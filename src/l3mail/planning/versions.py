"""Which version of a text a person is sent: the one nearest to their locale."""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, String, bindparam, func, or_, select

from l3mail.models import CAMPAIGN_MESSAGE, MESSAGE
from l3mail.planning.permission import Column

FALLBACK = bindparam("fallback_locale", type_=String)

_MESSAGE = MESSAGE.alias("message_in_locale")
_PINNED = CAMPAIGN_MESSAGE.alias("message_pinned")


def current_message(slug: Column, locale: Column) -> ColumnElement[int]:
    """The id of the published version of `slug` nearest to a person's locale, or NULL.

    Subtags are cut from the right (`de-simple`, then `de`), then the same with the
    workspace's locale (RFC 4647 section 3.4).
    """
    offered = select(_MESSAGE.c.id).where(
        _MESSAGE.c.slug == slug, _MESSAGE.c.superseded_at.is_(None)
    )
    return func.coalesce(
        nearest(offered, _MESSAGE.c.locale, locale),
        nearest(offered, _MESSAGE.c.locale, FALLBACK),
    )


def pinned_message(campaign_id: Column, locale: Column) -> ColumnElement[int]:
    """The version pinned for a campaign nearest to a person's locale, as `current_message`.

    Never NULL, which would let a later version in: an issue that is written in neither
    language goes out in the one it has.
    """
    offered = select(_PINNED.c.message_id).where(_PINNED.c.campaign_id == campaign_id)
    return func.coalesce(
        nearest(offered, _PINNED.c.locale, locale),
        nearest(offered, _PINNED.c.locale, FALLBACK),
        offered.order_by(_PINNED.c.locale).limit(1).scalar_subquery(),
    )


def nearest(offered: Select[Any], locale: Column, wanted: Column) -> ScalarSelect[int]:
    """Of what is offered, the one whose `locale` is nearest to the one wanted, or NULL."""
    # SQLite 3.40 finds no outer column in an inner ORDER BY: `wanted` must stay out of it.
    return (
        offered.where(_covers(locale, wanted))
        .order_by(func.length(locale).desc())
        .limit(1)
        .scalar_subquery()
    )


def _covers(offered: Column, wanted: Column) -> Column:
    return or_(offered == wanted, func.substr(wanted, 1, func.length(offered) + 1) == offered + "-")
