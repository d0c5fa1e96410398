"""What stands in a block: a text's Markdown as HTML, and where its links lead.

Owns how each element is written, and the judgement of the words of links and of headings' levels.
Styled inline: half of all mail programs need that.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.layouts import marked
from l3mail.content.markdown import CONDITION, DIRECTIVE, plain
from l3mail.content.places import Place
from l3mail.content.references import References
from l3mail.errors import quoted

_VAGUE = frozenset(
    (
        "hier|hier klicken|klicken sie hier|bitte hier klicken|klick hier|klick|mehr|mehr lesen"
        "|mehr erfahren|weiter|weiterlesen|link|zum link|dieser link|here|click here|click|more"
        "|read more|learn more|this|this link"
    ).split("|")
)
"""Words that say the same of every link (WCAG 2.2, success criterion 2.4.4)."""


_BLOCKS = frozenset(
    "tags heading paragraph bullet_list ordered_list list_item blockquote fence code_block hr"
    " html_block inline directive condition".split()
)
_COLUMNS = frozenset({"root", DIRECTIVE, CONDITION})


class Elements:
    """Writes what blocks hold; `item_mark` stands before each item of the list it is in."""

    def __init__(self, place: Place, references: References, styles: Mapping[str, str]) -> None:
        self.place = place
        self.references = references
        self.styles = styles
        self.level = 1
        self.item_mark = ""

    def button(self, node: SyntaxTreeNode, kind: str) -> dict[str, Any]:
        """What the partial of a button is told of a link."""
        self._judge_words(node)
        href = self.href(node)
        written = "" if href is None else self.numbered(href, node)
        return {"href": written, "label": marked(self.html_of(node.children)), "kind": kind}

    def href(self, node: SyntaxTreeNode) -> str | None:
        """Where a link leads; None, with the fault noted, if that is nowhere for mails."""
        return self.references.target(str(node.attrs.get("href", "")), self.place.refuse)

    def numbered(self, url: str, node: SyntaxTreeNode) -> str:
        """What is written for where a link leads."""
        name = str(node.attrs.get("title", "")) or None
        return self.references.number(url, name, self.place.refuse)

    def html(self, node: SyntaxTreeNode) -> str:
        """A block and all in it as HTML."""
        self.place.enter(node)
        match node.type:
            case "tags":
                return node.content
            case "heading":
                self._judge_level(node)
                return self._element(node.tag, self.html_of(node.children))
            case "paragraph":
                if node.hidden:  # of a tight list
                    return self.html_of(node.children)
                # Of several in a quote or list item; those of the column stand in blocks apart.
                apart = node.parent is None or node.parent.type in _COLUMNS
                more_follow = not apart and node.next_sibling is not None
                style = "p_before" if more_follow else "p"
                return self._element("p", self.html_of(node.children), style=style)
            case "bullet_list" | "ordered_list" | "list_item":
                return self._list(node)
            case "blockquote":
                return self._element(node.tag, self.html_of(node.children))
            case "fence" | "code_block":
                return self._element("pre", html.escape(node.content, quote=False))
            case "hr":
                return self._element("hr", None)
            case type_ if type_ in {DIRECTIVE, CONDITION}:
                self.place.refuse(
                    "a block with ::: may not stand in a list or a quote; end that before", ":::"
                )
                return ""
            case "html_block":
                self.place.refuse("HTML is not read here; write Markdown", "<")
                return ""
            case "inline":
                return self.html_of(node.children)
        self.place.refuse(f"{node.type} is not for mails")
        return ""

    def _list(self, node: SyntaxTreeNode) -> str:
        held = self.html_of(node.children)
        if self.item_mark and node.tag == "li":
            return self._element("li", self.item_mark + held, style="check")
        if self.item_mark and node.tag == "ul":
            # Without marks of its own, one screen reader takes it for no list.
            return self._element("ul", held, ' role="list"', "checks")
        start = node.attrs.get("start")
        return self._element(node.tag, held, f' start="{start}"' if isinstance(start, int) else "")

    def html_of(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        """Blocks or inline nodes behind each other as HTML."""
        return "".join(
            self.html(node) if node.type in _BLOCKS else self._inline(node) for node in nodes
        )

    def _inline(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text":
                return html.escape(node.content, quote=False)
            case "softbreak":
                self.place.line += 1
                return "\n"
            case "hardbreak":
                self.place.line += 1
                return "<br />"
            case "strong" | "em":
                return self._element(node.tag, self.html_of(node.children))
            case "code_inline":
                return self._element("code", html.escape(node.content, quote=False))
            case "link":
                self._judge_words(node)
                href = self.href(node)
                if href is None:
                    return ""
                more = f' href="{html.escape(self.numbered(href, node))}"'
                return self._element("a", self.html_of(node.children), more)
            case "image":
                self.place.refuse(
                    "an image stands alone; put an empty line before and after it", "!["
                )
            case "html_inline":
                message = f"HTML is not read here: {quoted(node.content)}; write Markdown"
                self.place.refuse(message, node.content)
            case _:
                self.place.refuse(f"{node.type} is not for mails")
        return ""

    def _element(
        self, tag: str, inner: str | None, more: str = "", style: str | None = None
    ) -> str:
        css = self.styles.get(style or tag)
        if css:
            more += f' style="{html.escape(css)}"'
        return f"<{tag}{more} />" if inner is None else f"<{tag}{more}>{inner}</{tag}>"

    def _judge_words(self, node: SyntaxTreeNode) -> None:
        written = plain(node.children)
        words = written.strip()
        if not words:
            self.place.refuse(
                "this link has no words; write [where it leads](https://…)", f"[{written}]("
            )
        elif words.casefold().strip(" .!:»>→") in _VAGUE:
            self.place.warn(
                f"the link {quoted(words)} does not say where it leads; name its goal",
                f"[{written}](",
            )

    def _judge_level(self, node: SyntaxTreeNode) -> None:
        level = int(node.tag[1])
        if level > self.level + 1:
            self.place.warn(
                f"a heading of level {level} follows one of level {self.level};"
                f" write {'#' * (self.level + 1)} before it",
                "#" * level,
            )
        self.level = level
