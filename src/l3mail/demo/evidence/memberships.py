"""Claims on who is mailed: consent, its proof, and its end."""

from sqlalchemy import func, select

from l3mail import consents
from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.people import COURSE
from l3mail.models import CONSENT, ENROLLMENT, METADATA


def confirmed(seen: Evidence) -> Claim:
    """Nobody is on the lists who did not confirm."""
    acts = select(func.count(CONSENT.c.subscriber_id.distinct())).where(
        CONSENT.c.act == "confirmed"
    )
    confirmed = seen.connection.execute(acts).scalar_one()
    known = {address for address, _ in seen.memberships}
    unread = seen.asked - known
    return Claim(
        "confirmed",
        confirmed == len(known) and known <= seen.asked,
        f"{len(seen.asked)} people filled in the form, {confirmed} confirmed from their mail,"
        f" {len(unread)} did not",
    )


def forgotten(seen: Evidence) -> Claim:
    """Of who did not, nothing is kept."""
    gone = seen.asked - {address for address, _ in seen.memberships}
    found = sum(
        any(address in str(row) for address in gone)
        for table in METADATA.sorted_tables
        for row in seen.rows(select(table))
    )
    return Claim(
        "forgotten",
        bool(gone) and found == 0,
        f"of the {len(gone)} who did not, {found} rows keep the address",
    )


def asked(seen: Evidence) -> Claim:
    """No mail of a stream before it was confirmed."""
    wrong = 0
    for one in seen.arrived:
        member = seen.memberships.get((one.address, one.stream))
        since = member.confirmed_at if member else None
        wrong += bool(one.stream) and (since is None or one.at < since)
    return Claim(
        "asked", wrong == 0, f"{wrong} mails came before their course or newsletter was confirmed"
    )


def by_hand(seen: Evidence) -> Claim:
    """Whoever opens every link confirms and leaves nothing by it."""
    pressed = seen.deeds.pressed
    otherwise = sum(
        m.confirmed_at is not None and m.confirmed_at != pressed.get(m.address)
        for m in seen.memberships.values()
    )
    scanned = [m for m in seen.memberships.values() if m.address in seen.deeds.opened]
    gone = sum(m.unsubscribed_at is not None for m in scanned)
    return Claim(
        "by hand",
        otherwise == gone == seen.deeds.dead == 0,
        f"a scanner opened links {seen.deeds.opened.total()} times, {seen.deeds.dead} in vain;"
        f" {otherwise + gone} confirmed or left by it",
    )


def left(seen: Evidence) -> Claim:
    """Who leaves gets nothing more, not even what was queued."""
    course = {m.address: m for (_, slug), m in seen.memberships.items() if slug == COURSE}
    left = {who: m.unsubscribed_at for who, m in course.items() if m.state == "unsubscribed"}
    pressed = seen.deeds.left
    late = sum(
        one.stream == COURSE and one.address in pressed and one.at >= pressed[one.address]
        for one in seen.arrived
    )
    queued = sum(row.state == "cancelled" for row in seen.deliveries.values())
    return Claim(
        "left",
        left == pressed and late == 0 and queued == len(left) > 0,
        f"{len(left)} left by one click while {queued} mail was queued; {late} mails came after",
    )


def once_enrolled(seen: Evidence) -> Claim:
    """Who signs up again is told so, and is in the course once."""
    told = sum(
        row.slug == "notice/already-subscribed" and row.state == "accepted"
        for row in seen.deliveries.values()
    )
    query = select(ENROLLMENT.c.subscriber_id).group_by(ENROLLMENT.c.subscriber_id)
    twice = len(seen.rows(query.having(func.count() > 1)))
    return Claim(
        "enrolled",
        told == len(seen.deeds.again) and twice == 0,
        f"{told} signed up again and was told so; {twice} people are in the course twice",
    )


def proved(seen: Evidence) -> Claim:
    """The chain of consents holds."""
    chain = consents.verify(seen.connection)
    where = "holds" if chain.broken_at is None else f"is broken at act {chain.broken_at}"
    return Claim(
        "proved",
        chain.broken_at is None,
        f"{chain.acts} acts of consent are on record; their chain {where}",
    )
