"""The layout of what goes to the staff: reports, which are about many and filled for nobody.

Owns that a whole page comes of it or the faults that keep it from being one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from l3mail.content.conversion import to_html
from l3mail.content.designs import Design, design_values
from l3mail.content.findings import Faults, FaultyError, Finding
from l3mail.content.layouts import FOLDER, Layout, fill_frame, marked, read_layout, read_words
from l3mail.content.sources import Library
from l3mail.errors import ContentError

LAYOUT: Final = "report"


@dataclass(frozen=True, slots=True)
class Stationery:
    """The staff's layout with the house's design, in one language."""

    layout: Layout
    design: Design
    words: Mapping[str, str]
    locale: str
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def light(self) -> Mapping[str, str]:
        """The colours by token; at night a mail program takes the layout's others."""
        return {**self.layout.light, **self.design.light}

    def letter(self, title: str, body: str) -> str:
        """A whole page around a body, HTML that is well formed; raises ContentError."""
        html, findings = self.written(title, body)
        if html is None:
            raise ContentError("\n".join(map(str, findings)))
        return html

    def written(self, title: str, body: str) -> tuple[str | None, list[Finding]]:
        """The page, None where the layout has faults, and these."""
        frame = self.layout.mjml.text
        faults = Faults(self.layout.path, texts={self.layout.path: frame})
        values = {
            **design_values(self.design, self.layout.light, self.layout.dark, self.locale),
            "words": self.words,
            "logo": {"light": "", "dark": ""},
            "kind": LAYOUT,
            "subject": title,
            "preheader": "",
            "body": marked(body),
        }
        filled = fill_frame(self.layout.path, frame, values, files={}, faults=faults)
        html = None if filled is None else to_html(filled, frame, faults)
        found = [*self.layout.findings, *self.layout.mjml.told(faults.found, self.texts)]
        return (None if found else html), found


def check_stationery(library: Library) -> list[Finding]:
    """Faults of the layout that no text is written on; where it is missing, ours is taken."""
    if f"{LAYOUT}.mjml" not in library.layouts:
        return []
    try:
        return stationery(library, library.locale).written("", "<p>…</p>")[1]
    except FaultyError as error:
        return list(error.findings)
    except ContentError as error:
        return [Finding(f"{FOLDER}/{LAYOUT}.mjml", 1, "error", str(error))]


def stationery(library: Library, locale: str) -> Stationery:
    """A workspace's own; raises ContentError where its layout or words cannot be read."""
    layout = read_layout(LAYOUT, library.layouts)
    words = read_words(library.words, locale, library.locale)
    return Stationery(layout, library.design, words, locale, library.texts)
