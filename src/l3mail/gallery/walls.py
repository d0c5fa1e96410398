"""How the pages of a gallery look, whether they are files or answers of a server.

Owns the templates and their stylesheet. Where a page lies is its owner's business, who may also
have templates that extend these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from l3mail.gallery.exhibits import Exhibit
from l3mail.gallery.schemes import has_dark_scheme

_PAGES = Path(__file__).with_name("pages")
STYLESHEET: Final = _PAGES / "gallery.css"


@dataclass(frozen=True, slots=True)
class Hung:
    """An exhibit with its place: addresses of its `page` and, by what they are, of its `files`.

    `marks` are what is wrong with it, a few words each.
    """

    exhibit: Exhibit
    page: str
    files: Mapping[str, str]
    marks: tuple[str, ...] = ()

    @property
    def has_dark_scheme(self) -> bool:
        """Whether both of its designs are not alike."""
        return has_dark_scheme(self.exhibit.html)


@dataclass(frozen=True, slots=True)
class Step:
    """The way to the next mail, or back to the one before."""

    page: str
    subject: str
    locale: str


class Walls:
    """Fills templates; `place` is known to all: `title`, `root` of assets, and the `index`."""

    def __init__(self, place: Mapping[str, Any], *folders: Path) -> None:
        """`folders` hold templates of the owner, looked into first."""
        self._environment = Environment(
            loader=FileSystemLoader([*folders, _PAGES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(place)

    def render(self, template: str, **values: Any) -> str:
        """One page."""
        return self._environment.get_template(template).render(values)
