"""Markdown as a tree: what a text consists of, before anybody says how that looks.

Owns the syntax: CommonMark, lines of nothing but tags, and directives, which are blocks between a
line `::: name` and a line `:::`. Keys stand right below the first: `when: Monday, 10 o'clock`.
Conditions are written like them (`::: if EXPR`), and each of their parts is a node of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from l3mail.content.sentinels import Sentinels

DIRECTIVE: Final = "directive"
"""The type of a directive's node; its `meta` is a `Directive` below this same name."""

CONDITION: Final = "condition"
"""The type of the node of a part that not everybody gets; its `meta` is a `Condition`, as above."""

RULED: Final = "ruled"
"""The type of the node of lines to write on; its `content` is what stands behind `::: lines`."""

_OPENING = re.compile(r":{3,}[ \t]*([^\s:][^\s]*)[ \t]*(.*?)[ \t]*")
_IF = re.compile(r":{3,}[ \t]*if(?=[\s(]|$)[ \t]*(.*?)[ \t]*")
_ELSE = re.compile(r":{3,}[ \t]*(else|elif)(?:[ \t]+(?:if[ \t]+)?(.*?))?[ \t]*")
_CLOSING = re.compile(r":{3,}[ \t]*")
_KEY = re.compile(r"([a-z][a-z_]*):(?:[ \t]+(.*?))?[ \t]*")
_ALMOST = re.compile(r"::\s*[a-z]+$")
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
_INTERRUPTED: Final = ["paragraph", "reference", "blockquote", "list"]
DEEPEST: Final = 40
"""Levels of lists and quotes; what lies deeper than twice that, the parser leaves out unsaid."""

_DEEPEST: Final = 2
_DEEPEST_CONDITION: Final = 3
_HIDDEN: Final = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00a0\s]+")


@dataclass(frozen=True, slots=True)
class Directive:
    """The head of one directive: its name, what stands behind it, and its keys.

    `lines` counts from the directive's own line, 0, to that of each key. `closed` is False where
    the line `:::` is missing; `deep` is True where nobody would read on; `doubles` are keys that
    stand there again.
    """

    name: str
    argument: str
    values: dict[str, str]
    lines: dict[str, int]
    closed: bool
    deep: bool = False
    doubles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a text: what it asks, and whether it is for the others, `else`.

    `fault` is what is wrong with how it is written, if anything is.
    """

    asks: str
    otherwise: bool = False
    fault: str = ""


def parse(markdown: str, sentinels: Sentinels) -> SyntaxTreeNode:
    """The tree of a text whose placeholders and tags are hidden."""
    return _tree(_parser(sentinels).parse(markdown))


def parse_sheet(markdown: str) -> SyntaxTreeNode:
    """The tree of a worksheet: with tables, and with lines to write on, `::: lines 4`."""
    parser = _parser(Sentinels.for_texts([markdown])).enable("table")
    parser.block.ruler.before(DIRECTIVE, RULED, _read_ruled, {"alt": _INTERRUPTED})
    return _tree(parser.parse(markdown))


def _tree(tokens: Sequence[Token]) -> SyntaxTreeNode:
    """The tree of a text; marks in marks beyond all measure are one word of that level in it.

    Nobody could walk them, and by its level the word is refused where it stands.
    """
    for token in tokens:
        level = max((child.level for child in token.children or ()), default=0)
        if level > DEEPEST:
            word = Token("text", "", 0, content=token.content, map=token.map, level=level)
            token.children = [word]
    return SyntaxTreeNode(tokens)


def directive_of(node: SyntaxTreeNode) -> Directive:
    """The head of a directive's node."""
    head = node.meta[DIRECTIVE]
    assert isinstance(head, Directive)
    return head


def condition_of(node: SyntaxTreeNode) -> Condition:
    """What the node of a part that not everybody gets asks."""
    asked = node.meta[CONDITION]
    assert isinstance(asked, Condition)
    return asked


def flat(nodes: Sequence[SyntaxTreeNode]) -> Iterator[SyntaxTreeNode]:
    """Blocks as they follow each other: what stands in a condition is among its neighbours."""
    for node in nodes:
        if node.type == CONDITION:
            yield from flat(node.children)
        else:
            yield node


def block_names(markdown: str) -> set[str]:
    """The names behind a text's `:::`, those of unknown blocks and of shown ones too."""
    found = map(_OPENING.fullmatch, map(str.strip, markdown.splitlines()))
    return {one[1] for one in found if one}


def is_stray(line: str) -> bool:
    """Whether a line of text looks like the end of a directive, or like one that failed."""
    seen = visible(line)
    return seen.startswith(":::") or _ALMOST.match(seen) is not None


def visible(text: str) -> str:
    """A text without the blanks and the hidden signs around it."""
    begins = _HIDDEN.match(text)
    return _HIDDEN.sub(" ", text[begins.end() if begins else 0 :]).strip()


def alone(node: SyntaxTreeNode) -> SyntaxTreeNode | None:
    """What a paragraph consists of, if that is one thing."""
    if node.type != "paragraph" or not node.children:
        return None
    return only(node.children[0].children)


def only(nodes: Sequence[SyntaxTreeNode]) -> SyntaxTreeNode | None:
    """The one node that is no white space, if there is but one."""
    real = [node for node in nodes if node.type != "text" or node.content.strip()]
    return real[0] if len(real) == 1 else None


def plain(nodes: Sequence[SyntaxTreeNode]) -> str:
    """The words of inline nodes, without their marks."""
    return "".join(
        node.content if node.type in {"text", "code_inline"} else plain(node.children)
        for node in nodes
    )


def first_words(node: SyntaxTreeNode) -> str:
    """What the first line of a block says, as it was typed; ":::" of a directive."""
    if node.type == DIRECTIVE:
        return ":::"
    inline = next((part for part in node.walk() if part.type == "inline"), None)
    return inline.content.partition("\n")[0] if inline else ""


def _parser(sentinels: Sentinels) -> MarkdownIt:
    # HTML is parsed to be refused where it stands; left off, it would show as text in the mail.
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 2 * DEEPEST})
    # Ours to judge, with a line: the parser's own check would turn a bad link into plain text.
    parser.validateLink = _any_link  # type: ignore[assignment, method-assign]
    tags_only = sentinels.tags_only

    def tag_lines(state: StateBlock, line: int, _end: int, silent: bool) -> bool:
        content = _line(state, line)
        if not tags_only.fullmatch(content):
            return False
        if not silent:
            state.line = line + 1
            token = state.push("tags", "", 0)
            token.content = re.sub(r"\s+", "", content)
            token.map = [line, line + 1]
        return True

    parser.block.ruler.before("code", "tags", tag_lines, {"alt": _INTERRUPTED})
    parser.block.ruler.before("fence", CONDITION, _read_condition, {"alt": _INTERRUPTED})
    parser.block.ruler.before("fence", DIRECTIVE, _read_directive, {"alt": _INTERRUPTED})
    return parser


def _any_link(_url: str) -> bool:
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]


def _read_directive(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The block rule: a directive with all in it, read as far as it reaches."""
    found = _OPENING.fullmatch(_line(state, start))
    if found is None or state.is_code_block(start):
        return False
    if silent:
        return True
    last, closed, _ = _end_of(state, start, end)
    values, lines, doubles, body = _keys(state, start, last)
    deep = int(state.env.get(DIRECTIVE, 0)) >= _DEEPEST
    token = state.push(f"{DIRECTIVE}_open", "", 1)
    token.map = [start, last]
    head = Directive(found[1], found[2], values, lines, closed, deep, frozenset(doubles))
    token.meta = {DIRECTIVE: head}
    if not deep:
        _read_body(state, body, last, DIRECTIVE)
    state.push(f"{DIRECTIVE}_close", "", -1)
    state.line = last + 1 if closed else last
    return True


def _read_ruled(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The block rule: lines to write on hold nothing, so they may do without a closing line."""
    found = _OPENING.fullmatch(_line(state, start))
    if found is None or found[1] != "lines" or state.is_code_block(start):
        return False
    if silent:
        return True
    after = start + 1
    while after < end and state.isEmpty(after):
        after += 1
    closed = after < end and _CLOSING.fullmatch(_line(state, after)) is not None
    token = state.push(RULED, "", 0)
    token.content, token.map = found[2], [start, start + 1]
    state.line = after + 1 if closed else start + 1
    return True


def _read_condition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The block rule: a condition with its parts, read as far as it reaches."""
    found = _IF.fullmatch(_line(state, start))
    if found is None or state.is_code_block(start):
        return False
    if silent:
        return True
    last, closed, others = _end_of(state, start, end)
    deep = int(state.env.get(CONDITION, 0)) >= _DEEPEST_CONDITION
    fault = ""
    if not found[1]:
        fault = '::: if asks nothing; write whom it is for, as in ::: if district == "Nord"'
    elif deep:
        fault = "conditions are nested too deep here; join them into one with and"
    elif not closed:
        fault = "::: if is never closed; write ::: in a line where it ends"
    parts = [(start, Condition(found[1], fault=fault))]
    for line in others:
        behind = _ELSE.fullmatch(_line(state, line))
        fault = ""
        if behind is not None and (behind[2] or behind[1] == "elif"):
            fault = (
                f"nothing stands behind else; write ::: if {behind[2] or '…'} in a line below it"
            )
        elif len(parts) > 1:
            fault = "this ::: if has an else already; delete one of them"
        parts.append((line, Condition(found[1], otherwise=True, fault=fault)))
    for (line, part), ends in zip(parts, [*others, last], strict=True):
        token = state.push(f"{CONDITION}_open", "", 1)
        token.map = [line, ends]
        token.meta = {CONDITION: part}
        if not deep:
            _read_body(state, line + 1, ends, CONDITION)
        state.push(f"{CONDITION}_close", "", -1)
    state.line = last + 1 if closed else last
    return True


def _read_body(state: StateBlock, first: int, last: int, within: str) -> None:
    line_max, parent = state.lineMax, state.parentType
    state.env[within] = int(state.env.get(within, 0)) + 1
    state.lineMax, state.parentType = last, within
    state.md.block.tokenize(state, first, last)
    state.lineMax, state.parentType = line_max, parent
    state.env[within] -= 1


def _end_of(state: StateBlock, start: int, end: int) -> tuple[int, bool, list[int]]:
    """The line of the `:::` that closes what opens at `start`, whether there is one; its elses."""
    depth, fence, others = 1, "", list[int]()
    for at in range(start + 1, end):
        if state.sCount[at] < state.blkIndent and not state.isEmpty(at):
            return at, False, others  # what it stood in has ended
        line = _line(state, at)
        if state.is_code_block(at):
            continue
        if fence:
            # As many marks at least as it was opened with (CommonMark 0.31, section 4.5).
            fence = (
                "" if set(line.strip()) == {fence[0]} and len(line.strip()) >= len(fence) else fence
            )
        elif mark := _FENCE.fullmatch(line):
            fence = mark[1] or mark[2]
        elif _ELSE.fullmatch(line):
            others += [at] if depth == 1 else []
        elif _OPENING.fullmatch(line):
            depth += 1
        elif _CLOSING.fullmatch(line):
            depth -= 1
            if depth == 0:
                return at, True, others
    return end, False, others


def _keys(
    state: StateBlock, start: int, last: int
) -> tuple[dict[str, str], dict[str, int], list[str], int]:
    """The keys right below the first line, the line of each, doubles, and where the body begins."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    doubles: list[str] = []
    for at in range(start + 1, last):
        found = _KEY.fullmatch(_line(state, at))
        if found is None:
            return values, lines, doubles, at
        if found[1] in values:
            doubles.append(found[1])
        values.setdefault(found[1], found[2] or "")
        lines[found[1]] = at - start
    return values, lines, doubles, last
