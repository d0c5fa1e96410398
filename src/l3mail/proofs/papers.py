"""A proof as a paper: PDF/UA, set of the same words as the page.

What no font can print is left out; page and evidence keep it.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from l3mail import typesetting
from l3mail.errors import PaperError
from l3mail.proofs.telling import Telling

log = logging.getLogger("l3mail.proofs")

_SOURCE = Path(__file__).with_name("templates") / "proof.typ"
_COLOURS: Final = {"ink": "#1f2b2a", "soft": "#51615f", "accent": "#0b5f5a", "line": "#d5dedb"}
Piece = dict[str, Any]


def to_paper(seen: Mapping[str, Any], words: Telling) -> bytes | None:
    """The paper of a view; None where it can't be set: the page says the same."""
    values = {
        "title": words.say("page.title"),
        "lang": words.language,
        "house": seen["house"].name,
        "colours": _COLOURS,
        "made": words.say("page.made", moment=seen["made"], house=seen["house"].name),
        "pieces": list(_pieces(seen, words)),
    }
    paper = typesetting.Paper(
        "proof.typ", _SOURCE.read_text(encoding="utf-8"), typesetting.printed(values)
    )
    try:
        return typesetting.typeset(paper)
    except PaperError as fault:
        log.warning("a proof goes without its paper: %s", fault)
        return None


def _pieces(seen: Mapping[str, Any], words: Telling) -> Iterator[Piece]:
    yield _heading(1, words.say("page.title"))
    yield _said(words.say("page.of"), strong=seen["proof"].email)
    yield from _standing(seen, words)
    yield _heading(2, words.say("page.history"))
    head = [words.say(f"page.{name}") for name in ("number", "when", "what", "how")]
    rows = [
        (
            str(act["seq"]),
            act["at"],
            "; ".join((act["what"], *act["streams"])),
            "; ".join((act["how"], *(f"{words.say('page.wording')} {n}" for n in act["wordings"]))),
        )
        for act in seen["acts"]
    ]
    yield _table(head, rows, (2, 5, 6, 7))
    yield _said(words.say("page.zone", zone=seen["house"].zone))
    if seen["wordings"]:
        yield _heading(2, words.say("page.texts"))
        yield _said(words.say("page.texts_note"))
    for one in seen["wordings"]:
        yield _heading(3, words.wording(one))
        lines = [line for line in one["text"].splitlines() if line.strip()]
        yield {"kind": "quote", "pieces": [_said(line) for line in lines]}
        yield _code(one["hash"])
    yield _heading(2, words.say("page.mails"))
    for mail in seen["mails"]:
        yield _said(mail["said"])
        if mail["sha256"]:
            yield _code(mail["sha256"])
    if not seen["mails"]:
        yield _said(words.say("page.no_mails"))
    yield from _checking(seen, words)


def _standing(seen: Mapping[str, Any], words: Telling) -> Iterator[Piece]:
    yield _heading(2, words.say("page.now"))
    streams = [stream for person in seen["people"] for stream in person["streams"]]
    if streams:
        head = [words.say(f"page.{name}") for name in ("offer", "state", "since")]
        yield _table(head, streams, (5, 3, 4))
    else:
        yield _said(words.say("page.none"))
    for person in seen["people"]:
        yield _said(person["remark"])


def _checking(seen: Mapping[str, Any], words: Telling) -> Iterator[Piece]:
    chain = seen["proof"].chain
    yield _heading(2, words.say("page.checking"))
    if chain["verified"]:
        yield _said(words.say("page.whole", acts=chain["acts"]))
    else:
        yield _said(words.say("page.broken", seq=chain["broken_at"]))
    yield _code(chain["newest_link"])
    yield _said(words.say("page.check_how"))
    yield _said(words.say("page.check_anchor"))
    for level, name in ((2, "shows"), (3, "shows_not")):
        yield _heading(level, words.say(f"page.{name}"))
        items = [[_said(line)] for line in words.all_of(f"page.{name}_all")]
        yield {"kind": "list", "items": items}
    imprint = ", ".join(part for part in (seen["house"].address, seen["house"].email) if part)
    if imprint:
        yield _said(imprint)


def _heading(level: int, text: str) -> Piece:
    return {"kind": "heading", "level": level, "nodes": [_text(text)]}


def _said(text: str, strong: str = "") -> Piece:
    nodes = [_text(text)]
    if strong:
        nodes += [_text(" "), {"kind": "strong", "nodes": [_text(strong)]}]
    return {"kind": "paragraph", "nodes": nodes}


def _code(text: str) -> Piece:
    return {"kind": "code", "text": text}


def _table(head: list[str], rows: list[Any], shares: tuple[int, ...]) -> Piece:
    return {
        "kind": "table",
        "shares": list(shares),
        "head": [[_text(cell)] for cell in head],
        "rows": [[[_text(cell)] for cell in row] for row in rows],
    }


def _text(text: str) -> Piece:
    return {"kind": "text", "text": text}
