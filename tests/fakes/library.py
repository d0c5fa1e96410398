"""A workspace's folder with texts in it, written line by line by a test."""

import shutil
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l3mail.content import Design, Library, Text, check, compile_all, read_library
from l3mail.rendering import placeholders

ROOT = Path(__file__).resolve().parents[2]
COURSE = 'title: "Kurs"\ncadence: {weekday: mon, at: "10:00"}\n'
LESSON = 'subject: "Lektion"'
DAYS = {"done": 3, "days": 30, "together": "1.234"}
BASE = "https://kurse.stadt.example"


@dataclass
class Shelf:
    """A folder with the shipped layouts; `put` writes a text, `library` reads all."""

    folder: Path
    design: Design = field(default_factory=Design)

    def __post_init__(self) -> None:
        for frames in ("layouts", "components", "documents"):
            shutil.copytree(ROOT / "templates" / frames, self.folder / "templates" / frames)
        shutil.copy(ROOT / "templates" / "words.toml", self.folder / "templates")

    def put(self, path: str, text: str | bytes) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def text(self, path: str, body: str = "Guten Tag.", matter: str = LESSON) -> Path:
        return self.put(path, f"---\n{matter}\n---\n{body}\n")

    def course(self, slug: str = "kurs", yaml: str = COURSE) -> Path:
        return self.put(f"lessons/{slug}/course.yaml", yaml)

    def lesson(self, body: str = "Guten Tag.", matter: str = LESSON) -> Path:
        """A course of one lesson; its body begins on line 4."""
        self.course()
        return self.text("lessons/kurs/01-start.md", body, matter)

    def image(self, name: str = "media/tafel.png", width: int = 300, height: int = 200) -> Path:
        return self.put(name, png(width, height))

    @property
    def library(self) -> Library:
        return read_library(
            self.folder,
            locale="de",
            attributes=frozenset({"role"}),
            streams=frozenset({"newsletter", "lifecycle"}),
            design=self.design,
        )

    @property
    def findings(self) -> list[str]:
        return [str(finding) for finding in check(self.library)]

    def compiled(self, slug: str = "kurs/01-start", locale: str = "de") -> Text:
        """One text, which must be sound."""
        for text in compile_all(self.library):
            if (text.source.slug, text.source.locale) == (slug, locale):
                assert text.compiled is not None, text.findings
                return text
        raise AssertionError(f"{slug} was not read")


def png(width: int, height: int) -> bytes:
    """A black image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width + 1) * height)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def values(person: Mapping[str, Any] | None = None, **others: Any) -> dict[str, Any]:
    """What a mail is filled with: each link of ours is its own name."""
    names = (
        "unsubscribe preferences view confirm refuse address interest quiz feedback done course"
        " certificate"
        " together"
        " privacy home archive recommend"
    ).split()
    return {
        **placeholders(person or {}),
        "course": {"title": "Kurs", "slug": "kurs", "lesson": 2, "lessons": 6} | DAYS,
        "links": {name: f"{BASE}/{name}/token" for name in names},
        "house": {"name": "Bildung"},
        "impressum": {
            "name": "Stadt Musterhausen",
            "address": "Markt 1, 01000 Musterhausen",
            "email": "bildung@stadt.example",
            "phone": "",
            "privacy_url": f"{BASE}/privacy",
        },
        "base_url": BASE,
        "streams": [],
        "hrefs": {},
        "trail": "",
        "pixel": "",
        "when": (),
        **others,
    }
