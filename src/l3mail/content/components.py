"""The components of mails: which directives there are, what each needs, and its two partials.

Owns the table, the judgement of a directive's head, and the partials in templates/components:
`card.mjml` says how a card looks, `card.txt` how it reads as text. Both are frames like a layout's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from l3mail.content.findings import Faults, suggestion
from l3mail.content.markdown import Directive, visible
from l3mail.content.matter import NAME
from l3mail.errors import quoted

FOLDER: Final = "templates/components"

Value = Literal["words", "link", "image"]
Holds = Literal["blocks", "list", "link", "question", "words"]


@dataclass(frozen=True, slots=True)
class Key:
    """What may stand below a directive's first line; `example` ends the sentence "write …"."""

    value: Value
    example: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Component:
    """One directive: its keys, what it holds, and where it may stand.

    What holds `words` may be empty, for the house has its own. One that is `wide` is a row of its
    own across the mail and stands in no other component; what an `inset` one holds stands away from
    its edges. `argument` is an example of the name of its link, "" where it has none; a `named` one
    stores an answer under that name, and is not without. `variants` are the words that may stand
    there instead. `item_mark` and `bullet` stand before each item of its list, as HTML and as text.
    """

    keys: Mapping[str, Key]
    holds: Holds
    wide: bool = True
    inset: bool = False
    argument: str = ""
    named: bool = False
    variants: tuple[str, ...] = ()
    item_mark: str = ""
    bullet: str = ""


_NAMED: Final[Mapping[Holds, str]] = {"question": "for a question", "words": "for an interest"}
"""What a name behind a directive is for, in the words of a fault."""

_TITLE = Key("words", "title: Ein Tipp für den Anfang")
_PICTURE = Key("image", "image: media/werkstatt.jpg")
_ALT = Key("words", "alt: Eine Frau hält ein Rad hoch.")

COMPONENTS: Final[Mapping[str, Component]] = {
    "hero": Component(
        {"image": Key("image", _PICTURE.example, needed=True), "alt": _ALT},
        "blocks",
    ),
    "button": Component(
        {},
        "link",
        wide=False,
        variants=("secondary", "wide"),
    ),
    "card": Component({"title": _TITLE}, "blocks", inset=True),
    "tip": Component({}, "blocks", inset=True),
    "portrait": Component(
        {
            "image": Key("image", "image: media/portrait.jpg", needed=True),
            "alt": Key("words", "alt: Ein Mann steht an einer Werkbank.", needed=True),
            "name": Key("words", "name: Amira Haddad", needed=True),
            "role": Key("words", "role: leitet die Fahrradwerkstatt"),
        },
        "blocks",
        inset=True,
    ),
    "event": Component(
        {
            "title": Key("words", "title: Vorlesen in vielen Sprachen", needed=True),
            "when": Key("words", "when: Donnerstag, 3. Dezember, 17 Uhr", needed=True),
            "where": Key("words", "where: Stadtteilbibliothek Nord"),
            "cost": Key("words", "cost: kostenlos"),
            "link": Key("link", "link: https://www.example.org/vorlesen"),
        },
        "blocks",
        inset=True,
        argument="::: event vorlesen",
    ),
    "video": Component(
        {
            "title": Key("words", "title: Hochkant in dreißig Sekunden", needed=True),
            "link": Key("link", "link: https://www.example.org/video", needed=True),
            "image": _PICTURE,
            "alt": _ALT,
            "length": Key("words", "length: 1:30 Minuten"),
        },
        "blocks",
        argument="::: video hochkant",
    ),
    "checklist": Component(
        {},
        "list",
        wide=False,
        item_mark='<span aria-hidden="true">☐</span>&#160;&#160;',
        bullet="[ ] ",
    ),
    "quiz": Component(
        {},
        "question",
        inset=True,
        argument="::: quiz q1",
        named=True,
    ),
    "done": Component(
        {},
        "words",
        inset=True,
    ),
    "interest": Component(
        {},
        "words",
        wide=False,
        argument="::: interest video",
        named=True,
    ),
    "feedback": Component(
        {
            "from": Key("words", "from: gar nicht", needed=True),
            "to": Key("words", "to: sehr", needed=True),
            "comment": Key("words", "comment: yes"),
        },
        "question",
        inset=True,
        argument="::: feedback nutzen",
        named=True,
    ),
}


def component_of(head: Directive, line: int, faults: Faults) -> Component | None:
    """The component of a directive in `line`; None, with the fault noted, where there is none."""
    component = COMPONENTS.get(head.name)
    if component is None:
        hint = suggestion(head.name, [*COMPONENTS, "if"])
        if head.name in {"else", "elif"}:
            hint = "it stands in an ::: if, on its level; close what is open above it with :::"
        faults.error(line, f"{quoted(head.name)} is no block here; {hint}", head.name)
        return None
    if head.deep:
        faults.error(line, "blocks are nested too deep here; end one of them before", ":::")
    if not head.closed:
        faults.error(
            line, f"::: {head.name} is never closed; write ::: in a line where it ends", ":::"
        )
    _check_argument(head, component, line, faults)
    for name in head.doubles:
        faults.error(
            line + head.lines[name], f"{quoted(name)} stands here twice; delete one of them", name
        )
    if "link" in component.keys and head.argument and not head.values.get("link", "").strip():
        faults.error(
            line,
            f"{quoted(head.argument)} names a link, and there is none; write link: …",
            head.argument,
        )
    for name in head.values.keys() - component.keys.keys():
        hint = suggestion(name, component.keys) if component.keys else "it has none"
        faults.error(
            line + head.lines[name],
            f"{quoted(name)} is not a key of {head.name}; {hint} (if it is text, leave a line empty"
            " before it)",
            name,
        )
    for name, key in component.keys.items():
        if key.needed and not visible(head.values.get(name, "")):
            faults.error(
                line + head.lines.get(name, 0),
                f'{head.name} needs "{name}"; write {key.example}',
                name if name in head.lines else head.name,
            )
    return component


def _check_argument(head: Directive, component: Component, line: int, faults: Faults) -> None:
    said = head.argument
    if component.variants:
        if said and said not in component.variants:
            hint = suggestion(said, component.variants)
            faults.error(line, f"{quoted(said)} is no kind of {head.name}; {hint}", said)
    elif component.argument:
        if component.named and not said:
            faults.error(
                line, f"{head.name} needs a name behind it; write {component.argument}", head.name
            )
        elif said and not NAME.fullmatch(said):
            named = _NAMED.get(component.holds, "for its link")
            faults.error(
                line,
                f"{quoted(said)} is no name {named}; use a-z, 0-9 and -, as in"
                f" {component.argument}",
                said,
            )
    elif said:
        faults.error(
            line, f"{quoted(said)} stands behind {head.name}; write it into a line of its own", said
        )
