"""Markdown to the two bodies of a mail: rows of MJML, and text that reads as text.

Owns what Markdown may hold in a mail (no HTML, images with words for who does not see them) and
how each piece looks. Placeholders are sentinels here; components are filled by who calls.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.components import COMPONENTS, Component, component_of
from l3mail.content.findings import Faults
from l3mail.content.images import Medium
from l3mail.content.layouts import marked
from l3mail.content.markdown import (
    DEEPEST,
    DIRECTIVE,
    Directive,
    alone,
    directive_of,
    is_stray,
    only,
    parse,
    plain,
    visible,
)
from l3mail.content.plaintext import TextWriter, rule_below
from l3mail.content.questions import read_question
from l3mail.content.references import References
from l3mail.errors import quoted

COLUMN = 536
"""Pixels an image may be wide in the layout's column."""

_VAGUE = frozenset(
    "hier|klicken sie hier|klick hier|mehr|link|here|click here|more|read more|this|weiter".split(
        "|"
    )
)


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
    builder = _Builder(first_line, references, styles=styles, fill=fill, faults=faults)
    root = parse(markdown, sentinels)
    builder.check_tags(root)
    mjml = builder.rows(root.children)
    writer = TextWriter(sentinels, references, builder.text_of_component)
    first = root.children[0] if root.children else None
    opens = directive_of(first).name if first is not None and first.type == DIRECTIVE else ""
    return Body(mjml, writer.blocks(root.children).strip("\n"), root, references, opens)


class _Builder:
    def __init__(
        self,
        first_line: int,
        references: References,
        *,
        styles: Mapping[str, str],
        fill: Fill,
        faults: Faults,
    ) -> None:
        self.first_line = first_line
        self.sentinels = references.sentinels
        self.references = references
        self.styles = styles
        self.fill = fill
        self.faults = faults
        self.level = 1
        self.line = first_line
        self.item_mark = ""
        self.inside: list[str] = []
        self.values: dict[SyntaxTreeNode, Mapping[str, Any]] = {}

    # -- what is allowed

    def check_tags(self, node: SyntaxTreeNode) -> None:
        """Refuse an {% if %} that ends in another paragraph or list item than it began in."""
        own = [child.content for child in node.children if not child.children]
        if self.sentinels.unbalanced(own):
            # Of the whole text, the first block that has tags of another level in it.
            at = next((child for child in node.children if child.children), node)
            self.faults.error(
                self.first_line + _first_line(at),
                "{% if %} and {% endif %} must stand in one paragraph, or each alone in its line"
                " on the same level",
            )
        if node.type in {"inline", "code_block"}:
            self._check_lines(node)
        if not node.is_root and node.level > DEEPEST:
            line = self.first_line + _first_line(node)
            self.faults.error(line, "lists and quotes are nested too deep here; take some away")
            return
        for child in node.children:
            self.check_tags(child)

    def _check_lines(self, node: SyntaxTreeNode) -> None:
        """Refuse what would stand in the mail as it was typed."""
        for number, line in enumerate(node.content.split("\n")):
            if is_stray(line):
                self.faults.error(
                    self.first_line + _first_line(node) + number,
                    f"{quoted(visible(line)[:40])} begins and ends no block; delete the line, or"
                    f" begin one at its left edge with ::: and a name ({', '.join(COMPONENTS)})",
                )

    def _refuse(self, message: str) -> None:
        self.faults.error(self.line, message)

    # -- rows and components

    def rows(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        """The whole text: what is as wide as the mail is a row, all between two of them another."""
        wide = self._wide(nodes)
        return "\n".join(
            "\n".join(map(self.block, row)) if is_wide else _row(map(self.block, row))
            for is_wide, row in groupby(nodes, key=wide.__contains__)
        )

    def _wide(self, nodes: Sequence[SyntaxTreeNode]) -> set[SyntaxTreeNode]:
        """Which of them are rows by themselves, and the lines of tags around such ones."""
        wide = {node for node in nodes if _is_wide(node)}
        spans, before = self._spans(nodes), -1
        # A line may end one condition and begin another: what holds for one then does for both.
        while len(wide) > before:
            before = len(wide)
            for tags, held in spans:
                if wide.intersection(held):
                    wide.update(tags)
        return wide

    def _spans(
        self, nodes: Sequence[SyntaxTreeNode]
    ) -> list[tuple[list[SyntaxTreeNode], Sequence[SyntaxTreeNode]]]:
        """Each condition and loop among them: the lines its tags stand in, and all it reaches."""
        spans = []
        opened: list[tuple[int, list[SyntaxTreeNode]]] = []
        for number, node in enumerate(nodes):
            for name in self.sentinels.names(node.content) if node.type == "tags" else ():
                if name in {"if", "for"}:
                    opened.append((number, []))
                if opened:
                    opened[-1][1].append(node)
                if name.startswith("end") and opened:
                    first, tags = opened.pop()
                    spans.append((tags, nodes[first : number + 1]))
        return spans

    def block(self, node: SyntaxTreeNode) -> str:
        """One block as MJML: an element of a column, or a row where it is a wide component."""
        self._enter(node)
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
                href = self._href(inside)
                return self._image(picture, href and self._numbered(href, inside))
            return self.fill("button", self._button(inside, "") | self._place, html=True)
        kind = (node.tag if node.type == "heading" else "text") + self._inner
        return f'<mj-text css-class="{kind}" mj-class="{kind}">{self.html(node)}</mj-text>'

    @property
    def _place(self) -> dict[str, str]:
        """What a partial is told of where it stands."""
        return {"inner": self._inner, "heading": f"h{min(self.level + 1, 3)}"}

    @property
    def _inner(self) -> str:
        """The class of what stands in a box, beside its own."""
        return " inner" if any(COMPONENTS[name].inset for name in self.inside) else ""

    def _component(self, node: SyntaxTreeNode) -> str:
        head, line = directive_of(node), self.line
        component = component_of(head, line, self.faults)
        if component is None:
            self._held(node)  # its own faults are told too
            return ""
        if component.wide and self.inside:
            self._refuse(
                f"{head.name} is as wide as the mail and may not stand in {self.inside[-1]};"
                " end that before"
            )
        values: dict[str, Any] = dict.fromkeys(component.keys, "") | self._place
        values |= self._values(head, component, line)
        if values.get("title"):
            self.level = int(values["heading"][1:])
        self._check_body(node, head, component)
        self.inside.append(head.name)
        values |= self._content(node, head, component)
        self.inside.pop()
        self.values[node] = values
        return self.fill(head.name, values, html=True)

    def _check_body(self, node: SyntaxTreeNode, head: Directive, component: Component) -> None:
        """Refuse a block that says nothing, and one whose text begins like a key of it."""
        if not node.children and not component.keys and head.closed:
            self._refuse(f"{head.name} is empty; write something into it, or delete it")
        first = node.children[0] if node.children else None
        if first is None or first.type != "paragraph":
            return
        word, colon, _ = visible(first.children[0].content).partition(":")
        if colon and word.strip().lower() in component.keys:
            self.faults.error(
                self.first_line + _first_line(first),
                f"{quoted(word)} is a key of {head.name}; keys stand right below its first line,"
                f" written like {component.keys[word.strip().lower()].example}",
            )

    def _held(self, node: SyntaxTreeNode) -> str:
        return "\n".join(map(self.block, node.children))

    def _values(self, head: Directive, component: Component, line: int) -> dict[str, Any]:
        """What the keys say: words as they are, links numbered, images with their address."""
        values: dict[str, Any] = {}
        for name, key in component.keys.items():
            said = head.values.get(name, "").strip()
            if not said:
                continue
            self.line = line + head.lines[name]
            if self.sentinels.unbalanced([said]):
                self._refuse("{% if %} and {% endif %} must stand in one key")
            elif key.value == "words":
                values[name] = said
            elif key.value == "link":
                href = self.references.target(said, self._refuse)
                called = head.argument or None
                values[name] = href and self.references.number(href, called, self._refuse)
            else:
                medium = self.references.picture(said, self._refuse)
                values[name] = self.references.address_of(medium) if medium else ""
                values[f"{name}_width"] = _width(medium)
        self.line = line
        if "image" in values and "alt" in component.keys and "alt" not in values:
            self._refuse(
                f'{head.name} has an image and no words for who does not see it; write "alt: …",'
                ' or "alt: -" where it only decorates'
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
        if component.holds == "link":
            inside = alone(node.children[0]) if len(node.children) == 1 else None
            if inside is None or inside.type != "link":
                self._refuse(f"{head.name} holds one link; write [where it leads](https://…)")
                return {}
            return self._button(inside, head.argument)
        if component.holds == "list":
            if [child.type for child in node.children] != ["bullet_list"]:
                self._refuse(f"{head.name} holds one list; begin each of its lines with - ")
            self.item_mark = component.item_mark
        held = self._held(node)
        self.item_mark = ""
        return {"body": marked(held)}

    def _question(self, node: SyntaxTreeNode, head: Directive) -> dict[str, Any]:
        """A question, and each answer with the page it leads to; nothing of what is right."""
        line = self.line

        def refuse(at: SyntaxTreeNode, message: str) -> None:
            self._enter(at)
            self._refuse(message)

        question = read_question(head, node, self.sentinels, refuse)
        self.line = line
        if question is None:
            return {"question": "", "several": False, "options": []}
        return question.shown(self.references.question(question, self._refuse))

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

    def _button(self, node: SyntaxTreeNode, kind: str) -> dict[str, Any]:
        self._judge_words(node)
        href = self._href(node)
        written = "" if href is None else self._numbered(href, node)
        return {"href": written, "label": marked(self._html_of(node.children)), "kind": kind}

    def _href(self, node: SyntaxTreeNode) -> str | None:
        return self.references.target(str(node.attrs.get("href", "")), self._refuse)

    def _numbered(self, url: str, node: SyntaxTreeNode) -> str:
        name = str(node.attrs.get("title", "")) or None
        return self.references.number(url, name, self._refuse)

    def _image(self, node: SyntaxTreeNode, href: str | None) -> str:
        source = str(node.attrs.get("src", ""))
        alt = plain(node.children)
        decorative = node.attrs.get("title") == "decorative"
        if not alt.strip() and not decorative:
            self._refuse("this image has no words for who does not see it; write ![words](media/…)")
        medium = self.references.picture(source, self._refuse)
        if medium is None:
            return ""
        url = self.references.address_of(medium)
        link = f' href="{html.escape(href)}"' if href else ""
        kind = f"image{self._inner}"
        return (
            f'<mj-image css-class="{kind}" mj-class="{kind}" src="{html.escape(url)}"'
            f' width="{_width(medium)}px" alt="{html.escape(alt)}"{link} />'
        )

    def html(self, node: SyntaxTreeNode) -> str:
        """A block and all in it as HTML, styled inline: half of all mail programs need that."""
        self._enter(node)
        match node.type:
            case "tags":
                return node.content
            case "heading":
                self._judge_level(node)
                return self._element(node.tag, self._html_of(node.children))
            case "paragraph":
                if node.hidden:  # of a tight list
                    return self._html_of(node.children)
                # Of several in a quote or list item; those of the column stand in blocks apart.
                apart = node.parent is None or node.parent.type in {"root", DIRECTIVE}
                more_follow = not apart and node.next_sibling is not None
                style = "p_before" if more_follow else "p"
                return self._element("p", self._html_of(node.children), style=style)
            case "bullet_list" | "ordered_list" | "list_item":
                return self._list(node)
            case "blockquote":
                return self._element(node.tag, self._html_of(node.children))
            case "fence" | "code_block":
                return self._element("pre", html.escape(node.content, quote=False))
            case "hr":
                return self._element("hr", None)
            case type_ if type_ == DIRECTIVE:
                self._refuse("a block with ::: may not stand in a list or a quote; end that before")
                return ""
            case "html_block":
                self._refuse("HTML is not read here; write Markdown")
                return ""
            case "inline":
                return self._html_of(node.children)
        self._refuse(f"{node.type} is not for mails")
        return ""

    def _list(self, node: SyntaxTreeNode) -> str:
        held = self._html_of(node.children)
        if self.item_mark and node.tag == "li":
            return self._element("li", self.item_mark + held, style="check")
        if self.item_mark and node.tag == "ul":
            # Without marks of its own, one screen reader takes it for no list.
            return self._element("ul", held, ' role="list"', "checks")
        start = node.attrs.get("start")
        return self._element(node.tag, held, f' start="{start}"' if isinstance(start, int) else "")

    def _html_of(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        return "".join(
            self.html(node) if node.type in _BLOCKS else self._inline(node) for node in nodes
        )

    def _inline(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text":
                return html.escape(node.content, quote=False)
            case "softbreak":
                self.line += 1
                return "\n"
            case "hardbreak":
                self.line += 1
                return "<br />"
            case "strong" | "em":
                return self._element(node.tag, self._html_of(node.children))
            case "code_inline":
                return self._element("code", html.escape(node.content, quote=False))
            case "link":
                self._judge_words(node)
                href = self._href(node)
                if href is None:
                    return ""
                more = f' href="{html.escape(self._numbered(href, node))}"'
                return self._element("a", self._html_of(node.children), more)
            case "image":
                self._refuse("an image stands alone; put an empty line before and after it")
            case "html_inline":
                self._refuse(f"HTML is not read here: {quoted(node.content)}; write Markdown")
            case _:
                self._refuse(f"{node.type} is not for mails")
        return ""

    def _element(
        self, tag: str, inner: str | None, more: str = "", style: str | None = None
    ) -> str:
        css = self.styles.get(style or tag)
        if css:
            more += f' style="{html.escape(css)}"'
        return f"<{tag}{more} />" if inner is None else f"<{tag}{more}>{inner}</{tag}>"

    def _judge_words(self, node: SyntaxTreeNode) -> None:
        words = plain(node.children).strip()
        if not words:
            self._refuse("this link has no words; write [where it leads](https://…)")
        elif words.casefold().strip(" .!:»>→") in _VAGUE:
            self.faults.warn(
                self.line, f"the link {quoted(words)} does not say where it leads; name its goal"
            )

    def _judge_level(self, node: SyntaxTreeNode) -> None:
        level = int(node.tag[1])
        if level > self.level + 1:
            self.faults.warn(
                self.line, f"a heading of level {level} follows one of level {self.level}"
            )
        self.level = level

    def _enter(self, node: SyntaxTreeNode) -> None:
        if node.map:
            self.line = self.first_line + node.map[0]


_BLOCKS = frozenset(
    "tags heading paragraph bullet_list ordered_list list_item blockquote fence code_block hr"
    " html_block inline directive".split()
)


def _width(medium: Medium | None) -> int:
    # No height beside it: fixed, it would squeeze the image on a narrow screen.
    return min((medium and medium.width) or COLUMN, COLUMN)


def _first_line(node: SyntaxTreeNode) -> int:
    return 0 if node.is_root or not node.map else node.map[0]


def _is_wide(node: SyntaxTreeNode) -> bool:
    component = COMPONENTS.get(directive_of(node).name) if node.type == DIRECTIVE else None
    return component is not None and component.wide


def _row(blocks: Iterator[str]) -> str:
    held = "\n".join(blocks)
    return f'<mj-section css-class="row"><mj-column>\n{held}\n</mj-column></mj-section>'
