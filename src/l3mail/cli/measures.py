"""What a mail would measure of whom it goes to, as a preview tells it."""

from typing import TYPE_CHECKING, Literal

import typer

from l3mail.cli.context import House, print_table

if TYPE_CHECKING:
    from l3mail.content import Text
    from l3mail.wiring import Tracking

Mode = Literal["off", "aggregate", "consent"]
WORDS = {"person": "personal", "everybody": "counted for all"}
_LINKS = WORDS | {"nobody": "direct"}
_PIXEL = WORDS | {"nobody": "none"}


def print_measuring(house: House, text: "Text", tracking: "Tracking", *, at_length: bool) -> None:
    """One line of what this mail measures; at length also an address of each, by the mode."""
    from l3mail.wiring import preview_measuring

    mode, agreed = tracking
    of_whom = ""
    if mode == "consent":
        of_whom = ", of somebody who agreed" if agreed else ", of somebody who did not agree"
    whom = preview_measuring(text, tracking)
    links, pixel = _links(text, whom.links), _PIXEL[whom.pixel]
    typer.echo(f"Tracking:  {mode}{of_whom}: links {links}, pixel {pixel}")
    if at_length:
        typer.echo()
        _print_addresses(house, text, tracking)


def _links(text: "Text", whom: str) -> str:
    return _LINKS[whom] if text.hrefs else "none in this text"


def _print_addresses(house: House, text: "Text", tracking: "Tracking") -> None:
    from l3mail.wiring import preview_addresses, preview_measuring

    rows = []
    people = {"everybody": False}
    if tracking.mode == "consent":
        people = {"agreed": True, "did not agree": False}
    for who, agreed in people.items():
        shown = tracking._replace(agreed=agreed)
        whom, found = preview_measuring(text, shown), preview_addresses(house.settings, text, shown)
        number, url = next(iter(text.hrefs.items()), (0, ""))
        link = f"{found['trail']}{number}" if found and number else url
        rows.append((who, "links", _links(text, whom.links), link))
        rows.append((who, "pixel", _PIXEL[whom.pixel], found.get("pixel", "")))
    print_table(("WHO", "WHAT", "IS", "AS IN"), rows, empty="", solid=("WHO", "WHAT", "IS"))
