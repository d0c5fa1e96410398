"""Markdown to the two bodies of a mail: MJML blocks, and text that reads as text.

Owns what Markdown may hold in a mail (no HTML, known link schemes, images of ours with words for
who does not see them) and how each piece looks in both parts. Placeholders are sentinels here.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.tree import SyntaxTreeNode

from l3mail.content.findings import Faults
from l3mail.content.images import Medium
from l3mail.content.links import fault_of, is_numbered, place_of
from l3mail.content.matter import NAME
from l3mail.content.sentinels import Sentinels
from l3mail.errors import ContentError, quoted

COLUMN = 536
"""Pixels an image may be wide in the layout's column."""

_VAGUE = frozenset(
    "hier|klicken sie hier|klick hier|mehr|link|here|click here|more|read more|this|weiter".split(
        "|"
    )
)
_TRUSTED_START = re.compile(r"\{\{\s*(?:links\.\w+|base_url|impressum\.privacy_url)\s*\}\}")


@dataclass
class Body:
    """A text's Markdown in both forms, and what it refers to."""

    mjml: str = ""
    text: str = ""
    links: list[tuple[str, str | None]] = field(default_factory=list)
    interests: list[str] = field(default_factory=list)
    media: list[Medium] = field(default_factory=list)


def build_body(
    markdown: str,
    first_line: int,
    *,
    sentinels: Sentinels,
    styles: Mapping[str, str],
    find: Callable[..., Medium],
    faults: Faults,
) -> Body:
    """Turn Markdown with hidden placeholders into both bodies.

    `styles` are CSS by element name, `find(link, image=…)` knows the files of media/. Every fault
    is noted at its line; what comes back is then not for sending.
    """
    builder = _Builder(first_line, sentinels=sentinels, styles=styles, find=find, faults=faults)
    root = SyntaxTreeNode(_markdown(sentinels).parse(markdown))
    builder.check_tags(root)
    builder.body.mjml = "\n".join(builder.mjml(node) for node in root.children)
    builder.body.text = builder.text_blocks(root.children).strip("\n")
    return builder.body


def _markdown(sentinels: Sentinels) -> MarkdownIt:
    # HTML is parsed to be refused where it stands; left off, it would show as text in the mail.
    parser = MarkdownIt("commonmark", {"html": True})
    # Ours to judge, with a line: the parser's own check would turn a bad link into plain text.
    parser.validateLink = _any_link  # type: ignore[assignment, method-assign]
    tags_only = sentinels.tags_only

    def tag_lines(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
        content = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        if not tags_only.fullmatch(content):
            return False
        if not silent:
            state.line = line + 1
            token = state.push("tags", "", 0)
            token.content = re.sub(r"\s+", "", content)
            token.map = [line, line + 1]
        return True

    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("code", "tags", tag_lines, {"alt": interrupted})
    return parser


def _any_link(_url: str) -> bool:
    return True


class _Builder:
    def __init__(
        self,
        first_line: int,
        *,
        sentinels: Sentinels,
        styles: Mapping[str, str],
        find: Callable[..., Medium],
        faults: Faults,
    ) -> None:
        self.first_line = first_line
        self.sentinels = sentinels
        self.styles = styles
        self.find = find
        self.faults = faults
        self.body = Body()
        self.level = 1
        self.line = first_line
        self.aside: list[str] | None = None
        self.hrefs: dict[tuple[str, str | None], str] = {}

    # -- what is allowed

    def check_tags(self, node: SyntaxTreeNode) -> None:
        """Refuse an {% if %} that ends in another paragraph or list item than it began in."""
        own = [child.content for child in node.children if not child.children]
        if self.sentinels.unbalanced(own):
            self.faults.error(
                self.first_line + (node.map or (0, 0))[0],
                "{% if %} and {% endif %} must stand in one paragraph, or each alone in its line"
                " on the same level",
            )
        if node.type == "inline":
            self._check_lines(node)
        for child in node.children:
            self.check_tags(child)

    def _check_lines(self, node: SyntaxTreeNode) -> None:
        """Refuse what would stand in the mail as it was typed: directives there are not yet."""
        for number, line in enumerate(node.content.split("\n")):
            if line.lstrip().startswith(":::"):
                self.faults.error(
                    self.first_line + (node.map or (0, 0))[0] + number,
                    f"{quoted(line.strip()[:40])}: blocks with ::: are not read here;"
                    " delete the line and write a heading, a list or a quote (> …)",
                )

    def _href(self, node: SyntaxTreeNode) -> str | None:
        """Where a link leads, checked; None for one that is refused."""
        url = str(node.attrs.get("href", ""))
        scheme, colon, rest = url.partition(":")
        if scheme == "interest" and colon:
            if not NAME.fullmatch(rest):
                self._refuse(f"{quoted(rest)} is no name of an interest; use a-z, 0-9 and -")
                return None
            if rest not in self.body.interests:
                self.body.interests.append(rest)
            return self.sentinels.hide("{{ links.interest }}") + f"?of={rest}"
        if url.startswith("media/"):
            medium = self._medium(url, image=False)
            return None if medium is None else self._media_url(medium)
        if self.sentinels.any_tag.search(url):
            self._refuse("a tag may not stand inside a link; put {% if %} around the whole link")
            return None
        piece = self.sentinels.first_piece(url)
        if piece is not None:
            if not _TRUSTED_START.fullmatch(piece):
                self._refuse(
                    f"{piece} decides where this link leads; begin it with https:// or links.…"
                )
                return None
        elif (fault := fault_of(url, self.sentinels)) is not None:
            self._refuse(fault)
            return None
        return url

    def _medium(self, link: str, *, image: bool) -> Medium | None:
        try:
            medium = self.find(link, image=image)
        except ContentError as error:
            self._refuse(str(error))
            return None
        if medium not in self.body.media:
            self.body.media.append(medium)
        return medium

    def _media_url(self, medium: Medium) -> str:
        return self.sentinels.hide("{{ base_url }}") + f"/media/{medium.digest}/{medium.name}"

    def _refuse(self, message: str) -> None:
        self.faults.error(self.line, message)

    def _numbered(self, url: str, node: SyntaxTreeNode) -> str:
        """What is written for an address: its placeholder, if the link gets a number."""
        name = str(node.attrs.get("title", "")) or None
        if name is not None and not NAME.fullmatch(name):
            self._refuse(f"{quoted(name)} should be the link's name; use a-z, 0-9 and -")
        if not is_numbered(url, self.sentinels):
            return url
        entry = (url, name)
        if entry not in self.body.links:
            self.body.links.append(entry)
            # One sentinel each: lines of the text part that say the same must be the same.
            self.hrefs[entry] = self.sentinels.hide(place_of(len(self.body.links)))
        return self.hrefs[entry]

    # -- MJML

    def mjml(self, node: SyntaxTreeNode) -> str:
        """One block of the body as an MJML element of the layout's column."""
        self._enter(node)
        if node.type == "tags":
            return f"<mj-raw>{node.content}</mj-raw>"
        if node.type == "hr":
            return '<mj-divider css-class="rule" />'
        alone = _alone(node)
        if alone is not None and alone.type == "image":
            return self._image(alone, None)
        if alone is not None and alone.type == "link":
            inner = _only(alone.children)
            href = self._href(alone)
            if inner is not None and inner.type == "image":
                return self._image(inner, href and self._numbered(href, alone))
            return self._button(alone, href)
        kind = node.tag if node.type == "heading" else "text"
        return f'<mj-text css-class="{kind}" mj-class="{kind}">{self.html(node)}</mj-text>'

    def _button(self, node: SyntaxTreeNode, href: str | None) -> str:
        self._judge_words(node)
        if href is None:
            return ""
        written = html.escape(self._numbered(href, node))
        label = self._html_of(node.children)
        return f'<mj-button css-class="button" href="{written}">{label}</mj-button>'

    def _image(self, node: SyntaxTreeNode, href: str | None) -> str:
        source = str(node.attrs.get("src", ""))
        alt = _plain(node.children)
        decorative = node.attrs.get("title") == "decorative"
        if not alt.strip() and not decorative:
            self._refuse("this image has no words for who does not see it; write ![words](media/…)")
        if not source.startswith("media/"):
            self._refuse(f"{quoted(source)} is a foreign image; put it into media/")
            return ""
        medium = self._medium(source, image=True)
        if medium is None:
            return ""
        url = self._media_url(medium)
        # No height: fixed, it would squeeze the image on a narrow screen.
        width = min(medium.width or COLUMN, COLUMN)
        link = f' href="{html.escape(href)}"' if href else ""
        return (
            f'<mj-image css-class="image" src="{html.escape(url)}" width="{width}px"'
            f' alt="{html.escape(alt)}"{link} />'
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
                more_follow = node.level > 0 and node.next_sibling is not None
                style = "p_before" if more_follow else "p"
                return self._element("p", self._html_of(node.children), style=style)
            case "bullet_list" | "ordered_list" | "list_item" | "blockquote":
                start = node.attrs.get("start")
                more = f' start="{int(start)}"' if isinstance(start, int) else ""
                return self._element(node.tag, self._html_of(node.children), more)
            case "fence" | "code_block":
                return self._element("pre", html.escape(node.content, quote=False))
            case "hr":
                return self._element("hr", None)
            case "html_block":
                self._refuse("HTML is not read here; write Markdown")
                return ""
            case "inline":
                return self._html_of(node.children)
        self._refuse(f"{node.type} is not for mails")
        return ""

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
        words = _plain(node.children).strip()
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

    # -- text

    def text_blocks(self, nodes: Sequence[SyntaxTreeNode], gap: str = "\n\n") -> str:
        """Blocks below each other; a tag takes no line of its own."""
        parts: list[str] = []
        for node in nodes:
            written = self._text(node)
            if node.type != "tags":
                parts.append(written + gap if written else "")
            elif self.sentinels.ends_loop(written) and parts:
                # What repeats stands line below line.
                parts[-1] = parts[-1].removesuffix("\n\n") + "\n"
                parts.append(written + "\n")
            else:
                parts.append(written)
        return "".join(parts)

    def _text(self, node: SyntaxTreeNode) -> str:
        match node.type:
            case "tags":
                return node.content
            case "heading":
                words, aside = self._with_aside(node)
                length = min(max(3, len(self.sentinels.plain(words))), 72)
                rule = ("=" if node.tag in {"h1", "h2"} else "-") * length
                return "\n".join([words, rule, *aside])
            case "paragraph":
                alone = _alone(node)
                if alone is not None and alone.type == "link":
                    words, url = self._text_of(alone.children), self._target(alone)
                    written = self._written(url, alone)
                    return f"{words}: {written}" if words != url else written
                words, aside = self._with_aside(node)
                return "\n".join([words, *aside])
            case "bullet_list" | "ordered_list":
                return self._text_list(node)
            case "blockquote":
                inner = self.text_blocks(node.children).strip("\n")
                return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
            case "fence" | "code_block":
                return "\n".join(f"    {line}" for line in node.content.rstrip("\n").split("\n"))
            case "hr":
                return "* * *"
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
            mark = "- " if node.type == "bullet_list" else f"{number}. "
            inner = self.text_blocks(item.children, "\n" if tight else "\n\n").strip("\n")
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
                alt = _plain(node.children)
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
        quiet = self.faults
        self.faults = Faults(quiet.path)  # told already, when the HTML was made
        href = self._href(node) or ""
        self.faults = quiet
        return href.removeprefix("mailto:") if "?" not in href else href

    def _written(self, url: str, node: SyntaxTreeNode) -> str:
        """A target as the HTML part has it: numbered there, it is here too."""
        return self.hrefs.get((url, str(node.attrs.get("title", "")) or None), url)


_BLOCKS = frozenset(
    "tags heading paragraph bullet_list ordered_list list_item blockquote fence code_block hr"
    " html_block inline".split()
)


def _alone(node: SyntaxTreeNode) -> SyntaxTreeNode | None:
    """What a paragraph consists of, if that is one thing."""
    if node.type != "paragraph" or not node.children:
        return None
    return _only(node.children[0].children)


def _only(nodes: Sequence[SyntaxTreeNode]) -> SyntaxTreeNode | None:
    real = [node for node in nodes if node.type != "text" or node.content.strip()]
    return real[0] if len(real) == 1 else None


def _plain(nodes: Sequence[SyntaxTreeNode]) -> str:
    return "".join(
        node.content if node.type in {"text", "code_inline"} else _plain(node.children)
        for node in nodes
    )
