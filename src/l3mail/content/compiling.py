"""One text to one version: subject, preheader, HTML and text, with all that they need.

Owns the order of the steps and what a compiled text must have (Impressum, a way to unsubscribe,
a size that mail programs show whole). Compiling the same files gives the same result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from l3mail.content.blocks import Body, build_body
from l3mail.content.components import FOLDER as COMPONENTS
from l3mail.content.conversion import check_piece, to_html
from l3mail.content.designs import SETTINGS, design_values
from l3mail.content.findings import Faults, FaultyError, Finding, place_of, suggestion
from l3mail.content.frames import check_colours, check_file, check_words
from l3mail.content.images import Medium
from l3mail.content.layouts import (
    Layout,
    fill_frame,
    layout_for,
    marked,
    read_layout,
    read_words,
)
from l3mail.content.links import longest, with_pixel
from l3mail.content.makings import find
from l3mail.content.markdown import DIRECTIVE, directive_of
from l3mail.content.matter import Correction
from l3mail.content.placeholders import PIECE, check_placeholders, counted, shown
from l3mail.content.references import Asked, References
from l3mail.content.sentinels import Sentinels
from l3mail.content.simplicity import SUFFIX, is_simple, judge, judge_words
from l3mail.content.sources import Library, Source
from l3mail.errors import ContentError, quoted
from l3mail.locales import days_in_words

LARGEST_HTML = 102 * 1024
"""Gmail cuts off what is longer, the footer with its links first."""

LONGEST_SUBJECT = 70
LONGEST_LINE = 2_000

_DEFAULT_STREAM = {"newsletter": "newsletter", "lifecycle": "lifecycle"}


@dataclass(frozen=True, slots=True)
class Text:
    """A source and what came of it; `compiled` is None when an error stands among `findings`.

    `compiled` is JSON: Jinja sources `subject`, `preheader`, `text`, `html`; `stream` (None for
    notices), `kind`, `from` and `reply_to` (None: the workspace's), `interests`, `media` as
    [digest, name], `questions`, `conditions` and `corrections` where there are any, `counted` where
    the text says parts of `course` that are counted when it is sent, for lifecycle mailings `rule`,
    for issues `segment` and `archive`. `links` are (url, name);
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
    faults = Faults(source.path, list(source.findings), library.texts)
    compiled = body = None
    try:
        name = source.matter.layout or layout_for(source.kind, library.layouts)
        layout = read_layout(name, library.layouts)
        words = read_words(library.words, source.locale, library.locale)
    except FaultyError as error:
        faults.found += error.findings
    except ContentError as error:
        faults.error(source.mapped.line("layout"), str(error), source.mapped.column("layout"))
    else:
        compiled, body = _Compilation(library, source, layout, words, faults).run()
    findings = tuple(faults.found)
    if source.matter.draft:
        findings = tuple(
            replace(finding, severity="warning") if finding.path == source.path else finding
            for finding in findings
        )
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
        self.faults.reveal = self.sentinels.reveal
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
        self.opens = body.opens
        if is_simple(source.locale):
            self._check_simplicity(body)
        elif source.matter.tested_by:
            line = source.mapped.line("tested_by")
            message = f'"tested_by" is for texts in easy language, named like …{SUFFIX}.md'
            self.faults.error(line, message, "tested_by")
        self._check_notice(body)
        self._check_days(body)
        if not source.body.strip() and (source.mapped.values or not source.findings):
            self.faults.error(source.body_line, "there is no text; write one below the ---")
        self.links = tuple(body.references.links)
        html, text = self._html(body), self._plain(body)
        if html is None or text is None or self.faults.broken:
            return None, None
        compiled = self._compiled(body, html, text)
        self._check_result(compiled)
        if self.faults.broken:  # Jinja may not be able to read it at all
            return None, None
        # Sorted, for the hash: compiling the same files gives the same result.
        if said := sorted(set[str]().union(*map(counted, (source.matter.subject, html, text)))):
            compiled["counted"] = said
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
        if matter.rule:
            compiled["rule"] = matter.rule
        for key in () if matter.rule else ("segment", "archive"):
            if getattr(matter, key, None) is not None:
                compiled[key] = getattr(matter, key)
        if matter.corrections:
            compiled["corrections"] = [self._correction(one) for one in matter.corrections]
        return compiled

    def _correction(self, said: Correction) -> dict[str, str]:
        """A correction as it is shown: its day in words of the text's language."""
        day = days_in_words(said.on, said.on, self.source.locale)
        heading = f"{self.words.get('corrected', '')} {day}:".lstrip()
        return {"on": said.on.isoformat(), "heading": heading, "text": said.text}

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
            line, column = source.mapped.line("subject"), source.mapped.column("subject")
            self.faults.error(line, '"subject" is empty; write one', column)
        length = len(PIECE.sub("", matter.subject))
        if length > LONGEST_SUBJECT:
            self.faults.warn(
                source.mapped.line("subject"),
                f"the subject has {length} characters; phones show about 40, few mail"
                f" programs more than {LONGEST_SUBJECT}: say the most important first, and less",
                source.mapped.column("subject"),
            )
        self._check_line_lengths()
        self._readable = True
        for text, line in (
            (matter.subject, source.mapped.line("subject")),
            (matter.preheader, source.mapped.line("preheader")),
            (source.body, source.body_line),
        ):
            self._readable &= self._check_placeholders(text, line, self.faults)

    def _check_line_lengths(self) -> None:
        """Warn of lines that no diff and no reviewer can take in."""
        first = self.source.body_line
        for number, line in enumerate(self.source.body.split("\n")):
            if len(line) > LONGEST_LINE:
                self.faults.warn(
                    first + number,
                    f"this line has {len(line):,} characters, so nobody sees what changed in it;"
                    " begin new lines and paragraphs",
                )

    def _check_notice(self, body: Body) -> None:
        """Refuse what asks for an act in a mail that answers a request."""
        asked = {
            "an interest: link": (body.references.interests, "interest:"),
            "a question": (body.references.questions, ":::"),
            "an ::: if": (body.references.conditions, "::: if"),
        }
        for what, (found, piece) in asked.items():
            if found and self.source.kind == "notice":
                line, column = place_of(piece, self.source.text)
                message = f"{what} is not for notices; who is asked is not known"
                self.faults.error(line, message, column)
        if self.source.matter.corrections and self.source.kind == "notice":
            line = self.source.mapped.line("corrections")
            self.faults.error(line, '"corrections" is not for notices; nobody reads them again')

    def _check_days(self, body: Body) -> None:
        """Refuse to ask for a day of learning whom no course counts."""
        for node in body.tree.walk() if self.source.course is None else ():
            if node.type == DIRECTIVE and directive_of(node).name == "done":
                line = self.source.body_line + (node.map[0] if node.map else 0)
                self.faults.error(line, "done is for the texts of a course; its days are counted")

    def _check_frame(self) -> None:
        """A fault of the frame is one of every text in it: none of them could be sent."""
        layout, library, faults = self.layout, self.library, self.faults
        check_colours(layout, library, faults)
        faults.found += layout.findings
        for path in sorted({path for path, _ in layout.mjml.origins} | {layout.text_path}):
            check_file(path, library, faults)
        check_words(self.words.values(), library, faults)

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
                self.faults.error(line, '"stream" is not for notices; delete the line', "stream")
        elif source.course is not None:
            if said not in {None, source.course}:
                self.faults.error(
                    line,
                    f'"stream" is {quoted(str(said))}, a lesson goes out in its course\'s own',
                    source.mapped.column("stream"),
                )
        elif (stream := stream_of(source)) not in known:
            self.faults.error(
                line,
                f"the stream {quoted(str(stream))} is not declared;"
                f" {suggestion(str(stream), known)} A new one: [streams.{stream}] in l3mail.toml",
                source.mapped.column("stream"),
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
        faults = self.faults.beside(SETTINGS)
        if design.logo_dark and not design.logo:
            message = "logo_dark is for dark screens; name the one for all others too, as logo"
            faults.error(design.lines.get(("logo_dark",), 1), message, "logo_dark")
        for name, key in (("light", "logo"), ("dark", "logo_dark")):
            link = getattr(design, key)
            if link:
                refuse = partial(faults.error, design.lines.get((key,), 1))
                medium = self.references.picture(link, refuse)
                if medium is not None:
                    found[name] = self.references.address_of(medium)
        return found

    def _styles(self) -> dict[str, str]:
        """The CSS of what Markdown makes, with the layout's colours in it."""
        path, line = self.layout.written.get("inline", (self.layout.path, 1))
        faults, values = self.faults.beside(path).apart(), self._design_values()
        filled = {
            name: fill_frame(path, css, values, files={}, faults=faults) or ""
            for name, css in self.layout.inline.items()
        }
        self.faults.found += [replace(fault, line=line) for fault in faults.found]
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
        faults = self.faults.beside(path).apart()
        if path not in self.pieces:
            self.pieces.add(path)
            check_file(path, self.library, faults)
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
            "progress": self._progress(),
        }

    def _progress(self) -> str:
        """How far a course is: in one with a lesson each day these are counted as days."""
        said = self.said.get("progress", "")
        daily = any(
            course.slug == self.source.course and course.cadence.get("every_days") == 1
            for course in self.library.curricula
        )
        return self.said.get("progress_daily", said) if daily else said

    def _html(self, body: Body) -> str | None:
        """The HTML part, a Jinja source again."""
        path, texts = self.layout.path, self.library.texts
        faults = Faults(path, [], {**texts, path: self.layout.mjml.text}, self.sentinels.reveal)
        values = self._frame_values(marked(body.mjml), escape=True)
        frame = self.layout.mjml
        filled = self._filled(path, frame.text, values, faults)
        html = None if filled is None else to_html(filled, frame.text, faults)
        own = [fault for fault in faults.found if fault.path == path]
        others = [fault for fault in faults.found if fault.path != path]
        self.faults.found += frame.told(own, texts) + others
        if html is None:
            return None
        page = self.sentinels.show(html)
        return page if stream_of(self.source) is None else with_pixel(page)

    def _plain(self, body: Body) -> str | None:
        faults = self.faults.beside(self.layout.text_path).apart()
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
            # All was looked at where it stands; what is wrong with the whole has no line.
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
