"""Markdown to the two bodies of a mail: rows of MJML, and text that reads as text.

Owns what Markdown may hold in a mail (no HTML, images with words for who does not see them) and
how each block looks. Placeholders are sentinels here; components are filled by who calls.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.components import COMPONENTS, Component, component_of
from l3mail.content.conditions import is_conditional, number_all
from l3mail.content.elements import Elements
from l3mail.content.findings import Faults
from l3mail.content.images import Medium
from l3mail.content.layouts import marked
from l3mail.content.markdown import (
    DEEPEST,
    DIRECTIVE,
    Directive,
    alone,
    directive_of,
    first_words,
    flat,
    is_stray,
    only,
    parse,
    plain,
    visible,
)
from l3mail.content.matter import NAME
from l3mail.content.places import Place
from l3mail.content.plaintext import TextWriter, rule_below
from l3mail.content.questions import read_question
from l3mail.content.references import References
from l3mail.content.rows import rows
from l3mail.errors import quoted

COLUMN = 536
"""Pixels an image may be wide in the layout's column."""


_UNREAD = re.compile(r"!?\[[^\]\n]*\]\((?=[^)\n]*[ \t])[^)\n]*\)")
"""What was meant as a link or a picture, and reads as one to nobody."""


class Fill(Protocol):
    """Fills a component's partial: `html` says which of the two, values are its markers'."""

    def __call__(self, name: str, values: Mapping[str, Any], *, html: bool) -> str:
        """The filled partial, "" where it has a fault, which is noted."""


@dataclass(frozen=True, slots=True)
class Body:
    """A text's Markdown in both forms, and what it refers to; `opens` names a component on top."""

    mjml: str
    text: str
    tree: SyntaxTreeNode
    references: References
    opens: str = ""


def build_body(
    markdown: str,
    first_line: int,
    *,
    references: References,
    styles: Mapping[str, str],
    fill: Fill,
    faults: Faults,
) -> Body:
    """Turn Markdown with hidden placeholders into both bodies.

    `styles` are CSS by element name. Every fault is noted at its line; what comes back is then not
    for sending.
    """
    sentinels = references.sentinels
    builder = _Builder(Place(first_line, faults), references, styles=styles, fill=fill)
    root = parse(markdown, sentinels)
    number_all(root, references, builder.place)
    builder.check_tags(root)
    mjml = rows(list(flat(root.children)), sentinels, builder.block)
    writer = TextWriter(sentinels, references, builder.text_of_component)
    first = root.children[0] if root.children else None
    opens = directive_of(first).name if first is not None and first.type == DIRECTIVE else ""
    return Body(mjml, writer.blocks(root.children).strip("\n"), root, references, opens)


class _Builder:
    def __init__(
        self, place: Place, references: References, *, styles: Mapping[str, str], fill: Fill
    ) -> None:
        self.place = place
        self.faults = place.faults
        self.sentinels = references.sentinels
        self.references = references
        self.elements = Elements(place, references, styles)
        self.fill = fill
        self.balanced = True
        self.inside: list[str] = []
        self.values: dict[SyntaxTreeNode, Mapping[str, Any]] = {}

    # -- what is allowed

    def check_tags(self, node: SyntaxTreeNode) -> None:
        """Refuse an {% if %} that ends in another paragraph or list item than it began in."""
        own = [child.content for child in node.children if not child.children]
        if self.balanced and self.sentinels.unbalanced(own):
            self.balanced = False  # where it ends, it would be told again
            # Of the whole text, the first block that has tags of another level in it.
            at = next((child for child in node.children if child.children), node)
            self.faults.error(
                self.place.line_of(at),
                "{% if %} and {% endif %} must stand in one paragraph, or each alone in its line"
                " on the same level",
                "{%",
            )
        if node.type in {"inline", "code_block"}:
            self._check_lines(node)
        if not node.is_root and node.level > DEEPEST:
            line = self.place.line_of(node)
            self.faults.error(line, "lists and quotes are nested too deep here; take some away")
            return
        for child in node.children:
            self.check_tags(child)

    def _check_lines(self, node: SyntaxTreeNode) -> None:
        """Refuse what would stand in the mail as it was typed."""
        for number, line in enumerate(node.content.split("\n")):
            if is_stray(line):
                self.faults.error(
                    self.place.line_of(node) + number,
                    f"{quoted(visible(line)[:40])} begins and ends no block; delete the line, or"
                    f" begin one at its left edge with ::: and a name ({', '.join(COMPONENTS)})",
                    line.strip(),
                )
        for child in node.children:
            for found in _UNREAD.finditer(child.content if child.type == "text" else ""):
                before = node.content.partition(found[0])[0]
                self.faults.error(
                    self.place.line_of(node) + before.count("\n"),
                    f"{quoted(visible(found[0])[:60])} stays plain words, for an address has no"
                    " space; name the file in a-z, A-Z, 0-9, - and _",
                    found[0],
                )

    # -- blocks and components

    def block(self, node: SyntaxTreeNode) -> str:
        """One block as MJML: an element of a column, or a row where it is a wide component."""
        self.place.enter(node)
        if node.type == "tags":
            return f"<mj-raw>{node.content}</mj-raw>"
        if node.type == "hr":
            return f'<mj-divider css-class="rule{self._inner}" mj-class="rule{self._inner}" />'
        if node.type == DIRECTIVE:
            return self._component(node)
        inside = alone(node)
        if inside is not None and inside.type == "image":
            return self._image(inside, None)
        if inside is not None and inside.type == "link":
            picture = only(inside.children)
            if picture is not None and picture.type == "image":
                href = self.elements.href(inside)
                return self._image(picture, href and self.elements.numbered(href, inside))
            return self.fill("button", self.elements.button(inside, "") | self._around, html=True)
        kind = (node.tag if node.type == "heading" else "text") + self._inner
        return f'<mj-text css-class="{kind}" mj-class="{kind}">{self.elements.html(node)}</mj-text>'

    @property
    def _around(self) -> dict[str, str]:
        """What a partial is told of where it stands."""
        return {"inner": self._inner, "heading": f"h{min(self.elements.level + 1, 3)}"}

    @property
    def _inner(self) -> str:
        """The class of what stands in a box, beside its own."""
        return " inner" if any(COMPONENTS[name].inset for name in self.inside) else ""

    def _component(self, node: SyntaxTreeNode) -> str:
        head, line = directive_of(node), self.place.line
        component = component_of(head, line, self.faults)
        if component is None:
            self._held(node)  # its own faults are told too
            return ""
        if component.wide and self.inside:
            self.place.refuse(
                f"{head.name} is as wide as the mail and may not stand in {self.inside[-1]};"
                " end that before",
                ":::",
            )
        values: dict[str, Any] = dict.fromkeys(component.keys, "") | self._around
        values |= self._values(head, component, line)
        if values.get("title"):
            self.elements.level = int(values["heading"][1:])
        self._check_body(node, head, component)
        self.inside.append(head.name)
        values |= self._content(node, head, component)
        self.inside.pop()
        self.values[node] = values
        return self.fill(head.name, values, html=True)

    def _check_body(self, node: SyntaxTreeNode, head: Directive, component: Component) -> None:
        """Refuse a block that says nothing, and one whose text begins like a key of it."""
        if not (node.children or component.keys or component.holds == "words") and head.closed:
            self.place.refuse(f"{head.name} is empty; write something into it, or delete it", ":::")
        first = node.children[0] if node.children else None
        if first is None or first.type != "paragraph":
            return
        word, colon, _ = visible(first.children[0].content).partition(":")
        if colon and word.strip().lower() in component.keys:
            self.faults.error(
                self.place.line_of(first),
                f"{quoted(word)} is a key of {head.name}; keys stand right below its first line,"
                f" written like {component.keys[word.strip().lower()].example}",
                word,
            )

    def _held(self, node: SyntaxTreeNode) -> str:
        return "\n".join(map(self.block, flat(node.children)))

    def _values(self, head: Directive, component: Component, line: int) -> dict[str, Any]:
        """What the keys say: words as they are, links numbered, images with their address."""
        values: dict[str, Any] = {}
        for name, key in component.keys.items():
            said = head.values.get(name, "").strip()
            if not said:
                continue
            self.place.line = line + head.lines[name]
            if self.sentinels.unbalanced([said]):
                self.place.refuse("{% if %} and {% endif %} must stand in one key", "{%")
            elif key.value == "words":
                values[name] = said
            elif key.value == "link":
                href = self.references.target(said, self.place.refuse)
                called = head.argument or None
                values[name] = href and self.references.number(href, called, self.place.refuse)
            else:
                medium = self.references.picture(said, self.place.refuse)
                values[name] = self.references.address_of(medium) if medium else ""
                values[f"{name}_width"] = _width(medium)
        self.place.line = line
        if "image" in values and "alt" in component.keys and "alt" not in values:
            self.place.refuse(
                f'{head.name} has an image and no words for who does not see it; write "alt: …",'
                ' or "alt: -" where it only decorates',
                head.name,
            )
        if values.get("alt") == "-":
            values["alt"] = ""
        return values

    def _content(
        self, node: SyntaxTreeNode, head: Directive, component: Component
    ) -> dict[str, Any]:
        """What stands between the lines of a directive."""
        if component.holds == "question":
            return self._question(node, head)
        if component.holds == "words":
            return self._words(node, head)
        if component.holds == "link":
            inside = alone(node.children[0]) if len(node.children) == 1 else None
            if inside is None or inside.type != "link":
                self.place.refuse(
                    f"{head.name} holds one link; write [where it leads](https://…)", ":::"
                )
                return {"href": "", "label": "", "kind": ""}
            return self.elements.button(inside, head.argument)
        if component.holds == "list":
            if [child.type for child in node.children] != ["bullet_list"]:
                self.place.refuse(
                    f"{head.name} holds one list; begin each of its lines with - ", ":::"
                )
            self.elements.item_mark = component.item_mark
        held = self._held(node)
        self.elements.item_mark = ""
        return {"body": marked(held)}

    def _words(self, node: SyntaxTreeNode, head: Directive) -> dict[str, str]:
        """The words of a button, "" where it has none; the block says where it leads."""
        said = alone(node.children[0]) if len(node.children) == 1 else None
        if node.children and (said is None or said.type != "text"):
            self.place.refuse(f"{head.name} holds its button in one line, without marks")
        words = {"label": said.content if said else ""}
        if head.name == "interest":  # of a name that is none is told already
            known = NAME.fullmatch(head.argument)
            to = self.references.interest(head.argument, self.place.refuse) if known else None
            words["href"] = to or ""
        return words

    def _question(self, node: SyntaxTreeNode, head: Directive) -> dict[str, Any]:
        """A question, and each answer with the page it leads to; nothing of what is right."""
        line = self.place.line

        def refuse(at: SyntaxTreeNode, message: str) -> None:
            self.place.enter(at)
            self.place.refuse(message, first_words(at))

        question = read_question(head, node, self.sentinels, refuse)
        self.place.line = line
        if question is None:
            return {"question": "", "several": False, "options": []}
        if is_conditional(node):
            question = replace(question, conditional=True)
        return question.shown(self.references.question(question, self.place.refuse))

    def text_of_component(self, node: SyntaxTreeNode, held: str) -> str:
        """A component as text; what it holds is text already."""
        values = self.values.get(node)
        if values is None:
            return held
        name = directive_of(node).name
        title = self.sentinels.plain(str(values.get("title", "")))
        first = node.children[0].type if node.children else ""
        more = {"body": held, "rule": rule_below(title, "-"), "prose": first == "paragraph"}
        for key, kind in COMPONENTS[name].keys.items():
            if kind.value == "link" and values[key]:
                more[key] = str(values[key]).removeprefix("mailto:")
        return self.fill(name, {**values, **more}, html=False)

    # -- MJML

    def _image(self, node: SyntaxTreeNode, href: str | None) -> str:
        source = str(node.attrs.get("src", ""))
        alt = plain(node.children)
        decorative = node.attrs.get("title") == "decorative"
        if not alt.strip() and not decorative:
            self.place.refuse(
                "this image has no words for who does not see it; write ![words](media/…)",
                f"![{alt}](",
            )
        medium = self.references.picture(source, self.place.refuse)
        if medium is None:
            return ""
        url = self.references.address_of(medium)
        link = f' href="{html.escape(href)}"' if href else ""
        kind = f"image{self._inner}"
        return (
            f'<mj-image css-class="{kind}" mj-class="{kind}" src="{html.escape(url)}"'
            f' width="{_width(medium)}px" alt="{html.escape(alt)}"{link} />'
        )


def _width(medium: Medium | None) -> int:
    # No height beside it: fixed, it would squeeze the image on a narrow screen.
    return min((medium and medium.width) or COLUMN, COLUMN)
