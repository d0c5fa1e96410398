"""A proof as a page that stands alone: for a screen, a phone, paper, and a judge.

Owns the template and its style. Everything is escaped; no script, nothing from anywhere else.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l3mail.addresses import parse_address
from l3mail.errors import printable
from l3mail.locales import direction
from l3mail.proofs.evidence import streams_of
from l3mail.proofs.telling import Telling
from l3mail.proofs.terms import House, Mail, Proof


def view(proof: Proof, words: Telling, house: House) -> dict[str, Any]:
    """What page and paper say, in the language of `words`."""
    acts = proof.found["acts"]
    titles = {slug: one["title"] for slug, one in proof.found["streams"].items()}
    return {
        "house": house,
        "proof": proof,
        "made": words.moment(proof.made_at.isoformat()),
        "people": [_person(one, proof.email, words) for one in proof.found["people"]],
        "acts": [_act(act, acts, titles, words) for act in acts],
        "wordings": proof.found["wordings"],
        "mails": [_mail(mail, acts, words) for mail in proof.mails],
    }


def to_page(seen: Mapping[str, Any], words: Telling) -> str:
    """The page of a view."""
    page = _environment().get_template("proof.html")
    return page.render(w=words, dir=direction(words.language), **seen)


def _person(one: Mapping[str, Any], email: str, words: Telling) -> dict[str, Any]:
    """What the page says of how things stand with somebody now."""
    if one["erased_at"]:
        day = words.day(one["erased_at"])
        if not one["kept_until"]:
            return {"remark": words.say("page.erased_open", day=day), "streams": []}
        until = words.day(one["kept_until"])
        return {"remark": words.say("page.erased", day=day, until=until), "streams": []}
    streams = [
        (
            printable(stream["title"], 200),
            words.state(stream["status"]),
            _since(stream, words),
        )
        for stream in one["streams"]
    ]
    remark = words.say("page.tracking_on" if one["tracking"] else "page.tracking_off")
    if parse_address(one["email"]).display != email:
        remark = f"{words.say('page.moved', subscriber=one['subscriber'])} {remark}"
    return {"remark": remark, "streams": streams}


def _since(stream: Mapping[str, Any], words: Telling) -> str:
    left = stream["status"] == "unsubscribed"
    at = stream["unsubscribed_at" if left else "confirmed_at"]
    return words.moment(at) if at else ""


def _act(
    act: Mapping[str, Any],
    acts: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    words: Telling,
) -> dict[str, Any]:
    return {
        "seq": act["seq"],
        "at": words.moment(act["at"]),
        "iso": act["at"],
        "what": words.act(act["act"]),
        "streams": [printable(titles.get(slug, slug), 200) for slug in streams_of(act, acts)],
        "wordings": [one["id"] for one in act["content"].get("wordings") or ()],
        "how": words.how(act),
    }


def _mail(mail: Mail, acts: Sequence[Mapping[str, Any]], words: Telling) -> dict[str, Any]:
    noted = next(
        act
        for act in acts
        if act["act"] == "mailed" and act["content"]["delivery"] == mail.delivery
    )
    key = {True: "mail_same", False: "mail_other", None: "mail_unknown"}[mail.identical]
    said = words.say(
        f"page.{'mail_gone' if mail.content is None else key}",
        delivery=mail.delivery,
        file=mail.file,
        moment=words.moment(noted["at"]),
    )
    return {"said": said, "sha256": noted["content"].get("sha256")}


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
