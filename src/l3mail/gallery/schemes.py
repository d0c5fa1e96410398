"""The HTML of a mail as a mail program shows it by day, and by night, whatever the viewer prefers.

Owns the rewriting. Pure, but for images, which are read from a folder.
"""

import base64
import mimetypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

Pictures = Callable[[str, str], bytes | None]
"""The picture that `/media/{digest}/{name}` names; None where there is none."""

Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")

_QUOTED = r"""(?:[^>"']|"[^"]*"|'[^']*')*"""
_STYLE = re.compile(rf"<style\b{_QUOTED}>.*?</style\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(rf"<(?:img|meta|source)\b{_QUOTED}>", re.IGNORECASE)
_HEAD = re.compile(rf"<head\b{_QUOTED}>", re.IGNORECASE)
_PREFERENCE = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_SCHEME = re.compile(
    r"(?<![\w-])((?:supported-)?color-schemes?\s*:)[^;}]*?(?=\s*[;}])", re.IGNORECASE
)
_META_SCHEME = re.compile(r"""\bname\s*=\s*["']?(?:supported-)?color-schemes?\b""", re.IGNORECASE)
_CONTENT = re.compile(r"""\bcontent\s*=\s*(?:"[^"]*"|'[^']*')""", re.IGNORECASE)
_SOURCE = re.compile(
    r"""(?<![\w-])(src|srcset)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE
)
_MEDIUM = re.compile(r"/media/([0-9a-f]{16})/([\w.-]+)")

ALWAYS, NEVER = "(min-width: 0)", "(max-width: 0)"
"""What the viewer's preference becomes in a query; `not` and `and` around it keep their sense."""

_EMPTY = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
# Nothing is fetched: a picture that counts who opens a mail would count who looks at it here.
_GUARD = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
    " style-src 'unsafe-inline'; form-action 'none'\">"
    # As on a telephone, a scroll bar takes no width.
    "<style>@media (max-width: 400px) { html { scrollbar-width: none } }</style>"
    '<base target="_blank">'
)


def has_dark_scheme(html: str) -> bool:
    """Whether the mail has rules of its own for viewers who prefer dark."""
    return any(
        found[1].lower() == "dark"
        for style in _STYLE.findall(html)
        for found in _PREFERENCE.finditer(style)
    )


def kept_in(folder: Path) -> Pictures:
    """The pictures of a folder that is in the order of their addresses."""

    def find(digest: str, name: str) -> bytes | None:
        path = folder / digest / name
        return path.read_bytes() if path.is_file() else None

    return find


def in_scheme(html: str, scheme: Scheme, pictures: Pictures = lambda _digest, _name: None) -> str:
    """The mail's HTML in one colour scheme and complete in itself.

    Images under `/media/{digest}/{name}` become part of the text; every other resource is left
    out. Links open beside.
    """

    def preferred(found: re.Match[str]) -> str:
        return ALWAYS if found[1].lower() == scheme else NEVER

    def styled(found: re.Match[str]) -> str:
        return _SCHEME.sub(rf"\1 {scheme}", _PREFERENCE.sub(preferred, found[0]))

    def tagged(found: re.Match[str]) -> str:
        tag = _PREFERENCE.sub(preferred, found[0])
        if _META_SCHEME.search(tag):
            return _CONTENT.sub(f'content="{scheme}"', tag)
        if tag[:5].lower() == "<meta":
            return tag
        return _SOURCE.sub(lambda one: f'{one[1]}="{_embedded(one, pictures)}"', tag)

    html = _TAG.sub(tagged, _STYLE.sub(styled, html))
    head = _HEAD.search(html)
    at = head.end() if head else 0
    return html[:at] + _GUARD + html[at:]


def _embedded(source: re.Match[str], pictures: Pictures) -> str:
    address = next(value for value in source.groups()[1:] if value is not None)
    named = _MEDIUM.search(address)
    picture = pictures(named[1], named[2]) if named else None
    if named is None or picture is None:
        return _EMPTY
    kind = mimetypes.guess_type(named[2])[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"
