"""One text to one version: subject, preheader, HTML and text, with all that they need.

Owns the order of the steps and what a compiled text must have (Impressum, a way to unsubscribe,
a size that mail programs show whole). Compiling the same files gives the same result.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from l3mail.content.blocks import Body, build_body
from l3mail.content.components import FOLDER as COMPONENTS
from l3mail.content.conversion import check_piece, to_html
from l3mail.content.designs import SETTINGS, Design, check_palette, design_values
from l3mail.content.findings import Faults, Finding, line_of, suggestion
from l3mail.content.images import Medium
from l3mail.content.layouts import FOLDER as LAYOUTS
from l3mail.content.layouts import (
    WORDS,
    Layout,
    fill_frame,
    layout_for,
    marked,
    read_layout,
    read_words,
)
from l3mail.content.links import longest, with_pixel
from l3mail.content.makings import find
from l3mail.content.mappings import split_front_matter
from l3mail.content.markdown import DIRECTIVE, directive_of
from l3mail.content.placeholders import check_placeholders, counted, shown
from l3mail.content.references import Asked, References
from l3mail.content.sentinels import Sentinels
from l3mail.content.simplicity import SUFFIX, is_simple, judge, judge_words
from l3mail.content.sources import Library, Source
from l3mail.errors import ContentError, quoted

LARGEST_HTML = 102 * 1024
"""Gmail cuts off what is longer, the footer with its links first."""

_DEFAULT_STREAM = {"newsletter": "newsletter", "lifecycle": "lifecycle"}


@dataclass(frozen=True, slots=True)
class Text:
    """A source and what came of it; `compiled` is None when an error stands among `findings`.

    `compiled` is JSON: Jinja sources `subject`, `preheader`, `text`, `html`; `stream` (None for
    notices), `kind`, `from` and `reply_to` (None: the workspace's), `interests`, `media` as
    [digest, name], `questions` and `conditions` where there are any, `counted` where the text says
    parts of `course` that are counted when it is sent, for lifecycle mailings `rule`, for issues
    `segment`. `links` are (url, name);
    text and html name them by `trail` and `hrefs[1]` and so on, and html of a stream has a place
    for a `pixel`. Whether a condition's part is shown they ask as `when[0]` and so on.
    """

    source: Source
    compiled: Mapping[str, Any] | None
    findings: tuple[Finding, ...]
    links: tuple[tuple[str, str | None], ...] = ()
    media: tuple[Medium, ...] = field(default=())
    conditions: tuple[Asked, ...] = ()

    @property
    def hrefs(self) -> dict[int, str]:
        """Where the numbered links lead."""
        return {number: url for number, (url, _) in enumerate(self.links, start=1)}

    @property
    def draft(self) -> bool:
        """Whether its author says that it is not ready."""
        return self.source.matter.draft


def compile_text(library: Library, source: Source) -> Text:
    """Compile one text; faults are findings. Those of a draft are warnings: it goes nowhere."""
    faults = Faults(source.path, list(source.findings))
    compiled = body = None
    try:
        name = source.matter.layout or layout_for(source.kind, library.layouts)
        layout = read_layout(name, library.layouts)
        words = read_words(library.words, source.locale, library.locale)
    except ContentError as error:
        faults.error(source.mapped.line("layout"), str(error))
    else:
        compiled, body = _Compilation(library, source, layout, words, faults).run()
    findings = tuple(faults.found)
    if source.matter.draft:
        findings = tuple(replace(finding, severity="warning") for finding in findings)
    if faults.broken or compiled is None or body is None:
        return Text(source, None, findings)
    links, media = tuple(body.references.links), tuple(body.references.media)
    return Text(source, compiled, findings, links, media, tuple(body.references.conditions))


def stream_of(source: Source) -> str | None:
    """The stream a text is sent in; None for notices, which answer a request."""
    if source.kind == "notice":
        return None
    return source.course or source.matter.stream or _DEFAULT_STREAM[source.kind]


@dataclass
class _Compilation:
    library: Library
    source: Source
    layout: Layout
    words: Mapping[str, str]
    faults: Faults

    def run(self) -> tuple[dict[str, Any] | None, Body | None]:
        """All steps, as far as they come."""
        source = self.source
        self._check_words()
        self._check_stream()
        self._check_frame()
        if self.faults.broken and not self._readable:
            return None, None
        self.sentinels = Sentinels.for_texts(
            [
                source.text,
                *self.library.layouts.values(),
                *self.library.components.values(),
                self.library.design.claim,
                self.library.design.font,
                *self.words.values(),
            ]
        )
        self.said = {name: self.sentinels.hide(word) for name, word in self.words.items()}
        self.references = References(self.sentinels, partial(find, self.library))
        self.pieces: set[str] = set()
        self.logos = self._logos()
        self.styles = self._styles()
        body = build_body(
            self.sentinels.hide(source.body),
            source.body_line,
            references=self.references,
            styles=self.styles,
            fill=self._component,
            faults=self.faults,
        )
        self.faults.found[:] = [
            replace(fault, message=self.sentinels.reveal(fault.message))
            for fault in self.faults.found
        ]
        self.opens = body.opens
        if is_simple(source.locale):
            self._check_simplicity(body)
        elif source.matter.tested_by:
            line = source.mapped.line("tested_by")
            message = f'"tested_by" is for texts in easy language, named like …{SUFFIX}.md'
            self.faults.error(line, message)
        self._check_notice(body)
        self._check_days(body)
        if not source.body.strip():
            self.faults.error(source.body_line, "there is no text; write one below the ---")
        self.links = tuple(body.references.links)
        html, text = self._html(body), self._plain(body)
        if html is None or text is None or self.faults.broken:
            return None, None
        compiled = self._compiled(body, html, text)
        self._check_result(compiled)
        return compiled, body

    def _compiled(self, body: Body, html: str, text: str) -> dict[str, Any]:
        source, matter = self.source, self.source.matter
        compiled: dict[str, Any] = {
            "subject": matter.subject,
            "preheader": matter.preheader,
            "text": text,
            "html": html,
            "kind": source.kind,
            "locale": source.locale,
            "stream": stream_of(source),
            "interests": body.references.interests,
            "from": matter.from_ or self._of_course("sender"),
            "reply_to": matter.reply_to or self._of_course("reply_to"),
            "media": [[medium.digest, medium.name] for medium in body.references.media],
        }
        if body.references.questions:
            compiled["questions"] = [one.compiled for one in body.references.questions]
        if body.references.conditions:
            compiled["conditions"] = [
                {"if": one.asks, "else": one.otherwise} for one in body.references.conditions
            ]
        # Sorted, for the hash: compiling the same files gives the same result.
        if said := sorted(set[str]().union(*map(counted, (matter.subject, html, text)))):
            compiled["counted"] = said
        if matter.rule:
            compiled["rule"] = matter.rule
        elif getattr(matter, "segment", None) is not None:
            compiled["segment"] = getattr(matter, "segment", None)
        return compiled

    def _of_course(self, key: str) -> str | None:
        course = next((c for c in self.library.curricula if c.slug == self.source.course), None)
        return getattr(course, key) if course else None

    def _check_words(self) -> None:
        source, matter = self.source, self.source.matter
        if source.findings and not source.mapped.values:
            pass  # the keys could not be read at all
        elif not matter.subject.strip() and "subject" not in source.mapped.values:
            self.faults.error(1, '"subject" is missing; write subject: "…"')
        elif not matter.subject.strip() and not source.findings:
            self.faults.error(source.mapped.line("subject"), '"subject" is empty; write one')
        self._readable = True
        for text, line in (
            (matter.subject, source.mapped.line("subject")),
            (matter.preheader, source.mapped.line("preheader")),
            (source.body, source.body_line),
        ):
            self._readable &= self._check_placeholders(text, line, self.faults)

    def _check_notice(self, body: Body) -> None:
        """Refuse what asks for an act in a mail that answers a request."""
        asked = {
            "an interest: link": body.references.interests,
            "a question": body.references.questions,
            "an ::: if": body.references.conditions,
        }
        for what, found in asked.items():
            if found and self.source.kind == "notice":
                message = f"{what} is not for notices; who is asked is not known"
                self.faults.error(self.source.body_line, message)

    def _check_days(self, body: Body) -> None:
        """Refuse to ask for a day of learning whom no course counts."""
        for node in body.tree.walk() if self.source.course is None else ():
            if node.type == DIRECTIVE and directive_of(node).name == "done":
                line = self.source.body_line + (node.map[0] if node.map else 0)
                self.faults.error(line, "done is for the texts of a course; its days are counted")

    def _check_frame(self) -> None:
        """A fault of the frame is one of every text in it: none of them could be sent."""
        layout = self.layout
        self.faults.found += check_colours(layout, self.library.design)
        self.faults.found += layout.findings
        attributes = self.library.attributes
        written = _misused(layout.path, layout.mjml.text, 1, attributes)
        self.faults.found += layout.mjml.told(written)
        self.faults.found += _misused(layout.text_path, layout.text, 1, attributes)
        for word in self.words.values():
            line = line_of(word, self.library.words)
            self.faults.found += _misused(WORDS, word, line, attributes)

    def _check_placeholders(
        self, text: str, line: int, faults: Faults, *, compiled: bool = False
    ) -> bool:
        return check_placeholders(
            text,
            line,
            faults,
            attributes=self.library.attributes,
            in_course=self.source.course is not None,
            compiled=compiled,
        )

    def _check_stream(self) -> None:
        source = self.source
        said, line = source.matter.stream, source.mapped.line("stream")
        known = self.library.streams | self.library.courses
        if source.kind == "notice":
            if said is not None:
                self.faults.error(line, '"stream" is not for notices; delete the line')
        elif source.course is not None:
            if said not in {None, source.course}:
                self.faults.error(
                    line, f'"stream" is {quoted(str(said))}, a lesson goes out in its course\'s own'
                )
        elif (stream := stream_of(source)) not in known:
            self.faults.error(
                line,
                f"the stream {quoted(str(stream))} is not declared;"
                f" {suggestion(str(stream), known)} A new one: [streams.{stream}] in l3mail.toml",
            )

    def _easy(self) -> str:
        """What a text in easy language says of itself; only who has tested it may call it more."""
        if not is_simple(self.source.locale):
            return ""
        tested_by = self.source.matter.tested_by
        return f"{self.said['easy_tested']} {tested_by}" if tested_by else self.said["easy"]

    def _check_simplicity(self, body: Body) -> None:
        source = self.source
        judge_words(source.matter.subject, source.mapped.line("subject"), self.faults)
        judge_words(source.matter.preheader, source.mapped.line("preheader"), self.faults)
        judge(body.tree, source.body_line, self.faults)

    def _logos(self) -> dict[str, str]:
        """Where the logos are fetched: `light`, and `dark` where there is another one for it."""
        design, found = self.library.design, {"light": "", "dark": ""}
        if design.logo_dark and not design.logo:
            fault = "logo_dark is for dark screens; name the one for all others too, as logo"
            self.faults.found.append(Finding(SETTINGS, 1, "error", fault))
        for name, link in (("light", design.logo), ("dark", design.logo_dark)):
            if link:
                faults = Faults(SETTINGS)
                medium = self.references.picture(link, partial(faults.error, 1))
                self.faults.found += faults.found
                if medium is not None:
                    found[name] = self.references.address_of(medium)
        return found

    def _styles(self) -> dict[str, str]:
        """The CSS of what Markdown makes, with the layout's colours in it."""
        faults, values = Faults(self.layout.path), self._design_values()
        filled = {
            name: fill_frame(self.layout.path, css, values, files={}, faults=faults) or ""
            for name, css in self.layout.inline.items()
        }
        self.faults.found += faults.found
        return filled

    def _component(self, name: str, values: Mapping[str, Any], *, html: bool) -> str:
        """A component's partial with its values; "" and a fault where it has none, or a wrong one.

        What stands in an author's text is hidden already, and stays so.
        """
        file = f"{name}.{'mjml' if html else 'txt'}"
        path = f"{COMPONENTS}/{file}"
        frame = self.library.components.get(file)
        if frame is None:
            self.faults.error(self.source.body_line, f"{path} is missing; {name} is made of it")
            return ""
        faults = Faults(path)
        if path not in self.pieces:
            self.pieces.add(path)
            faults.found += _misused(path, frame, 1, self.library.attributes)
        more = {"inline": self.styles} | self._design_values()
        filled = fill_frame(
            path, self.sentinels.hide(frame), more | dict(values), files={}, faults=faults
        )
        if html and filled:
            check_piece(filled, frame, faults)
        self.faults.found += faults.found
        return (filled or "").strip("\n")

    def _design_values(self) -> dict[str, Any]:
        """What every frame knows of the design and of the language it is read in."""
        return design_values(
            self.library.design, self.layout.light, self.layout.dark, self.source.locale
        ) | {"words": self.said, "logo": self.logos}

    def _frame_values(self, body: object, *, escape: bool) -> dict[str, Any]:
        source, hide = self.source, self.sentinels.hide
        kind = "notice" if source.kind == "notice" else "course" if source.course else "stream"
        return self._design_values() | {
            "body": body,
            "why": self.said.get(f"why_{kind}", ""),
            "subject": hide(source.matter.subject) if escape else "",
            "preheader": hide(source.matter.preheader) if escape else "",
            "kind": source.kind,
            "course": source.course,
            "stream": source.kind != "notice",
            "opens": self.opens,
            "easy": self._easy(),
        }

    def _html(self, body: Body) -> str | None:
        """The HTML part, a Jinja source again."""
        faults = Faults(self.layout.path)
        values = self._frame_values(marked(body.mjml), escape=True)
        frame = self.layout.mjml
        filled = self._filled(self.layout.path, frame.text, values, faults)
        html = None if filled is None else to_html(filled, frame.text, faults)
        self.faults.found += frame.told(faults.found)
        if html is None:
            return None
        page = self.sentinels.show(html)
        return page if stream_of(self.source) is None else with_pixel(page)

    def _plain(self, body: Body) -> str | None:
        faults = Faults(self.layout.text_path)
        values = self._frame_values(body.text, escape=False)
        filled = self._filled(self.layout.text_path, self.layout.text, values, faults)
        self.faults.found += faults.found
        return None if filled is None else self.sentinels.show(filled)

    def _filled(
        self, path: str, frame: str, values: Mapping[str, Any], faults: Faults
    ) -> str | None:
        # The frame's own placeholders are hidden before the body comes in: what looks like one
        # there then, an author wrote as plain text.
        hide = self.sentinels.hide
        named = self.library.layouts if "include" in frame or "extends" in frame else {}
        files = {name: hide(text) for name, text in named.items()}
        return fill_frame(path, hide(frame), values, files=files, faults=faults)

    def _check_result(self, compiled: Mapping[str, Any]) -> None:
        """What only the whole shows: its size, its footer, and that Jinja reads it."""
        size = longest(compiled["html"], self.links)
        if size > LARGEST_HTML:
            self.faults.error(
                self.source.body_line,
                f"the mail has {size // 1024} KB of HTML; over 102 KB mail programs cut off its"
                " end; shorten it",
            )
        needed: Sequence[tuple[str, ...]] = [("impressum", "name"), ("impressum", "address")]
        if compiled["stream"] is not None:
            needed = [*needed, ("links", "unsubscribe")]
        for part in ("html", "text"):
            path = self.layout.path if part == "html" else self.layout.text_path
            faults = Faults(path)
            # All was looked at where it stands, but for what a layout includes.
            whole = Faults(path)
            self._check_placeholders(compiled[part], 1, whole, compiled=True)
            if whole.broken:
                self.faults.found += [replace(f, line=1) for f in whole.found]
                continue
            always = shown(compiled[part])
            for names in needed:
                if names not in always:
                    name = ".".join(names)
                    faults.error(
                        1, f"every mail must show {{{{ {name} }}}}; put it into the footer"
                    )
            if not always & {("links", "privacy"), ("impressum", "privacy_url")}:
                faults.error(1, "every mail must link to {{ links.privacy }}; put it in the footer")
            self.faults.found += faults.found


def check_colours(layout: Layout, design: Design) -> list[Finding]:
    """What cannot be read in the colours of a layout and of the house, light and dark."""
    found: list[Finding] = []
    for name in ("light", "dark"):
        own = getattr(design, name)
        palette = {**getattr(layout, name), **own}
        found += check_palette(name, palette, own, *layout.written.get(name, (layout.path, 1)))
    return found


def check_frames(library: Library) -> list[Finding]:
    """Faults in layouts and words, those that no text uses among them."""
    found: list[Finding] = []
    for name, text in sorted(library.layouts.items()):
        path = f"{LAYOUTS}/{name}"
        _, frame, line = split_front_matter(text, Faults(path))
        found += _misused(path, frame, line, library.attributes)
    for name, text in sorted(library.components.items()):
        found += _misused(f"{COMPONENTS}/{name}", text, 1, library.attributes)
    for locale in _locales(library.words):
        for word in read_words(library.words, locale, locale).values():
            line = line_of(word, library.words)
            found += _misused(WORDS, word, line, library.attributes)
    return found


@lru_cache(maxsize=1024)
def _misused(path: str, text: str, line: int, attributes: frozenset[str]) -> tuple[Finding, ...]:
    """Placeholders misused in what stands around many texts: looked at once."""
    faults = Faults(path)
    check_placeholders(text, line, faults, attributes=attributes)
    return tuple(faults.found)


def _locales(words: str) -> list[str]:
    try:
        return sorted(tomllib.loads(words))
    except tomllib.TOMLDecodeError:
        return []  # told with the texts that need the words
