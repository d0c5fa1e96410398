"""Which version of a text a person is sent: the one nearest to their locale."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    String,
    bindparam,
    case,
    func,
    null,
    or_,
    select,
)

from l3mail.models import MESSAGE, Id
from l3mail.planning.permission import Column

FALLBACK = bindparam("fallback_locale", type_=String)

_MESSAGE = MESSAGE.alias("message_in_locale")


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


def pinned_message(locales: Sequence[str], locale: Column, fallback_locale: str) -> Column:
    """The one of a campaign's versions nearest to a person's locale, as `current_message`.

    Never NULL, which would let a later version in: an issue that is written in neither
    language goes out in the one it has. Binds `version_0` and so on, a message for each of
    `locales`.
    """
    # They are few and known: looked up for each person they cost more than all else about them.
    message = {one: bindparam(f"version_{n}", type_=Id) for n, one in enumerate(locales)}
    longest_first = sorted(locales, key=len, reverse=True)
    near = (one for one in longest_first if f"{fallback_locale}-".startswith(f"{one}-"))
    otherwise = message[next(near, min(locales))] if locales else null()
    own = [
        (or_(locale == one, func.substr(locale, 1, len(one) + 1) == f"{one}-"), message[one])
        for one in longest_first
    ]
    return case(*own, else_=otherwise) if len(locales) > 1 else otherwise


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
