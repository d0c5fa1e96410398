"""A PDF as who hears it gets it: language, title, and its tagged parts in reading order.

Reads what our papers are written as (ISO 32000-1, sections 7.3 and 14.7), not any PDF.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\s(.*?)\nendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\r?\n(.*)\r?\nendstream", re.DOTALL)
_MARKED = re.compile(
    rb"/(?:\w+)\s?<<[^>]*/MCID (\d+).*?>>\s?BDC(.*?)EMC(?=/\w+\s?<<|/Artifact|\s*$|\n)", re.DOTALL
)
_SHOWN = re.compile(rb"/(f\d+) [\d.]+ Tf|\(((?:\\.|[^\\()])*)\)|<([0-9A-Fa-f]+)>", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


@dataclass(frozen=True)
class PaperRead:
    """One PDF's bytes."""

    data: bytes

    @cached_property
    def objects(self) -> dict[int, bytes]:
        return {int(found[1]): found[2] for found in _OBJECT.finditer(self.data)}

    @cached_property
    def catalog(self) -> bytes:
        return next(body for body in self.objects.values() if b"/Type/Catalog" in body)

    @property
    def is_tagged(self) -> bool:
        return b"/Marked true" in self.catalog and b"/StructTreeRoot" in self.catalog

    @property
    def says_it_is_accessible(self) -> bool:
        return b"<pdfuaid:part>1</pdfuaid:part>" in self.data

    @property
    def lang(self) -> str:
        found = re.search(rb"/Lang\(([^)]*)\)", self.catalog)
        return found[1].decode() if found else ""

    @property
    def title(self) -> str:
        found = re.search(rb"<dc:title>.*?<rdf:li[^>]*>(.*?)</rdf:li>", self.data, re.DOTALL)
        return found[1].decode() if found else ""

    @property
    def shows_its_title(self) -> bool:
        return b"/DisplayDocTitle true" in self.catalog

    @property
    def pages(self) -> int:
        return len(re.findall(rb"/Type/Page/", self.data))

    @property
    def alternatives(self) -> list[str]:
        """The words for pictures."""
        return [_text(found) for found in re.findall(rb"/Alt(\([^)]*\)|<[0-9A-F]+>)", self.data)]

    @cached_property
    def parts(self) -> list[tuple[str, str]]:
        """The tags that hold text, with it, in reading order."""
        root = next(body for body in self.objects.values() if b"/Type/StructTreeRoot" in body)
        return list(self._walk(root))

    @property
    def roles(self) -> set[str]:
        return {found.decode() for found in re.findall(rb"/StructElem/S/(\w+)", self.data)}

    @property
    def text(self) -> str:
        return "\n".join(text for _, text in self.parts)

    def _walk(self, element: bytes) -> Iterator[tuple[str, str]]:
        role = re.search(rb"/S/(\w+)", element)
        kids = re.search(rb"/K\[(.*?)\]", element)
        page = re.search(rb"/Pg (\d+) 0 R", element)
        own = ""
        deeper: list[tuple[str, str]] = []
        inline = {"Strong", "Em", "Code", "Span", "Link"}
        for kid in re.finditer(rb"<<.*?>>|(\d+) 0 R|(\d+)", kids[1] if kids else b""):
            if kid[1]:
                for part in self._walk(self.objects[int(kid[1])]):
                    if part[0] in inline:
                        own += part[1]
                    else:
                        deeper.append(part)
            elif kid[2] and page:
                own += self._marked[int(page[1])].get(int(kid[2]), "")
            elif marked := re.search(rb"/MCID (\d+)", kid[0]):
                of = re.search(rb"/Pg (\d+) 0 R", kid[0])
                assert of is not None
                own += self._marked[int(of[1])].get(int(marked[1]), "")
        if own and role:
            yield role[1].decode(), own
        yield from deeper

    @cached_property
    def _marked(self) -> dict[int, dict[int, str]]:
        """What stands on each page, by the number it is marked with."""
        found = {}
        for number, body in self.objects.items():
            if b"/Type/Page/" in body:
                contents = re.search(rb"/Contents (\d+) 0 R", body)
                resources = re.search(rb"/Resources (\d+) 0 R", body)
                assert contents is not None
                assert resources is not None
                fonts = self._fonts(self.objects[int(resources[1])])
                stream = self._stream(int(contents[1]))
                found[number] = {int(m[1]): _said(m[2], fonts) for m in _MARKED.finditer(stream)}
        return found

    def _fonts(self, resources: bytes) -> dict[bytes, dict[bytes, str]]:
        fonts = {}
        for name, number in re.findall(rb"/(f\d+) (\d+) 0 R", resources):
            to = re.search(rb"/ToUnicode (\d+) 0 R", self.objects[int(number)])
            assert to is not None
            pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]+)>", self._stream(int(to[1])))
            fonts[name] = {
                bytes.fromhex(glyph.decode()): bytes.fromhex(sign.decode()).decode("utf-16-be")
                for glyph, sign in pairs
            }
        return fonts

    def _stream(self, number: int) -> bytes:
        found = _STREAM.search(self.objects[number])
        assert found is not None
        return zlib.decompress(found[1])


def _said(stream: bytes, fonts: dict[bytes, dict[bytes, str]]) -> str:
    font: dict[bytes, str] = {}
    text = ""
    for found in _SHOWN.finditer(stream):
        if found[1]:
            font = fonts[found[1]]
            continue
        data = bytes.fromhex(found[3].decode()) if found[3] else _literal(found[2])
        text += "".join(font.get(data[at : at + 2], "") for at in range(0, len(data), 2))
    return text


def _literal(escaped: bytes) -> bytes:
    def plain(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8)]) if code.isdigit() else _PLAIN.get(code, code)

    return _ESCAPE.sub(plain, escaped)


def _text(written: bytes) -> str:
    if written.startswith(b"("):
        return _literal(written[1:-1]).decode("latin-1")
    data = bytes.fromhex(written[1:-1].decode())
    return data.decode("utf-16" if data[:2] == b"\xfe\xff" else "latin-1")
