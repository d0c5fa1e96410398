"""What every text may name of a person: names, greeting, attributes."""

from collections.abc import Mapping
from typing import Any

_GREETINGS = {"de": "Guten Tag {}", "en": "Hello {}", "uk": "Добрий день, {}", "ar": "مرحبًا {}"}


def placeholders(person: Mapping[str, Any], locale: str = "de") -> dict[str, Any]:
    """The values every text may use; for staff mail, which has no person, the neutral ones.

    `greeting` is the person's own salutation, else built of the names, else neutral, in the
    language of the text (`locale`).
    """
    hello = _GREETINGS.get(locale.partition("-")[0], _GREETINGS["de"])
    names = [person.get("first_name"), person.get("last_name")]
    full = " ".join(name for name in names if name)
    return {
        "greeting": person.get("salutation") or hello.format(full).rstrip(" ,"),
        "first_name": person.get("first_name") or "",
        "last_name": person.get("last_name") or "",
        "salutation": person.get("salutation") or "",
        "district": person.get("district") or "",
        "locale": person.get("locale") or "",
        "attrs": _Attributes(person.get("attributes") or {}),
    }


class _Attributes(dict[str, Any]):
    """A person's attributes; one that is declared but was never given is empty, not unknown."""

    def __missing__(self, key: str) -> str:
        return ""
