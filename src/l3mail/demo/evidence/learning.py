"""Claims on answers: each is kept, the last counts, and who gave them all completed the course."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from l3mail.demo.evidence.seen import Claim, Evidence
from l3mail.demo.people import COURSE, SCANNED
from l3mail.models import CERTIFICATE, DELIVERY, ENROLLMENT, EVENT, MESSAGE, SUBSCRIBER

_Question = tuple[str, str]
"""The slug of a text, and the name of one of its questions."""


def answered(seen: Evidence) -> Claim:
    """Each answer is on record, and of several to one question the last one counts."""
    sent = _sent(seen)
    rows = _on_record(seen)
    counting = {(row.address, (row.slug, row.name)): row.data["value"] for row in rows}
    right = _right(seen)
    quizzes = [one for one in counting if one[1] in right]
    correct = sum(counting[one] == right[one[1]] for one in quizzes)
    changed = sum(len(values) > 1 for values in sent.values())
    return Claim(
        "answered",
        counting == {one: values[-1] for one, values in sent.items()}
        and len(rows) == sum(map(len, sent.values()))
        and changed > 0,
        f"{len({who for who, _ in counting})} people gave {len(counting)} answers, {changed} of"
        f" them changed and kept as changed; {correct} of {len(quizzes)} to a quiz are right",
    )


def by_themselves(seen: Evidence) -> Claim:
    """Whoever opens every link answers nothing by it; who allows no measuring answers like all."""
    tried = sum(
        "/quiz/" in link or "/feedback/" in link
        for one in seen.arrived
        if one.address == SCANNED
        for link in one.links
    )
    rows = _on_record(seen)
    by_scanner = sum(row.address == SCANNED for row in rows)
    unmeasured = sum(not row.tracking for row in rows)
    return Claim(
        "by themselves",
        by_scanner == 0 < tried and unmeasured > 0,
        f"the scanner opened {tried} links to answers and gave {by_scanner}; {unmeasured} answers"
        " are by people who allow no measuring",
    )


def completed(seen: Evidence) -> Claim:
    """Who answered every quiz of the course has completed it, and nobody else has."""
    quizzes = _right(seen).keys()
    done: dict[str, set[_Question]] = {}
    for address, question in _sent(seen):
        done.setdefault(address, set()).add(question)
    diligent = {address for address, questions in done.items() if quizzes <= questions}
    query = (
        select(SUBSCRIBER.c.address)
        .join(ENROLLMENT, ENROLLMENT.c.subscriber_id == SUBSCRIBER.c.id)
        .where(ENROLLMENT.c.completed_at.is_not(None))
    )
    found = {row.address for row in seen.rows(query)}
    others = len(done.keys() - diligent)
    return Claim(
        "completed",
        found == diligent and bool(found) and others > 0,
        f"{len(found)} answered all {len(quizzes)} quizzes of the course and have completed it,"
        f" {others} answered some and have not",
    )


def certified(seen: Evidence) -> Claim:
    """Who fetched a certificate has completed the course, and its code finds it genuine."""
    query = (
        select(SUBSCRIBER.c.address, ENROLLMENT.c.completed_at)
        .select_from(CERTIFICATE)
        .join(ENROLLMENT, ENROLLMENT.c.id == CERTIFICATE.c.enrollment_id)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == ENROLLMENT.c.subscriber_id)
    )
    rows = seen.rows(query)
    papers = seen.deeds.collected
    genuine = sum(is_genuine for _, is_genuine in papers.values())
    unearned = sum(row.completed_at is None for row in rows)
    return Claim(
        "certified",
        {row.address for row in rows} == papers.keys() != set()
        and all(paper.startswith(b"%PDF-") for paper, _ in papers.values())
        and genuine == len(papers)
        and unearned == 0,
        f"{len(papers)} fetched their certificate as a PDF, {genuine} are genuine by their codes;"
        f" {unearned} without having completed the course",
    )


def _sent(seen: Evidence) -> dict[tuple[str, _Question], list[str]]:
    """What people sent, by address and question, the last last."""
    return {
        (address, (seen.deliveries[int(message_id.partition(".")[0])].slug, name)): values
        for (address, message_id, name), values in seen.deeds.answered.items()
    }


def _on_record(seen: Evidence) -> Sequence[Row[Any]]:
    return seen.rows(
        select(
            SUBSCRIBER.c.address, SUBSCRIBER.c.tracking, DELIVERY.c.slug, EVENT.c.name, EVENT.c.data
        )
        .join(SUBSCRIBER, SUBSCRIBER.c.id == EVENT.c.subscriber_id)
        .join(DELIVERY, DELIVERY.c.id == EVENT.c.delivery_id)
        .where(EVENT.c.kind == "answered")
        .order_by(EVENT.c.at, EVENT.c.id)
    )


def _right(seen: Evidence) -> dict[_Question, str]:
    """What is right, by quiz of the course, the same in each of its languages."""
    query = select(MESSAGE.c.slug, MESSAGE.c.compiled["questions"].label("questions"))
    texts = seen.rows(query.where(MESSAGE.c.slug.startswith(f"{COURSE}/")))
    return {
        (text.slug, asked["name"]): "".join(
            option["value"] for option in asked["options"] if option["right"]
        )
        for text in texts
        for asked in text.questions or ()
        if asked["kind"] == "quiz"
    }
