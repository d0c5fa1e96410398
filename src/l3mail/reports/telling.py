"""From a report's facts to a document in one language: its title, its first sentences, its order.

Pure. The sections with tables are made in `sections`.
"""

from collections import Counter

from l3mail import needs
from l3mail.reports import sections
from l3mail.reports.documents import Bullets, Document, Paragraph, Section
from l3mail.reports.outlook import Coming
from l3mail.reports.weekly import Report
from l3mail.reports.wording import Words, tamed

MOST_NAMED = 5


def tell(report: Report) -> Document:
    """The whole report; what there is nothing to say of is left out."""
    words = Words(report.locale, report.zone)
    wanted = _needs_in_words(report, words)
    body = [_needs(wanted, words)]
    if report.is_empty:
        body.append(_begin(words))
    else:
        body += [
            sections.figures(report, words),
            *sections.courses(report, words),
            sections.mailings(report, words),
            *sections.links(report, words),
            *sections.origins(report, words),
            sections.calendar(report, words),
        ]
    if report.mails.aged:
        told = Paragraph(words.say("aged.told", n=report.mails.aged))
        body.append(Section("aged", words.say("aged.title"), (told,)))
    body.append(sections.proof(report, words))
    return Document(
        language=words.language,
        title=_title(report, words),
        subtitle=_subtitle(report, words),
        house=tamed(report.house),
        lead=(
            _happened(report, words),
            words.say("lead.needs", n=len(wanted)),
            _next(report, words),
        ),
        sections=tuple(body),
        footer=(made(report, words),),
    )


def made(report: Report, words: Words) -> str:
    """When a report was written, and for whom."""
    local = report.now.astimezone(report.zone)
    return words.say(
        "title.made",
        moment=f"{words.day(local.date())}, {local:%H:%M}",
        house=tamed(report.house),
    )


def _title(report: Report, words: Words) -> str:
    year, _, week = report.span.week.partition("-W")
    return words.say("title.weekly", year=year, week=week) if week else words.say("title.period")


def _subtitle(report: Report, words: Words) -> str:
    span = report.span
    days = words.days(span.first_on, span.last_on)
    if span.is_over:
        return days
    local = report.now.astimezone(report.zone)
    return words.say(
        "title.unfinished", days=days, moment=f"{words.weekday(local.date())}, {local:%H:%M}"
    )


# -- the three sentences


def _happened(report: Report, words: Words) -> str:
    if report.is_empty:
        return words.say("lead.empty")
    planned, confirmed = report.mails.total(), report.joining.confirmed
    if not planned and not confirmed.now:
        return words.say("lead.quiet")
    accepted = report.mails.total("accepted")
    beside = words.say("lead.beside", before=sections.before(report, words), n=confirmed.before)
    return words.say(
        "lead.both",
        mails=words.say("lead.mails", accepted=accepted, n=planned),
        people=words.say("lead.people", n=confirmed.now),
        beside=beside,
    )


def _next(report: Report, words: Words) -> str:
    coming = report.outlook.coming
    if not coming:
        return words.say("lead.soon" if report.is_empty else "lead.nothing")
    counts = Counter({"lessons": sum(one.people or 0 for one in coming if one.kind == "lesson")})
    counts["campaigns"] = sum(one.kind == "newsletter" for one in coming)
    counts["lifecycle"] = sum(one.people or 0 for one in coming if one.kind == "lifecycle")
    told = [words.say(f"lead.{name}", n=n) for name, n in counts.items() if n]
    what = told.pop()
    if told:
        what = words.say("lead.and", a=", ".join(told), b=what)
    first = coming[0]
    return words.say(
        "lead.nextone" if counts.total() == 1 else "lead.next",
        what=what,
        first=_name(report, first),
        at=words.moment(first.due_at),
    )


def _name(report: Report, coming: Coming) -> str:
    return sections.title_of(report.titles, coming.slug)


# -- what needs a person


def needs_of(report: Report) -> list[str]:
    """What a person is needed for, in the report's language."""
    return _needs_in_words(report, Words(report.locale, report.zone))


def _needs_in_words(report: Report, words: Words) -> list[str]:
    """Every thing a person is needed for, the most pressing first, one sentence each."""
    told = [tamed(needs.in_words(one, report.zone, words.language), 400) for one in report.needs]
    if report.proof.broken_at is not None:
        told.insert(0, words.say("needs.proof", seq=str(report.proof.broken_at)))
    told += [
        words.say("needs.holiday", day=words.weekday(one.on), name=tamed(one.name), n=one.lessons)
        for one in report.outlook.holidays
    ]
    lapsed = report.mails.total("lapsed")
    if lapsed:
        told.append(words.say("needs.lapsed", n=lapsed))
    for name, states in (("broken", ("broken",)), ("texts", ("changed", "new"))):
        slugs = sorted({one.slug for one in report.unpublished if one.state in states})
        if slugs:
            told.append(words.say(f"needs.{name}", n=len(slugs), texts=_listed(slugs, words)))
    return told


def _listed(slugs: list[str], words: Words) -> str:
    shown = [tamed(slug) for slug in slugs[:MOST_NAMED]]
    if len(slugs) > MOST_NAMED:
        shown.append(words.say("needs.others", n=len(slugs) - MOST_NAMED))
    return ", ".join(shown)


def _needs(wanted: list[str], words: Words) -> Section:
    block = Bullets(tuple(wanted)) if wanted else Paragraph(words.say("needs.none"))
    return Section("needs", words.say("needs.title"), (block,))


def _begin(words: Words) -> Section:
    items = tuple(words.say(f"begin.{name}") for name in ("form", "add", "look"))
    return Section("begin", words.say("begin.title"), (Bullets(items),))
