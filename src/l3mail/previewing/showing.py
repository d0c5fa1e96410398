"""What stands on the pages: texts as exhibits of the gallery, and what only an editor is told.

Owns the addresses of pages and pictures. Reads the bench, and nothing else.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from l3mail.content import Finding, Text, bytes_of, translated
from l3mail.errors import ContentError, RenderingError
from l3mail.gallery import SCHEMES, Exhibit, Hung, Part, Scheme, Step, Walls, in_scheme
from l3mail.previewing.benches import Bench, Piece
from l3mail.previewing.guests import TRACKINGS, Guest, Guests
from l3mail.settings import FILE
from l3mail.wiring import (
    INERT,
    Tracking,
    preview_addresses,
    preview_mail,
    preview_measuring,
    tracking_of,
)

_MAILS_KEPT: Final = 500
"""As many as a large house has texts; each is some tens of kilobytes, and speaks of a person."""

_MEASURED: Final = {"person": "personal", "everybody": "counted for all"}
PAGES: Final = Path(__file__).with_name("pages")
_KINDS: Final = {
    "newsletter": "The newsletter",
    "lifecycle": "On an occasion",
    "notice": "Signing up",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A fault with the line it is about, as the file has it."""

    finding: Finding
    words: str


class Showing:
    """Fills the pages of one bench."""

    def __init__(self, bench: Bench, guests: Guests) -> None:
        self._bench = bench
        self._guests = guests
        place = {"title": "l3mail preview", "root": "/", "index": "/"}
        self._walls = Walls(place, PAGES)
        # What was asked for longest ago goes first; asked from many threads, one step at a time.
        self._kept: OrderedDict[tuple[str, str, str, str], tuple[tuple[Any, ...], Exhibit]]
        self._kept = OrderedDict()

    def index(self, guest: Guest) -> str:
        """The page of all texts."""
        bench = self._bench
        rooms: dict[str, list[Hung]] = {}
        titles = {course.slug: course.title for course in bench.library.curricula}
        pieces = self._in_order()
        for piece in pieces:
            source = piece.source
            title = titles.get(source.course or "", source.course) or _KINDS[source.kind]
            # Only what is compiled has a picture: the others follow by themselves.
            rooms.setdefault(title, []).append(self._hung(piece, guest))
        slugs = {piece.source.slug for piece in pieces}
        return self._walls.render(
            "overview.html",
            lead=f"{len(slugs)} texts in {len({p.source.locale for p in pieces})} languages."
            " Save a file, and what you see here follows.",
            rooms=[(Part(title, ()), room) for title, room in rooms.items()],
            revision=bench.revision,
            faults=bench.faults,
            besides=[self._line(finding) for finding in bench.besides()],
            translated=list(map(str, translated(bench.library))),
            name=bench.settings.workspace.name,
        )

    def text(self, slug: str, locale: str, guest: Guest, note: str = "") -> str | None:
        """The page of one text; None where there is none."""
        bench = self._bench
        revision, piece = bench.revision, bench.piece(slug, locale)
        if piece is None:
            return None
        hung = self._hung(piece, guest)
        source = piece.source
        order = [one.source for one in self._in_order() if one.source.locale == locale]
        at = next(n for n, one in enumerate(order) if one.slug == slug)
        steps = [
            Step(page_of(one.slug, one.locale, guest), _plain(one.matter.subject), one.locale)
            if one
            else None
            for one in (order[at - 1] if at else None, order[at + 1] if order[at + 1 :] else None)
        ]
        lines = [self._line(finding) for finding in bench.findings(piece)]
        return self._walls.render(
            "text.html",
            hung=hung,
            one=hung.exhibit,
            before=steps[0],
            after=steps[1],
            revision=revision,
            faults=bench.faults,
            source=source,
            piece=piece,
            good_at=self._local(piece.good_at),
            errors=[one for one in lines if one.finding.severity == "error"],
            warnings=[one for one in lines if one.finding.severity != "error"],
            locales=[
                (one.source.locale, page_of(slug, one.source.locale, guest))
                for one in self._in_order()
                if one.source.slug == slug
            ],
            guest=guest,
            parts=self._parts(piece, guest),
            examples=[
                (one, page_of(slug, locale, replace(one, tracking=guest.tracking)))
                for one in self._guests.examples(bench.settings)
            ],
            trackings=self._trackings(slug, locale, guest),
            measures=self._measures(piece, guest),
            knows_subscribers=self._guests.knows_subscribers,
            note=note,
        )

    def picture(self, slug: str, locale: str, guest: Guest, scheme: Scheme) -> str | None:
        """A text's mail in one colour scheme, complete in itself; None where there is none."""
        piece = self._bench.piece(slug, locale)
        if piece is None or piece.good is None:
            return None
        text = piece.good
        html = self._exhibit(piece, text, guest).html
        # A click stays in this house: where mails lead to, nobody need be at home.
        base = self._bench.settings.web.base_url
        for path in (INERT, "/media/", "/c/"):
            html = html.replace(f'href="{base}{path}', f'href="{path}')
        return in_scheme(html, scheme, lambda digest, name: self.medium(digest, name, text))

    def mail(self, slug: str, locale: str, guest: Guest) -> bytes | None:
        """The bytes of a text's mail."""
        piece = self._bench.piece(slug, locale)
        if piece is None or piece.good is None:
            return None
        return self._exhibit(piece, piece.good, guest).mail

    def medium(self, digest: str, name: str, text: Text | None = None) -> bytes | None:
        """The file of media/ behind an address of it, or what is made of it, where a text shows it.

        None also where it is another one by now.
        """
        texts = [text] if text else [one.good for one in self._bench.pieces() if one.good]
        for medium in (medium for one in texts for medium in one.media):
            if (medium.digest, medium.name) == (digest, name):
                try:
                    return bytes_of(self._bench.library, medium)
                except (ContentError, OSError):
                    return None
        return None

    def _in_order(self) -> list[Piece]:
        """As people get them: course by course, the workspace's own language first."""
        steps = [(c.slug, slug) for c in self._bench.library.curricula for slug, _ in c.lessons]

        def place(piece: Piece) -> tuple[Any, ...]:
            source = piece.source
            step = (source.course or "", source.slug)
            number = -1 if source.kind == "welcome" else len(steps)
            number = steps.index(step) if step in steps else number
            kind = -1 if source.course else list(_KINDS).index(source.kind)
            own = source.locale != self._bench.library.locale
            return kind, source.course or "", number, source.slug, own, source.locale

        return sorted(self._bench.pieces(), key=place)

    def _hung(self, piece: Piece, guest: Guest) -> Hung:
        slug, locale = piece.source.slug, piece.source.locale
        exhibit = self._exhibit(piece, piece.good, guest)
        words = f"?{urlencode(_said(locale, guest))}"
        files = {"eml": f"/eml/{quote(slug)}{words}"}
        if exhibit.html:
            seen = hashlib.blake2b(exhibit.html.encode(), digest_size=6).hexdigest()
            for scheme in SCHEMES:
                files[scheme] = f"/picture/{scheme}/{quote(slug)}{words}&seen={seen}"
        errors = [f.severity == "error" for f in self._bench.findings(piece)]
        counts = ((sum(errors), "error"), (len(errors) - sum(errors), "warning"))
        marks = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in counts if n]
        if piece.source.matter.draft:
            marks.append("a draft")
        return Hung(exhibit, page_of(slug, locale, guest), files, tuple(marks))

    def _exhibit(self, piece: Piece, text: Text | None, guest: Guest) -> Exhibit:
        source, bench = piece.source, self._bench
        key = (source.slug, source.locale, guest.name, guest.tracking)
        own = [one for one in bench.library.curricula if one.slug == source.course]
        shown = self._guests.shown(text, guest) if text is not None else 0
        made_of = (text, bench.settings, own, guest.person, shown)
        known = self._kept.pop(key, None)
        if known and known[0] == made_of:
            self._kept[key] = known
            return known[1]
        mail, note = b"", ""
        if text is not None:
            try:
                mail = preview_mail(
                    *(bench.settings, bench.library, text, guest.person),
                    now=bench.now(),
                    shown=shown,
                    tracking=self._tracking(guest),
                )
            except RenderingError as error:
                note = f"cannot be filled for this person: {error}"
        exhibit = Exhibit(source.slug, source.kind, source.locale, mail, note)
        self._kept[key] = (made_of, exhibit)
        if len(self._kept) > _MAILS_KEPT:
            self._kept.popitem(last=False)
        return exhibit

    def _tracking(self, guest: Guest) -> Tracking:
        """As which mode a guest is shown a mail, and whether they agreed."""
        if guest.tracking in {"off", "aggregate"}:
            return Tracking(guest.tracking, agreed=False)
        if guest.tracking:
            return Tracking("consent", agreed=guest.tracking == "agreed")
        return tracking_of(self._bench.settings, guest.person)

    def _trackings(self, slug: str, locale: str, guest: Guest) -> list[tuple[str, str, bool]]:
        """The modes that can be chosen: what each is called, its page, whether it is this one."""
        found = self._tracking(guest)
        here = (
            ("agreed" if found.agreed else "not-agreed") if found.mode == "consent" else found.mode
        )
        return [
            (title, page_of(slug, locale, replace(guest, tracking=name)), name == here)
            for name, title in TRACKINGS.items()
        ]

    def _measures(self, piece: Piece, guest: Guest) -> list[tuple[str, str, str]]:
        """What links and pixel of a mail are, each with an address of one."""
        if piece.good is None:
            return []
        settings, tracking = self._bench.settings, self._tracking(guest)
        whom = preview_measuring(piece.good, tracking)
        found = preview_addresses(settings, piece.good, tracking)
        number, url = next(iter(piece.good.hrefs.items()), (0, ""))
        link = f"{found['trail']}{number}" if found and number else url
        links = _MEASURED.get(whom.links, "direct") if number else "none in this text"
        return [
            ("Links", links, link),
            ("Pixel", _MEASURED.get(whom.pixel, "none"), found.get("pixel", "")),
        ]

    def _parts(self, piece: Piece, guest: Guest) -> list[tuple[Any, bool]]:
        """What only some people get of a text, and whether this one does."""
        if piece.good is None:
            return []
        shown = self._guests.shown(piece.good, guest)
        return [(part, bool(shown >> n & 1)) for n, part in enumerate(piece.good.conditions)]

    def _line(self, finding: Finding) -> Line:
        path = self._bench.settings.folder / finding.path
        if finding.path == FILE or path.suffix in {".md", ".yaml", ".mjml", ".txt", ".toml"}:
            try:
                words = path.read_text("utf-8").splitlines()[finding.line - 1 : finding.line]
            except (OSError, UnicodeDecodeError):
                words = []
            return Line(finding, words[0][:200] if words else "")
        return Line(finding, "")

    def _local(self, at: datetime | None) -> str:
        return f"{at.astimezone(self._bench.settings.zone):%H:%M:%S}" if at else ""


def page_of(slug: str, locale: str, guest: Guest) -> str:
    """The address of a text's page."""
    return f"/text/{quote(slug)}?{urlencode(_said(locale, guest))}"


def _said(locale: str, guest: Guest) -> dict[str, str]:
    chosen = {"as": guest.name, "tracking": guest.tracking}
    return {"locale": locale} | {name: said for name, said in chosen.items() if said}


def _plain(subject: str) -> str:
    """A subject that is not filled, short enough for a link."""
    return subject if len(subject) <= 60 else f"{subject[:59]}…"
