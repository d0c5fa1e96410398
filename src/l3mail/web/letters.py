"""A mail in the browser, and the pictures and papers in it.

Owns `/view` and `/media`. A view is the text as it was sent, to nobody in particular: its links
are inert, so that a colleague it is shared with can't unsubscribe anybody.
"""

import hashlib
import mimetypes
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, Response
from sqlalchemy import Connection

from l3mail import events, outbox, publishing, rendering
from l3mail.errors import RenderingError, TokenError
from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.tokens import Purpose
from l3mail.web.door import Visit, Visiting
from l3mail.wiring import INERT, LINKS, neutral_values

router = APIRouter()

VIEW_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none';"
    " sandbox allow-popups allow-popups-to-escape-sandbox"
)
MEDIA_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
PAPER_CSP = "frame-ancestors 'none'"
FOREVER = "public, max-age=31536000, immutable"
HASH_BYTES = 8

_HASH = re.compile(r"[0-9a-f]{8,128}")
_SHOWN = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "image/avif"}
_PAPERS = {"application/pdf"}


async def show_preview(visit: Visiting) -> Response:
    """Where the links of previews, test mails and shared views lead."""
    return visit.note("preview")


for _path in (INERT, INERT + "/{rest:path}", *(f"/{page}{INERT}" for page in LINKS)):
    router.add_api_route(_path, show_preview, methods=["GET", "POST"])


@router.get("/view/{token:path}")
async def show_mail(visit: Visiting, token: str) -> Response:
    """The text of a mail as it was sent, with neutral values in place of the person's."""
    try:
        numbers = visit.door.tokens.read(Purpose.VIEW, token, visit.now).numbers
    except TokenError:
        return visit.stale()

    fallback = visit.door.settings.workspace.locale

    def verb(connection: Connection) -> tuple[Started, Published] | None:
        delivery = outbox.glimpse(connection, numbers[0], fallback) if numbers else None
        if delivery is None or delivery.purpose != "stream":
            return None
        text = publishing.load(connection, [delivery.message_id])[delivery.message_id]
        if "together" in text.compiled.get("counted", ()) and delivery.course:
            # Nobody's own days, but everybody's: that number is public.
            slug = delivery.course["slug"]
            everybody = {"together": events.together(connection, slug)}
            delivery = replace(delivery, course={**delivery.course, **everybody})
        return delivery, text

    found = await visit.read(verb)
    if found is None:
        return visit.stale()
    delivery, text = found
    visit.speak(text.locale)
    values = neutral_values(visit.door.settings, text, delivery.course, shown=delivery.shown)
    try:
        if text.compiled.get("html"):
            html = rendering.fill(text.compiled, "html", values)
            headers = {"Content-Security-Policy": VIEW_CSP}
            return HTMLResponse(html.encode("utf-8", "replace"), headers=headers)
        subject = rendering.fill(text.compiled, "subject", values)
        body = rendering.fill(text.compiled, "text", values)
        return visit.page("view", subject=subject, text=body)
    except RenderingError:  # a text that cannot do without a person
        return visit.note("missing", 404)


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
