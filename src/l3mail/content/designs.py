"""The house's own look: colours for light and for dark, a logo for each, a font, a claim.

Owns what l3mail.toml may say of it, how it lies over a layout's own colours, and whether every pair
of a text and its ground can be read (WCAG 2.2, success criterion 1.4.3).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from l3mail.content.findings import Faults
from l3mail.locales import direction

SETTINGS: Final = "l3mail.toml"
LEAST_CONTRAST: Final = 4.5
_MIDDLE: Final = 0.179
"""The luminance that black and white stand out from alike."""

PAIRS: Final = (
    ("ink", "card"),
    ("ink", "tint"),
    ("soft", "card"),
    ("soft", "page"),
    ("accent", "page"),
    ("accent", "card"),
    ("accent", "tint"),
    ("on_accent", "accent"),
)
"""A text and the ground it stands on, wherever the shipped layouts put one on the other."""


@dataclass(frozen=True, slots=True)
class Design:
    """What l3mail.toml says; colours by token, empty where a layout's own are kept.

    Logos are links into media/. `written` is l3mail.toml itself, and `lines` say where in it each
    key stands: ("light", "accent").
    """

    light: Mapping[str, str] = field(default_factory=dict)
    dark: Mapping[str, str] = field(default_factory=dict)
    font: str = ""
    claim: str = ""
    logo: str = ""
    logo_dark: str = ""
    written: str = field(default="", repr=False)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)


def design_values(
    design: Design, light: Mapping[str, str], dark: Mapping[str, str], locale: str
) -> dict[str, Any]:
    """What every frame knows of the design and of the way its language is written."""
    way = direction(locale)
    return {
        "lang": locale,
        "dir": way,
        "start": "right" if way == "rtl" else "left",
        "end": "left" if way == "rtl" else "right",
        "light": {**light, **design.light},
        "dark": {**dark, **design.dark},
        "font": design.font,
        "claim": design.claim,
    }


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours such as "#0b5f5a", from 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def unreadable(palette: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """The pairs of a palette that cannot be read well: text, ground, and their contrast."""
    for text, ground in PAIRS:
        if text in palette and ground in palette:
            ratio = contrast(palette[text], palette[ground])
            if ratio < LEAST_CONTRAST:
                yield text, ground, ratio


def check_palette(
    name: str, colours: Mapping[str, str], design: Design, faults: Faults, line: int
) -> None:
    """Note what cannot be read in a palette, called light or dark, with the house's own in it.

    It is told where the house's colours stand if one of them takes part, else in the layout's line.
    """
    own: Mapping[str, str] = getattr(design, name)
    palette = {**colours, **own}
    for text, ground, ratio in unreadable(palette):
        message = (
            f"{name}: {text} {palette[text]} on {ground} {palette[ground]} has a contrast of"
            f" {ratio:.1f}, needed are {LEAST_CONTRAST}; take a {_way(palette[ground])} {text}, or"
            f" another {ground}"
        )
        said = next((token for token in (text, ground) if token in own), None)
        if said is None:
            faults.error(line, message, palette[text], f"{text}:")
        else:
            place = design.lines.get((name, said), 1)
            faults.beside(SETTINGS).error(place, message, own[said], said)


def _way(ground: str) -> str:
    return "darker" if _luminance(ground) > _MIDDLE else "lighter"


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
