"""A text's Markdown as text that reads as text: for who reads mail without HTML.

Owns how each block is written, and where the addresses of links stand. Faults were told when the
HTML was made of the same tree.
"""

import re
from collections.abc import Callable, Sequence

from markdown_it.tree import SyntaxTreeNode

from l3mail.content.components import COMPONENTS
from l3mail.content.markdown import DIRECTIVE, alone, directive_of, flat, plain
from l3mail.content.references import References
from l3mail.content.sentinels import Sentinels


def rule_below(words: str, mark: str) -> str:
    """The line below a heading, as long as its words where that is a length for a line."""
    return mark * min(max(3, len(words)), 72)


class TextWriter:
    """Writes one text; `component` writes what a directive comes to, given what it holds."""

    def __init__(
        self,
        sentinels: Sentinels,
        references: References,
        component: Callable[[SyntaxTreeNode, str], str],
    ) -> None:
        self.sentinels = sentinels
        self.references = references
        self.component = component
        self.aside: list[str] | None = None
        self.bullet = "- "

    def blocks(self, nodes: Sequence[SyntaxTreeNode], gap: str = "\n\n") -> str:
        """Blocks below each other; a tag takes no line of its own."""
        parts: list[str] = []
        below = list(flat(nodes))
        last = self._last_for_all(below)
        for number, node in enumerate(below):
            written = self._text(node)
            if node.type != "tags":
                # Behind the last that everybody gets, a gap is shown with what follows it, or not.
                before, after = (gap if number > last else "", gap if number < last else "")
                parts.append(before + written + after if written else "")
            elif self.sentinels.ends_loop(written) and parts:
                # What repeats stands line below line.
                parts[-1] = parts[-1].removesuffix("\n\n") + "\n"
                parts.append(written + "\n")
            else:
                parts.append(written)
        return "".join(parts)

    def _last_for_all(self, nodes: Sequence[SyntaxTreeNode]) -> int:
        """The number of the last block that everybody gets, if only conditions follow it."""
        depth, last, follows = 0, len(nodes), set[str]()
        for number, node in enumerate(nodes):
            names = self.sentinels.names(node.content) if node.type == "tags" else []
            follows.update(names)
            depth += sum(-1 if name.startswith("end") else name in {"if", "for"} for name in names)
            if node.type != "tags" and depth == 0:
                last, follows = number, set()
        return len(nodes) if "for" in follows or not follows else last

    def _text(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "tags":
                return node.content
            case "heading":
                words, aside = self._with_aside(node)
                mark = "=" if node.tag in {"h1", "h2"} else "-"
                rule = rule_below(self.sentinels.plain(words), mark)
                return "\n".join([words, rule, *aside])
            case "paragraph":
                inside = alone(node)
                if inside is not None and inside.type == "link":
                    words, url = self._text_of(inside.children), self._target(inside)
                    written = self._written(url, inside)
                    return f"{words}: {written}" if words != url else written
                words, aside = self._with_aside(node)
                return "\n".join([words, *aside])
            case "bullet_list" | "ordered_list":
                return self._text_list(node)
            case "blockquote":
                inner = self.blocks(node.children).strip("\n")
                return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
            case "fence" | "code_block":
                return "\n".join(f"    {line}" for line in node.content.rstrip("\n").split("\n"))
            case "hr":
                return "* * *"
            case type_ if type_ == DIRECTIVE:
                component = COMPONENTS.get(directive_of(node).name)
                self.bullet = (component and component.bullet) or "- "
                held = self.blocks(node.children).strip("\n")
                self.bullet = "- "
                return self.component(node, held).strip("\n")
        return ""

    def _text_list(self, node: SyntaxTreeNode) -> str:
        start = node.attrs.get("start", 1)
        number = start if isinstance(start, int) else 1
        tight = all(
            child.hidden
            for item in node.children
            for child in item.children
            if child.type == "paragraph"
        )
        items = []
        for item in node.children:
            mark = self.bullet if node.type == "bullet_list" else f"{number}. "
            inner = self.blocks(item.children, "\n" if tight else "\n\n").strip("\n")
            items.append(mark + re.sub(r"\n(?!\n|$)", "\n" + " " * len(mark), inner))
            number += 1
        return ("\n" if tight else "\n\n").join(items)

    def _with_aside(self, node: SyntaxTreeNode) -> tuple[str, list[str]]:
        """A block's words, and the lines with its links' addresses that belong below it.

        Nothing but white space may follow an address: it would be copied along and break it.
        """
        # Below the block, a link would show although the {% if %} around it does not.
        bound = any(self.sentinels.any_tag.search(child.content) for child in node.children)
        self.aside = None if bound else []
        words = self._text_of(node.children)
        aside, self.aside = self.aside or [], None
        return words.strip("\n"), list(dict.fromkeys(aside))

    def _text_of(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        written = ""
        for before, node in zip([None, *nodes], nodes, strict=False):
            text = self._inline_text(node)
            if before is not None and before.type == "link":
                if written.endswith("\n"):
                    text = text.lstrip(" ")
                elif text[:1] and not text[0].isspace() and self._is_bare(before):
                    text = " " + text
            written += text
        return written

    def _is_bare(self, node: SyntaxTreeNode) -> bool:
        """Whether a link's words are its address."""
        return self._text_of(node.children) == self._target(node)

    def _inline_text(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "text" | "code_inline":
                return node.content
            case "softbreak":
                return " "
            case "hardbreak":
                return "\n"
            case "image":
                alt = plain(node.children)
                return f"[{alt}]" if alt else ""
            case "link":
                words, url = self._text_of(node.children), self._target(node)
                written = self._written(url, node)
                if words in {url, f"mailto:{url}"}:
                    return written
                if "@" in url and ":" not in url:
                    return f"{words} ({url})"
                if self.aside is None:
                    return f"{words}:\n{written}\n"
                self.aside.append(f"{words}: {written}")
                return words
        return self._text_of(node.children)

    def _target(self, node: SyntaxTreeNode) -> str:
        # Told already, when the HTML was made.
        href = self.references.target(str(node.attrs.get("href", "")), _say_nothing) or ""
        return href.removeprefix("mailto:") if "?" not in href else href

    def _written(self, url: str, node: SyntaxTreeNode) -> str:
        return self.references.written(url, str(node.attrs.get("title", "")) or None)


def _say_nothing(_fault: str, _at: str = "", /) -> None:
    pass
