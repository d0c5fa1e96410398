"""Pictures as mails need them: as large as they are shown, with nothing in them but colours.

Owns what is done to a picture and which one needs it. A camera writes into its pictures where they
were taken and by whom; whoever gets the mail would get that, too.
"""

import io
import struct
from collections.abc import Iterator
from typing import Any, Final

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.Image import Image as Picture

WIDEST: Final = 1200
"""Pixels: twice the widest a mail shows a picture, for screens that have two where one is meant."""

MOST_PIXELS: Final = 80_000_000
"""Four times what a good telephone takes; Pillow would call more a decompression bomb."""

LARGEST: Final = 2_000_000
"""Bytes of what is sent."""

FORMATS: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""What is made smaller, by a name's ending; a GIF is sent as it lies, for it may move."""

_HARMLESS_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB sBIT bKGD pHYs hIST sPLT".split()
)
_MOVING_CHUNKS = frozenset({b"acTL", b"ANIM"})
_TELLING_RIFF = frozenset({b"EXIF", b"XMP ", b"ICCP"})
_HARMLESS_MARKERS = frozenset({0xE0, 0xEE}) | (frozenset(range(0xC0, 0xE0)) - {0xD9})
_DAMAGED = "breaks off or is damaged; save it anew"
_QUALITY = {"JPEG": 82, "WEBP": 85}
_TURNED = frozenset({5, 6, 7, 8})
"""Orientations of a picture that lies on its side (Exif 2.3, tag 0x0112)."""


class PictureError(ValueError):
    """A picture that cannot be shown in a mail, in words that say what to do."""


def judge(data: bytes, ending: str, size: tuple[int, int]) -> tuple[int, int] | None:
    """The size a picture will have once it is made ready; None where it is sent as it lies.

    `size` is what its head says. Reads no more than that; raises PictureError.
    """
    named, (width, height) = FORMATS.get(ending.lower()), size
    if width * height > MOST_PIXELS:
        raise PictureError(f"has {width:,} x {height:,} pixels; save it smaller")
    if named is None or _moves(data):
        return None
    tells = _tells(data)
    try:
        with _opened(data) as picture:
            misnamed = picture.format != named
            # Only then: of a PNG it reads all of it.
            if tells and picture.getexif().get(0x0112) in _TURNED:
                width, height = height, width
    except (OSError, SyntaxError, struct.error) as error:
        raise PictureError(_DAMAGED) from error
    if width <= WIDEST and len(data) <= LARGEST and not (tells or misnamed):
        return None
    return _fitting(width, height)


def make(data: bytes, ending: str) -> bytes:
    """The picture upright, in sRGB, no wider than WIDEST and without anything beside its colours.

    Raises PictureError where it cannot be read to its end, or stays too large.
    """
    named = FORMATS[ending.lower()]
    try:
        with _opened(data) as picture:
            # Of a JPEG an eighth, a quarter or a half is decoded, where that is enough.
            picture.draft(None, (WIDEST * 2, WIDEST * 2))
            picture.load()
            whole = ImageOps.exif_transpose(_in_srgb(picture))
    except (OSError, SyntaxError, struct.error) as error:
        raise PictureError(_DAMAGED) from error
    whole = _drawable(whole, named)
    if whole.width > WIDEST:
        whole = whole.resize(_fitting(*whole.size), Image.Resampling.LANCZOS)
    whole.info = {}  # what encoders would write again
    out = io.BytesIO()
    options: dict[str, Any] = {"optimize": True, "progressive": True} if named == "JPEG" else {}
    if named == "PNG":
        options = {"optimize": True}
    whole.save(out, named, **options, **({"quality": _QUALITY[named]} if named in _QUALITY else {}))
    if out.tell() > LARGEST:
        raise PictureError(f"is larger than {LARGEST:,} bytes even made smaller; save it as JPEG")
    return out.getvalue()


def _opened(data: bytes) -> Picture:
    try:
        return Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values())))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error) as error:
        raise PictureError("holds no image that can be read; save it anew") from error


def _fitting(width: int, height: int) -> tuple[int, int]:
    if width <= WIDEST:
        return width, height
    return WIDEST, max(1, round(height * WIDEST / width))


def _in_srgb(picture: Picture) -> Picture:
    """The picture in the colours that mail programs take for granted."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in {"RGB", "CMYK", "RGBA", "L"}:
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        changed = ImageCms.profileToProfile(
            picture, own, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (
        ImageCms.PyCMSError,
        OSError,
    ):  # a profile that is none, or of other colours than the picture's
        return picture
    changed = changed if changed is not None else picture
    changed.getexif().update(picture.getexif())
    return changed


def _drawable(picture: Picture, named: str) -> Picture:
    """In a mode that can be made smaller and saved; what is seen through stays so in a PNG."""
    if named == "JPEG":
        return picture if picture.mode in {"RGB", "L"} else picture.convert("RGB")
    if picture.mode in {"RGB", "RGBA", "L", "LA"}:
        return picture.convert("RGBA") if "transparency" in picture.info else picture
    see_through = picture.mode in {"PA", "La", "RGBa"} or "transparency" in picture.info
    if picture.mode.startswith("I"):  # 16 bits a pixel: `convert` would cut them off
        return picture.point(lambda value: value / 256).convert("L")
    return picture.convert("RGBA" if see_through else "RGB")


def _tells(data: bytes) -> bool:
    """Whether there is anything in a picture beside its colours."""
    if data.startswith(b"\x89PNG"):
        return any(name not in _HARMLESS_CHUNKS for name in _png_chunks(data))
    if data.startswith(b"RIFF"):
        return any(name in _TELLING_RIFF for name in _riff_chunks(data))
    return any(marker not in _HARMLESS_MARKERS for marker in _jpeg_markers(data))


def _moves(data: bytes) -> bool:
    if data.startswith(b"\x89PNG"):
        return any(name in _MOVING_CHUNKS for name in _png_chunks(data))
    return data.startswith(b"RIFF") and any(name in _MOVING_CHUNKS for name in _riff_chunks(data))


def _png_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        yield data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")


def _riff_chunks(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4]
        at += 8 + size + size % 2


def _jpeg_markers(data: bytes) -> Iterator[int]:
    """The markers before the colours begin (ITU-T T.81, annex B)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker
        if marker == 0xDA:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
