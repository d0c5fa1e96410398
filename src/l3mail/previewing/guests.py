"""As whom a text is shown: an example of a person, or a subscriber whose address is known.

Owns the examples, and the words in an address of a page that stand for somebody: they tell nothing
of the person, and nobody is found by guessing them.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from l3mail.conditions import ALL
from l3mail.content import Text
from l3mail.settings import Settings

Shown = Callable[[Text, Mapping[str, Any]], int]
Find = Callable[[str], Mapping[str, Any] | None]
"""The subscriber of an address, with their present values; raises AddressError."""


TRACKINGS: Final = {
    "off": "off",
    "aggregate": "aggregate",
    "agreed": "consent, who agreed",
    "not-agreed": "consent, who did not",
}
"""Modes of `[tracking]` by which a mail is shown, as they are called."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody a text is shown to: `name` in addresses of pages, `title` on them.

    `tracking` is one of TRACKINGS, as which mail it is shown to them; "" is as the workspace is.
    """

    name: str
    title: str
    person: Mapping[str, Any] = field(default_factory=dict)
    is_subscriber: bool = False
    tracking: str = ""


_EXAMPLES: Final = (
    Guest("", "nobody in particular"),
    Guest(
        "maria",
        "Maria Sommer",
        {"first_name": "Maria", "last_name": "Sommer", "district": "Nordstadt"},
    ),
    Guest(
        "aylin",
        "Dr. Aylin Çelik, by her salutation",
        {
            "first_name": "Aylin",
            "last_name": "Çelik",
            "salutation": "Sehr geehrte Frau Dr. Çelik",
            "district": "Südvorstadt",
        },
    ),
    Guest(
        "long",
        "a very long name",
        {
            "first_name": "Maximiliane-Friederike",
            "last_name": "von Schwarzenberg-Hohenlohe & O’Neill <Müller>",
            "district": "Donaudampfschifffahrtsgesellschaftsviertel",
        },
    ),
)


class Guests:
    """Who can be picked; `find` is None where there is no database.

    `shown` says which parts of a text a subscriber would be shown now.
    """

    def __init__(self, find: Find | None = None, shown: Shown = lambda _text, _who: ALL) -> None:
        self._find = find
        self._shown = shown
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def shown(self, text: Text, guest: Guest) -> int:
        """The parts of a text that only some people get: of an example's, all."""
        return self._shown(text, guest.person) if guest.is_subscriber and text.conditions else ALL

    @property
    def knows_subscribers(self) -> bool:
        """Whether a subscriber's address can be given."""
        return self._find is not None

    def examples(self, settings: Settings) -> list[Guest]:
        """Who is nobody, with a value of each declared attribute but for the first."""
        values = {name: _sample(one) for name, one in settings.attributes.items()}
        nobody, *others = _EXAMPLES
        return [
            nobody,
            *(Guest(g.name, g.title, {**g.person, "attributes": values}) for g in others),
        ]

    def welcome(self, address: str) -> str | None:
        """A name for the subscriber of this address; None if there is none."""
        if self._find is None or self._find(address) is None:
            return None
        with self._lock:
            known = (name for name, kept in self._names.items() if kept == address)
            name = next(known, None) or f"s-{secrets.token_urlsafe(12)}"
            self._names[name] = address
            return name

    def called(self, name: str, settings: Settings) -> Guest | None:
        """Whom a name stands for, as they are now; None for nobody we know."""
        address = self._names.get(name)
        if address is None or self._find is None:
            return next((one for one in self.examples(settings) if one.name == name), None)
        person = self._find(address)
        return None if person is None else Guest(name, address, person, is_subscriber=True)


def _sample(attribute: Any) -> Any:
    """A value that an attribute may have."""
    if attribute.choices:
        return attribute.choices[0]
    samples = {"number": 7, "date": "2027-03-01", "bool": True}
    return samples.get(attribute.type, attribute.title or "etwas")
