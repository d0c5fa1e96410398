"""The sections of a report that hold numbers: which rows and columns, and when to say none.

Pure. A column in which nothing would stand is left out, so that a small house gets small tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

from l3mail.reports.documents import (
    Bar,
    Block,
    Chart,
    Figure,
    Figures,
    Paragraph,
    Section,
    Table,
)
from l3mail.reports.hiding import FEWEST, Breakdown, Cell
from l3mail.reports.joining import Pair
from l3mail.reports.learning import CourseFigures, LessonFigures
from l3mail.reports.mails import Mailing, Mails, Reach
from l3mail.reports.outlook import Coming
from l3mail.reports.weekly import Report
from l3mail.reports.wording import Words, tamed

MOST_ROWS = 20
MOST_COMING = 40
NONE = "–"
_MONDAY = date(2026, 11, 23)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def before(report: Report, words: Words) -> str:
    """What the span before is called."""
    return words.say("figures.before_week" if report.span.week else "figures.before_period")


def title_of(titles: Mapping[str, str], slug: str) -> str:
    """What a text is called: its subject, else its slug."""
    return tamed(titles.get(slug) or slug)


def _beside(report: Report, pair: Pair, words: Words) -> str:
    return words.say("figures.beside", before=before(report, words), n=pair.before)


def cell(found: Cell, words: Words) -> str:
    """A number that may be hidden."""
    if found.n is not None:
        return words.number(found.n)
    return words.say("origins.few" if found.hidden == "small" else "origins.covered")


# -- the key figures


def figures(report: Report, words: Words) -> Section:
    """The week's numbers: the few that everybody asks for, mails by kind, offers."""
    mails, joining = report.mails, report.joining
    few = Figures(
        (
            Figure(
                words.say("figures.accepted"),
                words.number(mails.total("accepted")),
                words.say("figures.of", n=mails.total()),
            ),
            *(
                Figure(
                    words.say(f"figures.{name}"),
                    words.number(pair.now),
                    _beside(report, pair, words),
                )
                for name, pair in (
                    ("requested", joining.requested),
                    ("confirmed", joining.confirmed),
                    ("left", joining.left),
                )
            ),
            Figure(
                words.say("figures.members"),
                words.number(joining.members),
                words.say("figures.today"),
            ),
        )
    )
    blocks: list[Block] = [few]
    if mails.kinds:
        blocks += [
            _kinds(report, words),
            Paragraph(words.say("figures.accepted_note"), is_note=True),
        ]
    if joining.offers:
        blocks.append(_offers(report, words))
    return Section("figures", words.say("figures.title"), tuple(blocks))


def _kinds(report: Report, words: Words) -> Table:
    kinds = report.mails.kinds
    columns = {
        "due": [kind.planned for kind in kinds],
        "taken": [kind.states["accepted"] for kind in kinds],
        "waiting": [kind.waiting for kind in kinds],
        **{
            state: [kind.states[state] for kind in kinds]
            for state in ("failed", "uncertain", "held", "lapsed", "cancelled")
        },
    }
    shown = [name for name, values in columns.items() if name in {"due", "taken"} or any(values)]
    heads = [words.say(f"figures.{name}") for name in shown]
    rows = [
        (
            words.say(f"kind.{kind.kind}"),
            *(words.number(columns[name][number]) for name in shown),
            words.number(kind.planned_before),
        )
        for number, kind in enumerate(kinds)
    ]
    due_before = f"{words.say('figures.due')} ({before(report, words)})"
    return Table(
        words.say("figures.kinds"), (words.say("figures.kind"), *heads, due_before), tuple(rows)
    )


def _offers(report: Report, words: Words) -> Table:
    then = before(report, words)
    columns = (
        words.say("figures.offer"),
        words.say("figures.joined"),
        then,
        words.say("figures.gone"),
        then,
        words.say("figures.now"),
    )
    rows = [
        (
            tamed(offer.title),
            *(
                words.number(n)
                for pair in (offer.confirmed, offer.left)
                for n in (pair.now, pair.before)
            ),
            words.number(offer.members),
        )
        for offer in report.joining.offers
    ]
    return Table(words.say("figures.offers"), columns, tuple(rows))


# -- courses


def courses(report: Report, words: Words) -> Iterator[Section]:
    """Each course somebody takes, with its funnel; the others in one line."""
    taken = [course for course in report.courses if course.is_taken]
    untaken = [tamed(course.title) for course in report.courses if not course.is_taken]
    blocks: list[Block] = []
    if not taken:
        blocks.append(Paragraph(words.say("courses.none")))
    if untaken:
        named = words.say("courses.untaken", courses=", ".join(untaken))
        blocks.append(Paragraph(named, is_note=True))
    yield Section("courses", words.say("courses.title"), tuple(blocks))
    for number, course in enumerate(taken, start=1):
        yield course_section(report.titles, course, words, name=f"course-{number}")


def learners(course: CourseFigures, words: Words) -> str:
    """Who is where in a course, in one sentence."""
    counts = dict(course.learners)
    counts = {"active": 0, "paused": 0, "finished": 0} | counts | {"completed": course.completed}
    states = [words.say(f"courses.{name}", n=n) for name, n in counts.items() if n]
    return words.say(
        "courses.learners",
        cadence=_cadence(course, words),
        states=", ".join(states) or words.say("courses.active", n=0),
        began=words.say("courses.began", n=course.began),
    )


def course_section(
    titles: Mapping[str, str], course: CourseFigures, words: Words, *, name: str, level: int = 3
) -> Section:
    """One course: who is where, the chart, and the same in a table."""
    labels = {lesson.slug: _label(titles, lesson) for lesson in course.lessons}
    blocks: list[Block] = [Paragraph(learners(course, words))] if level > 2 else []
    if course.done_days:
        together = words.say("courses.together", n=course.done_days)
        blocks.append(Paragraph(f"{together} {words.say('courses.days', n=course.done_in_span)}"))
    if any(lesson.due for lesson in course.lessons):
        bars = [
            Bar(labels[one.slug], one.reach.accepted, one.in_span, words.number(one.reach.accepted))
            for one in course.lessons
        ]
        told = "; ".join(words.say("courses.bar", label=bar.label, n=bar.whole) for bar in bars)
        blocks.append(
            Chart(
                name=f"{name}-chart",
                title=words.say("courses.chart"),
                summary=words.say("courses.summary", course=tamed(course.title), bars=told),
                whole=words.say("courses.whole"),
                part=words.say("courses.part"),
                bars=tuple(bars),
            )
        )
    blocks.append(_funnel(course, labels, words))
    note = _measured([lesson.reach for lesson in course.lessons], words)
    if note:
        blocks.append(Paragraph(note, is_note=True))
    return Section(name, tamed(course.title), tuple(blocks), level=level)


def _label(titles: Mapping[str, str], lesson: LessonFigures) -> str:
    return tamed(titles.get(lesson.slug) or lesson.slug.rpartition("/")[2])


def _cadence(course: CourseFigures, words: Words) -> str:
    said = course.cadence
    at = str(said.get("at", ""))
    if "weekday" in said:
        day = _MONDAY + timedelta(days=_DAYS.index(str(said["weekday"])))
        return words.say("courses.weekly", day=words.weekday(day).partition(",")[0], at=at)
    days = int(said.get("every_days", 1))
    return words.say("courses.daily" if days == 1 else "courses.every", n=days, at=at)


def _funnel(course: CourseFigures, labels: dict[str, str], words: Words) -> Table:
    lessons = course.lessons
    columns = ["due", "accepted"]
    if any(lesson.reach.measurable for lesson in lessons):
        columns += ["measurable", "opened", "clicked"]
    if any(lesson.answered for lesson in lessons):
        columns.append("answered")
    columns += ["span", "ahead"]
    rows = [
        (labels[one.slug], *(_funnel_cell(one, name, words) for name in columns)) for one in lessons
    ]
    heads = (words.say("courses.lesson"), *(words.say(f"courses.{name}") for name in columns))
    return Table(words.say("courses.funnel"), heads, tuple(rows))


def _funnel_cell(lesson: LessonFigures, column: str, words: Words) -> str:
    plain = {
        "due": lesson.due,
        "answered": lesson.answered,
        "span": lesson.in_span,
        "ahead": lesson.ahead,
    }
    return words.number(plain[column]) if column in plain else _reach(lesson.reach, column, words)


def _reach(reach: Reach, column: str, words: Words) -> str:
    """One number of a reach, with its rate where there are enough to speak of one."""
    if column == "accepted":
        return words.number(reach.accepted)
    if column == "measurable":
        share = f" ({words.share(reach.measurable, reach.accepted)})" if reach.accepted else ""
        return words.number(reach.measurable) + share
    if not reach.tells:
        return NONE
    n = reach.opened if column == "opened" else reach.clicked
    return f"{words.number(n)} ({words.share(n, reach.measurable)})"


def _measured(reaches: Sequence[Reach], words: Words) -> str:
    measurable = sum(reach.measurable for reach in reaches)
    accepted = sum(reach.accepted for reach in reaches)
    if not accepted:
        return ""
    if not measurable:
        return words.say("mailings.unmeasured")
    return words.say(
        "mailings.measured",
        measurable=measurable,
        accepted=accepted,
        share=words.share(measurable, accepted),
        fewest=FEWEST,
    )


# -- newsletters and lifecycle mails, links, acts


def mailings(report: Report, words: Words) -> Section:
    """Issues and lifecycle mailings of the span."""
    title = words.say("mailings.title")
    if not report.mails.mailings:
        return Section("mailings", title, (Paragraph(words.say("mailings.none")),))
    return Section("mailings", title, mailings_blocks(report.mails, report.titles, words))


def mailings_blocks(mails: Mails, titles: Mapping[str, str], words: Words) -> tuple[Block, ...]:
    """A table of mailings, and what its rates are over."""
    blocks: list[Block] = [_mailings_table(mails.mailings, titles, words)]
    note = _measured([one.reach for one in mails.mailings], words)
    if note:
        blocks.append(Paragraph(note, is_note=True))
    judged = mails.judged
    if judged.machine or judged.unsure or judged.raw:
        told = words.say(
            "mailings.judged", machine=judged.machine, unsure=judged.unsure, raw=judged.raw
        )
        blocks.append(Paragraph(told, is_note=True))
    return tuple(blocks)


def _mailings_table(found: Sequence[Mailing], titles: Mapping[str, str], words: Words) -> Table:
    columns = ["due", "accepted"]
    if any(one.reach.measurable for one in found):
        columns += ["measurable", "opened", "clicked"]
    if any(one.uncounted_clicks.n for one in found):
        columns.append("uncounted")

    def told(one: Mailing, column: str) -> str:
        if column == "due":
            return words.number(one.planned)
        if column == "uncounted":
            return cell(one.uncounted_clicks, words)
        return _reach(one.reach, column, words)

    heads = [
        words.say(f"{'mailings' if name == 'uncounted' else 'courses'}.{name}") for name in columns
    ]
    rows = [(title_of(titles, one.slug), *(told(one, name) for name in columns)) for one in found]
    return Table(
        words.say("mailings.caption"), (words.say("mailings.mailing"), *heads), tuple(rows)
    )


def links_table(mails: Mails, titles: Mapping[str, str], words: Words) -> tuple[Block, ...]:
    """The links most clicked, if any were."""
    found = mails.links
    if not found:
        return ()
    has_uncounted = any(link.uncounted.n for link in found)
    heads = ["link", "text", "people", *(["uncounted"] if has_uncounted else [])]
    rows = [
        (
            tamed(link.name),
            title_of(titles, link.slug),
            cell(link.people, words),
            *([cell(link.uncounted, words)] if has_uncounted else []),
        )
        for link in found
    ]
    columns = tuple(words.say(f"links.{name}") for name in heads)
    return (Table(words.say("links.caption"), columns, tuple(rows), frozenset({1})),)


def links(report: Report, words: Words) -> Iterator[Section]:
    """The links most clicked, interests and answers; nothing where there are none."""
    blocks: list[Block] = [*links_table(report.mails, report.titles, words)]
    acts = report.joining.acts
    if acts:
        rows = [
            (
                words.say(f"links.{act.kind}", name=tamed(act.name)),
                title_of(report.titles, act.slug) or NONE,
                cell(act.people, words),
            )
            for act in acts[:MOST_ROWS]
        ]
        columns = tuple(words.say(f"links.{name}") for name in ("act", "about", "people"))
        blocks.append(Table(words.say("links.acts"), columns, tuple(rows), frozenset({1})))
        blocks += _more(len(acts), words)
    if blocks:
        yield Section("links", words.say("links.title"), tuple(blocks))


def _more(rows: int, words: Words) -> list[Block]:
    if rows <= MOST_ROWS:
        return []
    return [Paragraph(words.say("origins.more", n=rows - MOST_ROWS), is_note=True)]


# -- where people come from


def origins(report: Report, words: Words) -> Iterator[Section]:
    """Confirmed sign-ups by source and by district, as far as nobody can be made out."""
    blocks: list[Block] = []
    if not (report.joining.confirmed.now or report.joining.confirmed.before):
        return
    for name, one in (
        ("sources", report.joining.by_source),
        ("districts", report.joining.by_district),
    ):
        if one.rows:
            blocks.append(_origin(report, name, one, words))
            blocks += _more(len(one.rows), words)
        else:
            blocks.append(Paragraph(words.say(f"origins.too_few_{name}")))
    if report.joining.by_source.rows or report.joining.by_district.rows:
        blocks.append(Paragraph(words.say("origins.note"), is_note=True))
    yield Section("origins", words.say("origins.title"), tuple(blocks))


def _origin(report: Report, name: str, found: Breakdown, words: Words) -> Table:
    columns = (
        words.say(f"origins.{name[:-1]}"),
        words.say("origins.now"),
        before(report, words),
    )
    rows = [
        (
            tamed(label) if label else words.say("origins.unknown"),
            cell(now, words),
            cell(then, words),
        )
        for label, now, then in found.rows[:MOST_ROWS]
    ]
    return Table(words.say(f"origins.{name}"), columns, tuple(rows))


# -- what comes, and the proof


def calendar(report: Report, words: Words) -> Section:
    """The next seven days, moment by moment."""
    coming = report.outlook.coming
    title = words.say("calendar.title")
    if not coming:
        return Section("calendar", title, (Paragraph(words.say("calendar.nothing")),))
    columns = tuple(words.say(f"calendar.{name}") for name in ("when", "what", "people"))
    rows = [
        (words.slot(one.due_at), label, NONE if one.people is None else words.number(one.people))
        for one, label in _coming(report, coming, words)
    ]
    caption = words.say(
        "calendar.caption",
        first=words.weekday(report.outlook.first_on),
        last=words.weekday(report.outlook.last_on),
    )
    table = Table(caption, columns, tuple(rows), frozenset({1}))
    return Section("calendar", title, (table, Paragraph(words.say("calendar.note"), is_note=True)))


def _coming(report: Report, coming: Sequence[Coming], words: Words) -> Iterator[tuple[Coming, str]]:
    """Each mail to come with its name; where they would be too many, a course's lessons in one."""
    if len(coming) <= MOST_COMING:
        yield from ((one, title_of(report.titles, one.slug)) for one in coming)
        return
    names = {course.slug: tamed(course.title) for course in report.courses}

    def slot(one: Coming) -> tuple[object, str, str]:
        return (
            one.due_at,
            one.kind,
            one.slug.partition("/")[0] if one.kind == "lesson" else one.slug,
        )

    for (_, kind, slug), several in groupby(sorted(coming, key=slot), slot):
        ones = list(several)
        if kind != "lesson":
            yield ones[0], title_of(report.titles, slug)
            continue
        people = sum(one.people or 0 for one in ones)
        label = words.say("calendar.lessons", course=names.get(slug, tamed(slug)))
        yield Coming(ones[0].due_at, slug, kind, people), label


def proof(report: Report, words: Words) -> Section:
    """The evidence of consent: how much there is, whether it holds, and the anchor."""
    found = report.proof
    if found.broken_at is None:
        state = words.say("proof.whole", n=found.acts)
    else:
        state = words.say("proof.broken", n=found.acts, seq=str(found.broken_at))
    return Section(
        "proof",
        words.say("proof.title"),
        (
            Paragraph(state),
            Paragraph(words.say("proof.anchor", link=bytes(found.link).hex())),
            Paragraph(words.say("proof.why"), is_note=True),
        ),
    )
