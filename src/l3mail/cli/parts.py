"""Parts of a text that only some people get, as a preview shows them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from l3mail.cli.context import House
from l3mail.errors import printable

if TYPE_CHECKING:
    from l3mail.content import Text

When = Literal["all", "none"]


def shown_parts(house: House, text: "Text", person: Mapping[str, Any], when: When | None) -> int:
    """The parts somebody would be shown now; for nobody in particular all of them, or none."""
    from l3mail import conditions
    from l3mail.wiring import asking_terms

    if not person or not text.conditions:
        return conditions.NONE if when == "none" else conditions.ALL
    compiled, now, terms = text.compiled or {}, house.clock.now(), asking_terms(house.settings)
    with house.database() as database:
        return database.read(
            lambda connection: conditions.shown_to(connection, compiled, person["id"], now, terms)
        )


def told_parts(text: "Text", shown: int) -> Iterator[str]:
    """A line for each condition: what it asks, where it stands, and whether its part is shown."""
    for number, part in enumerate(text.conditions):
        asks = f"{'else of ' if part.otherwise else ''}if {part.asks}"
        how = "shown" if shown >> number & 1 else "not shown"
        yield f"Part:      {printable(asks, 500)} (line {part.line}), {how}"
