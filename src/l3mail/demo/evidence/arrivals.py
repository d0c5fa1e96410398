"""Claims on what arrived: nothing lost, nothing twice, each in its language."""

from collections import Counter, defaultdict

from sqlalchemy import select

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.locales import choose
from l3mail.models import MESSAGE


def arrived(seen: Evidence) -> Claim:
    """What was accepted arrived, and nothing else did."""
    accepted = {n for n, row in seen.deliveries.items() if row.state == "accepted"}
    named = [seen.delivery(one) for one in seen.arrived]
    unknown = sum(row is None or row.id not in accepted for row in named)
    lost = len(accepted - {row.id for row in named if row is not None})
    return Claim(
        "arrived",
        unknown == lost == 0,
        f"{len(accepted)} deliveries were accepted, {lost} of them never arrived;"
        f" {unknown} mails without one",
    )


def repeated(seen: Evidence) -> Claim:
    """No mail came twice under two names."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in seen.arrived:
        if one.stream:
            names[one.address, one.subject].add(one.message_id)
    again = sum(len(ids) > 1 for ids in names.values())
    return Claim("repeated", again == 0, f"{again} mails of a stream came under two Message-IDs")


def resent(seen: Evidence) -> Claim:
    """What lost its answer came again, under its own name."""
    times = Counter(one.message_id for one in seen.arrived)
    twice = {message_id.partition(".")[0] for message_id, n in times.items() if n > 1}
    doubted = {str(n) for n, row in seen.deliveries.items() if row.uncertain_at is not None}
    return Claim(
        "resent",
        bool(doubted) and twice == doubted,
        f"{len(doubted)} lost its answer; {len(twice)} came again, under the same Message-ID",
    )


def in_their_language(seen: Evidence) -> Claim:
    """Each mail in the language that was asked for, where there is one."""
    texts: dict[str, set[str]] = defaultdict(set)
    for row in seen.rows(select(MESSAGE.c.slug, MESSAGE.c.locale)):
        texts[row.slug].add(row.locale)
    tongues = Counter(one.language for one in seen.arrived)
    other = 0
    for one in seen.arrived:
        text = seen.delivery(one)
        if text is not None:
            wanted = choose([seen.deeds.asked.get(one.address)], sorted(texts[text.slug]), "de")
            other += one.language != wanted
    counts = ", ".join(f"{n} {tongue}" for tongue, n in tongues.most_common())
    return Claim("language", other == 0, f"{counts}; {other} in another language than was there")
