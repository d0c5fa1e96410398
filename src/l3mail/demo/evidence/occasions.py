"""Claims on what is sent on an occasion: the newsletter, birthdays, special days, wishes."""

from datetime import datetime, time, timedelta

from sqlalchemy import func, select

from l3mail.demo.city import BY_CLICK, FOLLOW_UP_BY_CLICK
from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.people import (
    BEGIN,
    BIRTHDAY,
    DISTRICT,
    END,
    FOLLOW_UPS,
    ISSUE,
    LIFECYCLE,
    NEWSLETTER,
    SCANNED,
    YEARLY,
    YEARLY_AT,
)
from l3mail.models import CAMPAIGN, EVENT, LINK, SUBSCRIBER

_TEN = time(10)
_DAY = timedelta(days=1)
_FIRST = func.min(EVENT.c.at, type_=EVENT.c.at.type).label("at")


def issue(seen: Evidence) -> Claim:
    """The issue reached the segment it was meant for, and nobody else, at its moment."""
    members = [m for (_, slug), m in seen.memberships.items() if slug == NEWSLETTER]
    readers = [m for m in members if m.state == "confirmed"]
    meant = {m.address for m in readers if m.district == DISTRICT}
    row = seen.rows(select(CAMPAIGN.c.id, CAMPAIGN.c.scheduled_at).where(CAMPAIGN.c.slug == ISSUE))
    got = [one for one in seen.arrived if one.stream == NEWSLETTER]
    prompt = [one for one in got if row and one.at == row[0].scheduled_at]
    at = f"{seen.local(row[0].scheduled_at):%a %d %b %H:%M}" if row else "never"
    there = {one.address for one in got}
    return Claim(
        "issue",
        bool(meant) and there == meant and len(prompt) == len(got),
        f"{ISSUE}: {len(there & meant)} of {len(meant)} in {DISTRICT},"
        f" {len(there - meant)} others, {len(prompt)} on {at}",
    )


def birthdays(seen: Evidence) -> Claim:
    """Greeted at nine on the day itself, and only who asked for such mail."""
    query = select(SUBSCRIBER.c.address, SUBSCRIBER.c.birth_month, SUBSCRIBER.c.birth_day)
    meant, unasked = [], 0
    for row in seen.rows(query.where(SUBSCRIBER.c.birth_month.is_not(None))):
        if (row.birth_month, row.birth_day) == (2, 29):
            continue  # no such day between autumn and Christmas
        at = datetime(END.year, row.birth_month, row.birth_day, 9, tzinfo=seen.zone)
        if BEGIN <= at <= END:
            is_member = row.address in seen.members(LIFECYCLE, at)
            unasked += not is_member
            if is_member:
                meant.append((row.address, BIRTHDAY, at))
    got = seen.arrivals(BIRTHDAY)
    days = ", ".join(f"{at:%a %d %b}" for _, _, at in sorted(meant, key=lambda one: one[2]))
    return Claim(
        "birthdays",
        got == sorted(meant) and bool(got) and unasked > 0,
        f"{len(got)} of {len(meant)} birthdays greeted at 09:00 on {days};"
        f" {unasked} without consent to such mails",
    )


def wishes(seen: Evidence) -> Claim:
    """Each interest is answered once, at ten from a day later."""
    query = (
        select(SUBSCRIBER.c.address, EVENT.c.name, _FIRST)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .where(EVENT.c.kind == "interested", EVENT.c.name.in_(FOLLOW_UPS))
        .group_by(SUBSCRIBER.c.address, EVENT.c.name)
    )
    asked = {(row.address, row.name): row.at for row in seen.rows(query)}
    meant = [(who, FOLLOW_UPS[name], _answer_to(seen, at)) for (who, name), at in asked.items()]
    got = seen.arrivals(*FOLLOW_UPS.values())
    return Claim(
        "wishes",
        got == sorted(meant) and asked.keys() == seen.deeds.wished.keys() != set(),
        f"{len(seen.deeds.wished)} asked for material by a button; {len(got)} mails answered,"
        f" {len(set(got) & set(meant))} at 10:00 on the day after",
    )


def by_click(seen: Evidence) -> Claim:
    """A link is answered where a person followed it who allows both, and the office said yes."""
    query = (
        select(SUBSCRIBER.c.address, _FIRST)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .join(LINK, LINK.c.id == EVENT.c.link_id)
        .where(LINK.c.name == BY_CLICK, EVENT.c.verdict == "human")
        .group_by(SUBSCRIBER.c.address)
    )
    clicked = {row.address: row.at for row in seen.rows(query)}
    meant = [
        (who, FOLLOW_UP_BY_CLICK, _answer_to(seen, at))
        for who, at in clicked.items()
        if who in seen.members(LIFECYCLE, at)
    ]
    got = seen.arrivals(FOLLOW_UP_BY_CLICK)
    approved = seen.deeds.approved[FOLLOW_UP_BY_CLICK]
    days = {seen.local(at).date() for at in approved if seen.local(at).time() < _TEN}
    asked = {at.date() for _, _, at in got} <= days
    return Claim(
        "by click",
        got == sorted(meant) and bool(got) and asked and SCANNED not in {who for who, *_ in got},
        f"{len(clicked)} measured people followed a link, {len(meant)} of them want such mails:"
        f" {len(got)} got one, after {len(approved)} yeses of the office",
    )


def _answer_to(seen: Evidence, at: datetime) -> datetime:
    """Ten o'clock on the day after."""
    return datetime.combine(seen.local(at).date() + _DAY, _TEN, seen.zone)


def yearly(seen: Evidence) -> Claim:
    """The special day reaches everybody who asked for such mail, once."""
    meant = seen.members(LIFECYCLE, YEARLY_AT)
    refused = {
        seen.addresses.get(row.subscriber_id)
        for row in seen.deliveries.values()
        if row.slug == YEARLY and row.state == "failed"
    }
    got = seen.arrivals(YEARLY)
    return Claim(
        "yearly",
        got == [(who, YEARLY, seen.local(YEARLY_AT)) for who in sorted(meant - refused)]
        and refused <= meant
        and bool(got),
        f"{YEARLY}: {len(got)} of {len(meant)} subscribers on"
        f" {seen.local(YEARLY_AT):%a %d %b %H:%M}, {len(refused)} refused (mailbox full)",
    )
