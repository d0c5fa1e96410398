"""A mail in the browser, and the pictures and papers in it.

Owns `/view` and `/media`, and how a text is shown that was sent: as it was, to nobody in
particular, below what has been corrected since. Its personal links lead to a page that says whose
they are, so that a colleague it is shared with can't unsubscribe anybody.
"""

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, Response
from sqlalchemy import Connection

from l3mail import outbox, publishing, rendering
from l3mail.errors import RenderingError, TokenError
from l3mail.locales import direction
from l3mail.outbox import Started
from l3mail.publishing import Correction, Published
from l3mail.tokens import Purpose
from l3mail.web.door import Visit, Visiting
from l3mail.wiring import INERT, LINKS, SHARED, neutral_values

router = APIRouter()

VIEW_CSP = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none';"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)
MEDIA_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
PAPER_CSP = "frame-ancestors 'none'"
FOREVER = "public, max-age=31536000, immutable"
HASH_BYTES = 8

_HEAD_ENDS = re.compile(r"</head>", re.IGNORECASE)
_BODY_ENDS = re.compile(r"</body>(?![\s\S]*</body>)", re.IGNORECASE)
_BODY_BEGINS = re.compile(r"""<body(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{8,128}")
_SHOWN = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "image/avif"}
_PAPERS = {"application/pdf"}


async def show_preview(visit: Visiting) -> Response:
    """Where the links of previews and test mails lead."""
    return visit.note("preview")


for _path in (INERT, INERT + "/{rest:path}", *(f"/{page}{INERT}" for page in LINKS)):
    router.add_api_route(_path, show_preview, methods=["GET", "POST"])


async def show_shared(visit: Visiting) -> Response:
    """Where the personal links lead of a mail that is read in a browser: whose they are."""
    return visit.page("shared", email="", error="")


router.add_api_route(SHARED, show_shared, methods=["GET", "POST"])


@router.get("/view/{token:path}")
async def show_mail(visit: Visiting, token: str) -> Response:
    """The text of a mail as it was sent, with neutral values in place of the person's."""
    try:
        numbers = visit.door.tokens.read(Purpose.VIEW, token, visit.now).numbers
    except TokenError:
        return visit.stale()

    fallback = visit.door.settings.workspace.locale

    def verb(connection: Connection) -> tuple[Started, Published, list[Correction]] | None:
        delivery = outbox.glimpse(connection, numbers[0], fallback) if numbers else None
        if delivery is None or delivery.purpose != "stream":
            return None
        text = publishing.load(connection, [delivery.message_id])[delivery.message_id]
        if "together" in text.compiled.get("counted", ()) and delivery.course:
            # Nobody's own days, but everybody's: that number is public.
            slug = delivery.course["slug"]
            everybody = {"together": visit.door.together.of(connection, slug, visit.now)}
            delivery = replace(delivery, course={**delivery.course, **everybody})
        return delivery, text, publishing.corrections(connection, text)

    found = await visit.read(verb)
    if found is None:
        return visit.stale()
    delivery, text, corrections = found
    visit.speak(text.locale)
    values = neutral_values(
        visit.door.settings, text, delivery.course, shown=delivery.shown, at=f"/view/{token}"
    )
    return show_text(visit, text, values, corrections)


def show_text(
    visit: Visit,
    text: Published,
    values: Mapping[str, Any],
    corrections: Sequence[Correction],
    **above: Any,
) -> Response:
    """A text as it was sent; what `above.html` makes of the rest stands on top, if anything."""
    above |= {"corrections": corrections, "lang": text.locale, "way": direction(text.locale)}
    try:
        subject = rendering.fill(text.compiled, "subject", values)
        if not text.compiled.get("html"):
            body = rendering.fill(text.compiled, "text", values)
            return visit.page("view", subject=subject, text=body, **{"issue": None} | above)
        html = rendering.fill(text.compiled, "html", values)
    except RenderingError:  # a text that cannot do without a person
        return visit.note("missing", 404)
    if corrections or "issue" in above:
        html = _below(visit, html, {"issue": None, "subject": subject} | above)
    return HTMLResponse(
        html.encode("utf-8", "replace"), headers={"Content-Security-Policy": VIEW_CSP}
    )


def _below(visit: Visit, html: str, above: Mapping[str, Any]) -> str:
    """A page with something of ours at its top; what it was stands in the main part of the new."""
    style = f'<link rel="stylesheet" href="{visit.door.prefix}/assets/above.css">'
    top = visit.door.pages.fill("above", visit.tag, above)
    html = _HEAD_ENDS.sub(lambda found: style + found[0], html, count=1)
    html = _BODY_BEGINS.sub(lambda found: found[0] + top, html, count=1)
    return _BODY_ENDS.sub(lambda found: "</main>" + found[0], html, count=1)


@router.get("/media/{digest}/{name}")
async def show_media(visit: Visiting, digest: str, name: str) -> Response:
    """A picture or worksheet, under the hash of its content: it never changes."""
    path = await run_in_threadpool(find_media, visit.door.settings.folder, digest, name)
    if path is None:
        return visit.note("missing", 404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    shown = kind in _SHOWN | _PAPERS
    return FileResponse(
        path,
        media_type=kind if shown else "application/octet-stream",
        filename=name,
        content_disposition_type="inline" if shown else "attachment",
        headers={
            "Cache-Control": FOREVER,
            "Content-Security-Policy": PAPER_CSP if kind in _PAPERS else MEDIA_CSP,
            # Mail programs on other sites show our pictures.
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


def find_media(folder: Path, digest: str, name: str) -> Path | None:
    """The file of that name and content: what was published, else what lies in `media/`."""
    if not _HASH.fullmatch(digest) or not _is_plain(name):
        return None
    try:
        published = folder / "state" / "media" / digest / name
        if _is_file_in(published, folder / "state" / "media"):
            return published
        lying = folder / "media" / name
        if _is_file_in(lying, folder / "media"):
            with lying.open("rb") as content:
                found = hashlib.file_digest(content, _hasher).hexdigest()
            return lying if found == digest else None
    except (OSError, ValueError):
        return None
    return None


def neutral_subject(visit: Visit, text: Published) -> str:
    """A mail's subject to nobody in particular; raises RenderingError."""
    return rendering.fill(text.compiled, "subject", neutral_values(visit.door.settings, text))


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=HASH_BYTES)


def _is_plain(name: str) -> bool:
    """A file's name and nothing else: no folder, no hidden file, nothing unprintable."""
    return (
        0 < len(name) <= 200
        and name.isprintable()
        and not name.startswith(".")
        and not set(name) & set("/\\:")
    )


def _is_file_in(path: Path, folder: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())
