"""How a mail to the person on duty looks: a heading, lists, what to do; plain and in HTML.

Owns shape and colours, and makes whatever stands in a line safe to print. Must not know what is
told or to whom.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from l3mail.errors import printable

LONGEST_LINE = 1000
_ADDRESS = re.compile(r"[^\s@<>()\"']+@[^\s@<>()\"']+")
_CODE = re.compile(r"`([^`]+)`")

# Colours that hold their contrast (WCAG 2.2 AA) on both grounds.
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 1rem; background: #f2f5f3; color: #1f2b2a; }
main { max-width: 38rem; margin: 0 auto; padding: 1.5rem; border-radius: 10px; }
main { background: #ffffff; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: .75rem 0; }
h2 { font-size: 1rem; margin-bottom: 0; }
ul { margin-top: .25rem; padding-left: 1.25rem; }
li { margin: .35rem 0; }
blockquote { margin: .5rem 0 1rem; padding: .25rem 1rem; border-left: 4px solid #0b5f5a; }
blockquote { background: #eef5f3; }
blockquote p { margin: .5rem 0; }
code { background: #eef5f3; padding: 0 .25rem; overflow-wrap: anywhere; }
a { color: #0b5f5a; }
.house { color: #0b5f5a; font-weight: 700; margin: 0; }
@media (prefers-color-scheme: dark) {
  body { background: #121817; color: #e7eeec; }
  main { background: #1b2322; }
  code, blockquote { background: #233230; }
  blockquote { border-left-color: #7fd4c8; }
  a, .house { color: #7fd4c8; }
}
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A list under a heading of its own, or paragraphs where it has none; or words that link.

    `is_quote` is what somebody else wrote, paragraph by paragraph.
    """

    lines: Sequence[str]
    heading: str = ""
    link: str = ""
    is_quote: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is said, in order; a line may hold `commands` between backticks."""

    house: str
    title: str
    parts: Sequence[Part]
    locale: str

    @property
    def subject(self) -> str:
        """The title behind the workspace's name: staff may have several."""
        return printable(f"[{self.house}] {self.title}", 200)

    def text(self) -> str:
        """As plain text."""
        blocks = [_safe(self.title)]
        for part in self.parts:
            if part.is_quote:
                quote = "\n>\n".join(f"> {_safe(one)}" for one in part.lines)
                blocks.append(f"{part.heading}\n\n{quote}")
            elif part.heading:
                blocks.append("\n".join([part.heading, *(f"- {_safe(one)}" for one in part.lines)]))
            elif part.link:
                blocks.append(f"{_safe(' '.join(part.lines))}:\n{part.link}")
            else:
                blocks += [_safe(one) for one in part.lines]
        blocks.append(f"-- \n{printable(self.house, LONGEST_LINE)}")
        return "\n\n".join(blocks) + "\n"

    def html(self) -> str:
        """As a page without anything foreign in it."""
        blocks = [f"<h1>{_marked(self.title)}</h1>"]
        for part in self.parts:
            if part.is_quote:
                quote = "\n".join(f"<p>{_marked(one)}</p>" for one in part.lines)
                heading = f"<h2>{escape(part.heading)}</h2>"
                blocks.append(f"{heading}\n<blockquote>\n{quote}\n</blockquote>")
            elif part.heading:
                items = "".join(f"<li>{_marked(one)}</li>\n" for one in part.lines)
                blocks.append(f"<h2>{escape(part.heading)}</h2>\n<ul>\n{items}</ul>")
            elif part.link:
                words = _marked(" ".join(part.lines))
                blocks.append(f'<p><a href="{escape(part.link)}">{words}</a></p>')
            else:
                blocks += [f"<p>{_marked(one)}</p>" for one in part.lines]
        return (
            f'<!doctype html>\n<html lang="{escape(self.locale)}">\n<head>\n'
            '<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta name="supported-color-schemes" content="light dark">\n'
            f"<title>{escape(self.subject)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            f'<main>\n<p class="house">{escape(printable(self.house, LONGEST_LINE))}</p>\n'
            + "\n".join(blocks)
            + "\n</main>\n</body>\n</html>\n"
        )


def _safe(line: str) -> str:
    """A line in one piece, with no address in it: rows hold other people's words."""
    return _ADDRESS.sub("…", printable(line, LONGEST_LINE))


def _marked(line: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(_safe(line)))
