"""Codes: an address as a picture that a camera reads, for posters, papers and terminals.

Every one has the quiet zone of four modules that readers look for (ISO/IEC 18004 § 6.3.8), black on
white whatever is around it, and as much correction as fits without making its modules smaller.
"""

import io
from typing import Final

import segno

QUIET: Final = 4
MILLIMETRES: Final = 2
"""The side of a module: a code of 10 cm, to be read from a metre away."""
DOTS: Final = 24
"""Pixels of a module: the same size at 300 dots an inch."""

_BLACK_ON_WHITE, _AS_BEFORE = "\x1b[38;2;0;0;0;48;2;255;255;255m", "\x1b[0m"
_HALVES: Final = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}


def as_svg(link: str, title: str) -> bytes:
    """A drawing in its true size; `title` says what it is to who cannot see it."""
    out = io.BytesIO()
    look = {"scale": MILLIMETRES, "unit": "mm", "border": QUIET, "dark": "#000", "light": "#fff"}
    _code(link).save(out, kind="svg", title=title, svgclass=None, lineclass=None, **look)
    drawn = out.getvalue()
    # Who reads pages aloud says the title of what says that it is one picture.
    return drawn.replace(b"<svg ", b'<svg role="img" ', 1)


def as_png(link: str) -> bytes:
    """Pixels for 300 dots an inch."""
    out = io.BytesIO()
    _code(link).save(out, kind="png", scale=DOTS, border=QUIET, dpi=300)
    return out.getvalue()


def as_text(link: str, *, coloured: bool) -> str:
    """Two rows of modules to a line; `coloured` makes it black on white on any terminal."""
    rows = [list(map(bool, row)) for row in _code(link).matrix_iter(scale=1, border=QUIET)]
    rows += [[False] * len(rows[0])] * (len(rows) % 2)
    lines = (
        "".join(_HALVES[int(upper), int(lower)] for upper, lower in zip(*pair, strict=True))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )
    before, after = (_BLACK_ON_WHITE, _AS_BEFORE) if coloured else ("", "")
    return "\n".join(f"{before}{line}{after}" for line in lines)


def _code(link: str) -> segno.QRCode:
    return segno.make(link, error="m", micro=False)
