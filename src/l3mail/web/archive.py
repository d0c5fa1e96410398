"""The archive: what newsletters have sent, for everybody to read, and a feed of it.

Owns `/archive`. Public pages: nobody's token leads here, nothing on them is anybody's, and search
engines may list them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import newsletters, publishing, rendering
from l3mail.addresses import clean_name
from l3mail.errors import RenderingError
from l3mail.locales import accepted, choose, own_name
from l3mail.newsletters import ISSUES, SentIssue, Version
from l3mail.publishing import Correction, Published
from l3mail.settings import Settings
from l3mail.web.door import Visit, Visiting
from l3mail.web.letters import show_text
from l3mail.wiring import neutral_values

router = APIRouter()

SHOWN = 20
"""Issues on one page, and in the feed."""

MOST_PAGES = 500
OPEN = {
    "Cache-Control": "public, max-age=300",
    "Vary": "Accept-Language",
    # What is not for search engines says so at the gate.
    "X-Robots-Tag": "all",
}
ATOM = "http://www.w3.org/2005/Atom"
_PAGE = re.compile(r"[1-9]\d{0,2}")


@dataclass(frozen=True, slots=True)
class _Row:
    """An issue in a list, in the language it is read in there."""

    href: str
    locale: str
    subject: str
    preheader: str
    day: str
    stream: str


def archived_streams(connection: Connection, visit: Visit) -> dict[str, str]:
    """The streams that everybody may read an issue of: their titles by slug."""
    return newsletters.streams_archived(connection, _private(visit.door.settings))


def _private(settings: Settings) -> list[str]:
    """The streams whose issues stay with those they were sent to."""
    return [slug for slug, stream in settings.streams.items() if not stream.archive]


@router.get("/archive")
async def show_archive(visit: Visiting) -> Response:
    """What was sent, newest first; of one stream, if it is named."""
    query = visit.request.query_params
    stream, page = _stream(visit), query.get("page", "1")
    number = int(page) if _PAGE.fullmatch(page) else 1
    if number > MOST_PAGES:
        return visit.note("missing", 404)
    private = _private(visit.door.settings)

    def verb(connection: Connection) -> tuple[dict[str, str], list[SentIssue]]:
        titles = archived_streams(connection, visit)
        skip = SHOWN * (number - 1)
        return titles, newsletters.archived(
            connection, stream=stream, private=private, skip=skip, most=SHOWN + 1
        )

    titles, found = await visit.read(verb)
    if (stream is not None and stream not in titles) or (number > 1 and not found):
        return visit.note("missing", 404)
    answer = visit.page(
        "archive",
        rows=[row for issue in found[:SHOWN] if (row := _row(visit, issue))],
        stream={"slug": stream, "title": titles[stream]} if stream else None,
        streams=[{"slug": slug, "title": title} for slug, title in titles.items()],
        newer=_onward(visit, number - 1) if number > 1 else "",
        older=_onward(visit, number + 1) if len(found) > SHOWN else "",
        feed=_feed_address(visit, stream),
    )
    answer.headers.update(OPEN)
    return answer


@router.get("/archive/feed.xml")
async def show_feed(visit: Visiting) -> Response:
    """The same for programs that tell of news (Atom, RFC 4287)."""
    settings = visit.door.settings
    stream, private = _stream(visit), _private(settings)

    def verb(connection: Connection) -> list[SentIssue]:
        return newsletters.archived(connection, stream=stream, private=private, most=SHOWN)

    found = await visit.read(verb)
    if stream is not None and not found:
        return visit.note("missing", 404)
    xml = _feed(visit, found, stream)
    return Response(xml, media_type="application/atom+xml", headers=OPEN)


@router.get("/archive/{slug:path}")
async def show_issue(visit: Visiting, slug: str) -> Response:
    """One issue as it was sent, in the language asked for or the nearest there is."""
    if not slug.isprintable():  # PostgreSQL takes no NUL, not even to look for it
        return visit.note("missing", 404)
    name = slug if "/" in slug else ISSUES + slug
    private = _private(visit.door.settings)

    def verb(
        connection: Connection,
    ) -> tuple[SentIssue, Version, Published, list[Correction]] | None:
        found = newsletters.archived(connection, slug=name, private=private)
        if not found:
            return None
        version = _chosen(visit, found[0])
        text = publishing.load(connection, [version.message_id])[version.message_id]
        return found[0], version, text, publishing.corrections(connection, text)

    found = await visit.read(verb)
    if found is None:
        return visit.note("missing", 404)
    issue, version, text, corrections = found
    visit.speak(version.locale)
    here = _href(issue, version.locale)
    answer = show_text(
        visit,
        text,
        neutral_values(visit.door.settings, text, at=here),
        corrections,
        issue={
            "day": visit.day(issue.sent_at),
            "stream": issue.stream,
            "title": issue.title,
            "versions": _versions(visit, issue, version.locale),
        },
    )
    if answer.status_code == 200:
        answer.headers.update(OPEN)
    return answer


def _chosen(visit: Visit, issue: SentIssue) -> Version:
    """The version to read: as asked for, as the browser speaks, else the workspace's own."""
    request = visit.request
    wishes = (
        request.query_params.get("locale"),
        *accepted(request.headers.get("accept-language", "")),
        visit.door.settings.workspace.locale,
    )
    known = {version.locale: version for version in issue.versions}
    return known[choose(wishes, known, issue.versions[0].locale)]


def _row(visit: Visit, issue: SentIssue) -> _Row | None:
    """An issue as the list shows it; None where its subject can't do without a person."""
    version = _chosen(visit, issue)
    said = _said(visit, version)
    if said is None:
        return None
    href = visit.door.prefix + _href(issue, version.locale)
    return _Row(href, version.locale, *said, visit.day(issue.sent_at), issue.title)


def _said(visit: Visit, version: Version) -> tuple[str, str] | None:
    """Subject and preheader, to nobody in particular."""
    compiled = {"subject": version.subject, "preheader": version.preheader}
    text = Published(version.message_id, "", version.locale, compiled)
    values = neutral_values(visit.door.settings, text, at="/archive")
    try:
        return (
            rendering.fill(compiled, "subject", values),
            rendering.fill(compiled, "preheader", values) if version.preheader else "",
        )
    except RenderingError:
        return None


def _href(issue: SentIssue, locale: str) -> str:
    return f"/archive/{issue.slug}?{urlencode({'locale': locale})}"


def _versions(visit: Visit, issue: SentIssue, shown: str) -> list[dict[str, object]]:
    """The languages an issue can be read in; none where there is one only."""
    if len(issue.versions) < 2:
        return []
    known = visit.door.words.locales
    return [
        {
            "tag": version.locale,
            "name": visit.door.words.say(version.locale, "house.language")
            if version.locale in known
            else own_name(version.locale),
            "href": visit.door.prefix + _href(issue, version.locale),
            "is_shown": version.locale == shown,
        }
        for version in issue.versions
    ]


def _onward(visit: Visit, page: int) -> str:
    """The address of another page of the same list."""
    query = visit.request.query_params
    kept = [(name, query[name]) for name in ("stream", "locale") if name in query]
    return "?" + urlencode([*kept, ("page", str(page))], errors="replace")


def _feed_address(visit: Visit, stream: str | None) -> str:
    more = {"stream": stream} if stream else {}
    return f"{visit.door.prefix}/archive/feed.xml?" + urlencode({**more, "locale": visit.tag})


def _feed(visit: Visit, issues: Sequence[SentIssue], stream: str | None) -> bytes:
    settings = visit.door.settings
    base = settings.web.base_url
    feed = ET.Element("feed", {"xmlns": ATOM, "xml:lang": visit.tag})
    title = issues[0].title if stream and issues else visit.say("archive.title")
    newest = max((issue.sent_at for issue in issues), default=visit.now)
    address = f"{base}/archive" + (f"?stream={stream}" if stream else "")
    _put(feed, "id", address)
    _put(feed, "title", f"{settings.workspace.name}: {title}")
    _put(feed, "updated", newest.isoformat())
    _put(feed, "link", rel="alternate", type="text/html", href=address)
    _put(
        feed,
        "link",
        rel="self",
        href=base + _feed_address(visit, stream).removeprefix(visit.door.prefix),
    )
    _put(ET.SubElement(feed, "author"), "name", settings.workspace.name)
    for issue in issues:
        version = _chosen(visit, issue)
        said = _said(visit, version)
        if said is None:
            continue
        entry = ET.SubElement(feed, "entry", {"xml:lang": version.locale})
        _put(entry, "id", f"{base}/archive/{issue.slug}")
        _put(entry, "title", said[0])
        _put(entry, "updated", issue.sent_at.isoformat())
        _put(
            entry,
            "link",
            rel="alternate",
            type="text/html",
            href=base + _href(issue, version.locale),
        )
        if said[1]:
            _put(entry, "summary", said[1])
    return bytes(ET.tostring(feed, encoding="utf-8", xml_declaration=True))


def _put(above: ET.Element, name: str, text: str | None = None, **values: str) -> None:
    ET.SubElement(above, name, values).text = text


def _stream(visit: Visit) -> str | None:
    """The stream that was named, as it can be looked for."""
    named = visit.request.query_params.get("stream")
    return None if named is None else clean_name(named)
