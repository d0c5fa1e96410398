"""What a form for signing up asks, in one language: streams with what is agreed to, and fields.

The same for our own page and for what stands on other people's (`embedding`). Owns the order and
the words; what comes back is `fields`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from l3mail import consents, courses, streams
from l3mail.streams import Offer
from l3mail.subscribers import StreamName
from l3mail.web import fields
from l3mail.web.door import Speaker

_Asks = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A stream on the form, with what somebody agrees to who joins it."""

    slug: str
    title: str
    wording: str


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a form shows. `marks` name the texts of consent among it, for the form to say so.

    `alone` is the only stream, where the button itself agrees to it. `tracking` is the text beside
    its box, "" where there is none.
    """

    streams: Sequence[Box]
    alone: Box | None
    fields: Sequence[dict[str, Any]]
    hints: Mapping[str, str]
    tracking: str
    marks: Sequence[str]


def what_is_asked(
    connection: Connection,
    speaker: Speaker,
    among: Collection[str] = (),
    wrong: Collection[str] = (),
    *,
    always_boxes: bool = False,
) -> Asked:
    """What a form asks for the streams `among`, or for all; `wrong` fields are shown in any case.

    With `always_boxes` an only stream has a box to tick as well.
    """
    offered = streams.offers(connection)
    shown = [offer for offer in offered if offer.slug in among] or offered
    alone = len(shown) == 1 and "stream" not in wrong and not always_boxes
    found = in_force(connection, speaker)
    agreed = {name: wording.text for name, wording in found.items()}
    asks = courses.asked(connection)
    boxes = [
        Box(offer.slug, offer.title, wording_of(speaker, offer, agreed, alone=alone))
        for offer in shown
    ]
    tracking = ""
    if speaker.settings.tracking.mode == "consent":
        tracking = agreed.get("tracking") or speaker.say("subscribe.tracking_agree")
    read = [found.get(offer.slug) or found.get(offer.kind) for offer in shown]
    read += [found.get("tracking")] if tracking else []
    of_courses = {} if len(shown) == 1 else _hints_of_courses(speaker, shown, asks)
    return Asked(
        streams=boxes,
        alone=boxes[0] if alone else None,
        fields=_fields(speaker, [asks.get(offer.slug, ()) for offer in shown], wrong),
        hints=_hints(speaker) | of_courses,
        tracking=tracking,
        marks=list(dict.fromkeys(wording.mark for wording in read if wording)),
    )


def in_force(connection: Connection, speaker: Speaker) -> dict[str, consents.Wording]:
    """The texts of consent a form shows in this language, by kind or slug of stream."""
    return consents.current_wordings(connection, speaker.tag, speaker.settings.workspace.locale)


def wordings(connection: Connection, speaker: Speaker) -> dict[str, str]:
    """By kind or slug of stream, and for `tracking`: the words of consent shown beside a box."""
    return {name: wording.text for name, wording in in_force(connection, speaker).items()}


def wording_of(
    speaker: Speaker, offer: Offer | StreamName, agreed: Mapping[str, str], *, alone: bool = False
) -> str:
    """What somebody agrees to who joins a stream: its own words, its kind's, or plain ones."""
    plain = "subscribe.agree_alone" if alone else "subscribe.agree"
    said = agreed.get(offer.slug) or agreed.get(offer.kind)
    return said or speaker.say(plain, title=offer.title)


def choice_label(speaker: Speaker, choice: str) -> str:
    """What a choice is called: by the workspace's words, else by itself with a capital."""
    word = f"choices.{choice}"
    said = speaker.say(word)
    return choice[:1].upper() + choice[1:] if said == word else said


def in_words(speaker: Speaker, name: str, value: object) -> str:
    """A kept value as a page shows it: a choice by its label, a date as somebody would type it."""
    attribute = speaker.settings.attributes.get(name)
    if isinstance(value, bool):
        return speaker.say("subscribe.yes" if value else "subscribe.no")
    if attribute is not None and attribute.type == "choice":
        return choice_label(speaker, str(value))
    if name == "birthday" or (attribute is not None and attribute.type == "date"):
        return fields.typed_date(str(value))
    return str(value)


def field_of(speaker: Speaker, name: str) -> dict[str, Any]:
    """What a page shows a field with."""
    attribute = speaker.settings.attributes.get(name)
    options: list[tuple[str, str]] = []
    if attribute and attribute.type == "choice":
        options = [(choice, choice_label(speaker, choice)) for choice in attribute.choices]
    elif attribute and attribute.type == "bool":
        options = [("yes", speaker.say("subscribe.yes")), ("no", speaker.say("subscribe.no"))]
    return {
        "name": name,
        "declared": attribute is not None,
        "label": (attribute.title or name) if attribute else speaker.say(f"subscribe.{name}"),
        "options": options,
        "autocomplete": fields.AUTOCOMPLETE.get(name, ""),
        "numeric": bool(attribute and attribute.type == "number"),
    }


def _hints(speaker: Speaker) -> dict[str, str]:
    dates = [name for name, a in speaker.settings.attributes.items() if a.type == "date"]
    return {
        "salutation": speaker.say("subscribe.salutation_hint"),
        "birthday": speaker.say("subscribe.birthday_hint"),
        **dict.fromkeys(dates, speaker.say("subscribe.birthday_hint")),
    }


def _hints_of_courses(
    speaker: Speaker, offers: Sequence[Offer], asks: Mapping[str, _Asks]
) -> dict[str, str]:
    """For which course something is asked, where the form is for others too."""
    return {
        name: speaker.say("subscribe.asked_for", title=offer.title)
        for offer in offers
        for name in asks.get(offer.slug, ())
        if name not in speaker.settings.signup.fields
    }


def _fields(
    speaker: Speaker, asks: Sequence[_Asks], wrong: Collection[str]
) -> list[dict[str, Any]]:
    """The fields the form shows: those configured, what courses ask, and any to be mended."""
    settings = speaker.settings
    known = (*fields.PERSONAL, *settings.attributes)
    names = [*settings.signup.fields, *fields.asked(asks, settings)]
    shown = dict.fromkeys([*names, *(n for n in known if n in wrong)])
    return [field_of(speaker, name) for name in shown if name in known]
