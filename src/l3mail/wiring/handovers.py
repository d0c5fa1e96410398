"""Confirmation mails made once more, to be laid beside the evidence of what was handed over.

A mail is the same bytes as long as all that it is made of is the same. Some of that may have
changed since: each way it may have been is tried, and only the hash decides.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from l3mail import outbox, publishing
from l3mail.database import Database
from l3mail.errors import RenderingError
from l3mail.outbox import Started
from l3mail.proofs import Mail
from l3mail.publishing import Published
from l3mail.settings import Settings, load_secret_keys
from l3mail.tokens import Tokens
from l3mail.wiring.mails import composer


def handed_over(
    settings: Settings, database: Database, acts: Sequence[Mapping[str, Any]]
) -> list[Mail]:
    """The mails that these acts `mailed` name, as far as they can be made."""
    noted = {act["content"]["delivery"]: act["content"] for act in acts if act["act"] == "mailed"}
    return [_made_again(settings, database, noted[number]) for number in sorted(noted)]


def _made_again(settings: Settings, database: Database, noted: Mapping[str, Any]) -> Mail:
    number, wanted = int(noted["delivery"]), noted.get("sha256")
    fallback = settings.workspace.locale

    def verb(connection: Connection) -> tuple[Started | None, dict[int, Published]]:
        delivery = outbox.glimpse(connection, number, fallback)
        if delivery is None:
            return None, {}
        return delivery, publishing.load(connection, [delivery.message_id])

    delivery, texts = database.read(verb)
    if delivery is None:
        return Mail(number, None, None)
    content: bytes | None = None
    text = texts[delivery.message_id]
    for key in load_secret_keys(settings):
        compose = composer(settings, database, Tokens([key.get_secret_value()]))
        for way in _ways(delivery, noted):
            try:
                made = compose(way, text)
            except RenderingError:  # what the mail needs is no more: then it was not this way
                continue
            if hashlib.sha256(made).hexdigest() == wanted:
                return Mail(number, made, identical=True)
            content = content or made
    return Mail(number, content, None if wanted is None else False)


def _ways(delivery: Started, noted: Mapping[str, Any]) -> Iterator[Started]:
    """As it was started: by what it asked then, of the person as known now or not at all yet."""
    # Sign-ups go in time; their number is what the links are made of.
    delivery = replace(delivery, signup_id=noted["signup"])
    asked = noted.get("asked") or {}
    if asked.get("expires_at"):
        then = {
            "streams": asked["streams"],
            "expires_at": datetime.fromisoformat(asked["expires_at"]),
        }
        delivery = replace(delivery, asked=then)
    yield delivery
    yield replace(delivery, person={})
