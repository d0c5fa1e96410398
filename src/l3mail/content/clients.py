"""What mail programs do not show, and what to write instead.

Owns a table of our own: facts from caniemail.com, as it stood on 29 June 2026. A program is said
to lack what one of its faces lacks (Gmail with another provider's account left aside; of GMX and
WEB.DE that is the web mail). Left out is what nobody misses where it is lacking: round corners,
shadows, a darker design by night.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from l3mail.content.findings import Faults

CLIENTS: Final = (
    "gmail",
    "outlook-windows",
    "outlook-com",
    "apple-mail",
    "gmx",
    "web-de",
    "t-online",
    "thunderbird",
    "samsung",
)
"""The mail programs the table knows; l3mail.toml may name fewer."""

_OUTLOOK: Final = ("outlook-windows",)
_OUTLOOKS: Final = ("outlook-windows", "outlook-com")
_GERMAN: Final = ("gmx", "web-de")
_OLD: Final = (*_OUTLOOK, *_GERMAN)
_MOST: Final = ("gmail", *_OUTLOOKS, *_GERMAN)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something a frame may hold: how it is found, who lacks it, what is seen then, the mend."""

    name: str
    pattern: str
    lacking: tuple[str, ...]
    happens: str
    mend: str


def _css(name: str) -> str:
    """A property, in CSS or in a style attribute."""
    return rf"(?<![\w-]){name}\s*:"


FEATURES: Final = (
    Feature(
        "display:flex",
        _css("display") + r"\s*(?:inline-)?flex\b",
        _OLD,
        "its parts stand below each other",
        "use mj-column",
    ),
    Feature(
        "display:grid",
        _css("display") + r"\s*(?:inline-)?grid\b",
        _OLD,
        "its parts stand below each other",
        "use mj-column",
    ),
    Feature(
        "position",
        _css("position") + r"\s*(?:relative|absolute|fixed)\b",
        ("gmail", *_OUTLOOKS),
        "it stays where it stands in the text",
        "let it stand there",
    ),
    Feature("float", _css("float"), _OUTLOOK, "nothing flows around it", "use mj-column"),
    Feature(
        "a CSS variable",
        r"var\(\s*--|(?<![\w-])--[a-z][\w-]*\s*:",
        _MOST,
        "the whole line is dropped",
        "write the value itself, or a colour of the design as [[ light.accent ]]",
    ),
    Feature(
        "a gradient",
        r"(?:linear|radial|conic)-gradient\(",
        (*_OUTLOOKS, *_GERMAN),
        "there is no ground at all",
        "write a background-color of one colour",
    ),
    Feature(
        "an animation",
        r"@keyframes\b|" + _css(r"animation(?:-name)?"),
        _MOST,
        "nothing moves",
        "let nothing depend on it, or leave it out",
    ),
    Feature("transform", _css("transform"), _MOST, "it stays as it is", "leave it out"),
    Feature(
        "filter",
        _css("(?:filter|clip-path|mask-image)"),
        _MOST,
        "the picture shows as it is",
        "change the picture itself",
    ),
    Feature(
        "object-fit",
        _css("object-fit"),
        _OLD,
        "the picture is squeezed",
        "cut the picture to its shape",
    ),
    Feature(
        "aspect-ratio",
        _css("aspect-ratio"),
        (*_MOST, "thunderbird", "samsung"),
        "the shape is another one",
        "cut the picture to its shape",
    ),
    Feature("opacity", _css("opacity"), _OLD, "it shows in full", "write the colour it comes to"),
    Feature(
        "visibility",
        _css("visibility"),
        ("gmail", *_OUTLOOK),
        "what is hidden shows",
        "write display:none",
    ),
    Feature(
        "generated content",
        r"::?(?:before|after)\b",
        _MOST,
        "what it adds is missing",
        "write it into the text",
    ),
    Feature(":checked", r":checked\b", _MOST, "nothing opens or closes", "show everything at once"),
    Feature(
        ":has()",
        r":has\(",
        (*_MOST, "thunderbird"),
        "the rule is dropped",
        "give the element a class",
    ),
    Feature(
        ":nth-child()", r":nth-child\(", _MOST, "the rule is dropped", "give the element a class"
    ),
    Feature(
        "calc()",
        r"(?<![\w|-])(?:calc|clamp|min|max)\(",
        (*_OUTLOOKS, *_GERMAN),
        "the whole line is dropped",
        "write the number it comes to",
    ),
    Feature(
        "a unit of the screen or of the root",
        r"(?<=[\d.])(?:rem|vw|vh)\b",
        _OLD,
        "the whole line is dropped",
        "write px",
    ),
    Feature(
        "a see-through colour",
        r"(?:rgba|hsla)\(",
        _OLD,
        "there is no colour",
        'write the colour it comes to, like "#0b5f5a"',
    ),
    Feature(
        "a colour in lch or lab",
        r"(?<![\w-])(?:ok)?(?:lch|lab)\(",
        ("gmail", *_OUTLOOKS, "thunderbird", "samsung"),
        "there is no colour, and Gmail drops all styles beside it",
        'write it like "#0b5f5a"',
    ),
    Feature(
        "light-dark()",
        r"light-dark\(",
        ("gmail", *_OUTLOOKS, "gmx"),
        "there is no colour",
        "write [[ light.ink ]], and [[ dark.ink ]] below prefers-color-scheme",
    ),
    Feature(
        "a logical side",
        _css(r"(?:margin|padding|border)-inline(?:-start|-end)?|inset"),
        _MOST,
        "the distance is missing",
        "write padding-[[ start ]] or padding-[[ end ]]",
    ),
    Feature(
        "a negative margin",
        _css(r"margin(?:-\w+)?") + r"[^;\"'}]*(?<![\w.])-[\d.]+",
        ("gmail", *_OUTLOOKS),
        "the distance is missing",
        "move it by padding",
    ),
    Feature(
        "@supports",
        r"@supports\b",
        (*_MOST, "thunderbird"),
        "what stands in it is dropped",
        "write what all can show",
    ),
    Feature("<svg>", r"<svg\b", _MOST, "there is no picture", "use a .png of media/"),
    Feature(
        "<details>", r"<details\b", _MOST, "all stands open, or nothing at all", "write it out"
    ),
    Feature(
        "<progress>",
        r"<(?:progress|meter)\b",
        ("gmail", *_OUTLOOK, *_GERMAN),
        "there is no bar",
        "make it of table cells, and say it in words",
    ),
    Feature(
        "a form",
        r"<(?:button|select|textarea)\b",
        _OLD,
        "nothing can be chosen or sent",
        "link to a page of ours",
    ),
    Feature("hidden", r"<\w[^>]*\shidden\b", _MOST, "it shows", 'write style="display:none"'),
    Feature(
        "mj-carousel",
        r"<mj-carousel\b",
        _MOST,
        "only one picture may be seen",
        "show the pictures below each other, as mj-image",
    ),
    Feature(
        "mj-accordion",
        r"<mj-accordion\b",
        _MOST,
        "nothing opens or closes",
        "write headings and texts below each other",
    ),
    Feature(
        "a menu that folds",
        r"\bhamburger\s*=\s*[\"']hamburger",
        _MOST,
        "the menu does not fold",
        "write few links, and no hamburger",
    ),
)

PICTURES: Final = (
    Feature(
        "a WebP picture",
        r"media/[^\s)\"]+\.webp\b",
        _OUTLOOK,
        "there is no picture",
        "save it as .jpg or .png",
    ),
)
"""The same of what texts refer to."""

_UNSEEN: Final = re.compile(r"<!--(?!\[if).*?-->|\[#.*?#\]|\{#.*?#\}", re.DOTALL)


def check_support(
    text: str,
    faults: Faults,
    clients: Collection[str],
    features: tuple[Feature, ...] = FEATURES,
    first_line: int = 1,
) -> None:
    """Warn of what some of these clients do not show, at the first line of a text that holds it."""
    seen = _UNSEEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for feature in features:
        lacking = [client for client in feature.lacking if client in clients]
        found = re.search(feature.pattern, seen) if lacking else None
        if found:
            line = first_line + seen.count("\n", 0, found.start())
            column = found.start() - seen.rfind("\n", 0, found.start())
            faults.warn(
                line,
                f"{feature.name} is not for {', '.join(lacking)}: {feature.happens} there;"
                f" {feature.mend}",
                column,
            )
