"""Pictures of a mail: as large as they are shown, upright, silent about where they were taken."""

import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from l3mail.content import Text, bytes_of
from l3mail.content.pictures import WIDEST
from l3mail.errors import ContentError
from tests.fakes.library import Shelf

GPS, ORIENTATION, ARTIST = 0x8825, 0x0112, 0x013B


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def photo(width: int, height: int, named: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture whose left half is darker than its right one."""
    picture = Image.new(mode, (width, height), 200 if mode in {"L", "I;16"} else "teal")
    picture.paste(20 if mode in {"L", "I;16"} else "black", (0, 0, width // 2, height))
    out = io.BytesIO()
    picture.save(out, named, **options)
    return out.getvalue()


def exif(orientation: int = 1) -> Image.Exif:
    told = Image.Exif()
    told[ORIENTATION], told[ARTIST] = orientation, "Erika Musterfrau"
    told.get_ifd(GPS)[2] = (51.0, 3.0, 0.0)
    return told


def compiled(shelf: Shelf, data: bytes, name: str = "foto.jpg") -> Text:
    shelf.put(f"media/{name}", data)
    shelf.lesson(f"![Die Werkstatt](media/{name})")
    return shelf.compiled()


def sent(shelf: Shelf, data: bytes, name: str = "foto.jpg") -> Image.Image:
    (medium,) = compiled(shelf, data, name).media
    made = bytes_of(shelf.library, medium)
    picture = Image.open(io.BytesIO(made))
    assert (medium.width, medium.height) == picture.size
    assert medium.name == name
    return picture


def test_a_photo_is_made_as_wide_as_a_mail_shows_it_twice_over(shelf: Shelf) -> None:
    picture = sent(shelf, photo(4000, 3000))
    assert picture.size == (WIDEST, 900)
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert 'width="536"' in compiled["html"]


@pytest.mark.parametrize(
    ("named", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp")]
)
def test_nothing_says_where_a_picture_was_taken_or_by_whom(
    shelf: Shelf, named: str, name: str
) -> None:
    data = photo(300, 200, named, exif=exif())
    assert b"Erika" in data
    picture = sent(shelf, data, name)
    assert picture.size == (300, 200)
    assert not picture.getexif()
    (medium,) = shelf.compiled().media
    assert b"Erika" not in bytes_of(shelf.library, medium)
    assert {"exif", "icc_profile", "comment"} & picture.info.keys() == set()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_taken_sideways_stands_upright(shelf: Shelf, orientation: int) -> None:
    picture = sent(shelf, photo(300, 200, exif=exif(orientation)))
    assert picture.size == ((200, 300) if orientation >= 5 else (300, 200))
    dark = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom"}
    width, height = picture.size
    at = {"left": (5, height // 2), "right": (width - 5, height // 2)}
    at |= {"top": (width // 2, 5), "bottom": (width // 2, height - 5)}
    seen = picture.convert("L").getpixel(at[dark.get(orientation, "bottom")])
    assert isinstance(seen, int)
    assert seen < 60


def test_a_small_picture_with_nothing_beside_its_colours_is_sent_as_it_lies(shelf: Shelf) -> None:
    data = photo(300, 200, "PNG")
    (medium,) = compiled(shelf, data, "a.png").media
    assert (medium.recipe, bytes_of(shelf.library, medium)) == ("", data)


@pytest.mark.parametrize(
    ("named", "name", "mode"),
    [
        ("JPEG", "a.jpg", "CMYK"),
        ("JPEG", "a.jpg", "L"),
        ("PNG", "a.png", "RGBA"),
        ("PNG", "a.png", "P"),
        ("PNG", "a.png", "1"),
        ("PNG", "a.png", "I;16"),
        ("WEBP", "a.webp", "RGBA"),
    ],
)
def test_pictures_of_every_kind_come_out_readable(
    shelf: Shelf, named: str, name: str, mode: str
) -> None:
    made = Image.new("RGBA" if mode == "P" else mode, (2000, 10))
    out = io.BytesIO()
    (made.convert("P") if mode == "P" else made).save(out, named)
    picture = sent(shelf, out.getvalue(), name)
    picture.load()
    assert picture.width == WIDEST
    assert picture.mode in {"RGB", "RGBA", "L"}
    if mode == "RGBA":
        assert picture.getchannel("A").getextrema() == (0, 0)


def test_colours_of_another_profile_become_those_of_the_web(shelf: Shelf) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (lab, b"no profile"):
        picture = sent(shelf, photo(300, 200, icc_profile=profile))
        assert "icc_profile" not in picture.info


def test_what_moves_is_sent_as_it_lies(shelf: Shelf) -> None:
    frames = [Image.new("RGB", (1300, 4), colour) for colour in ("red", "blue")]
    for named, name in (("GIF", "a.gif"), ("PNG", "a.png"), ("WEBP", "a.webp")):
        out = io.BytesIO()
        frames[0].save(out, named, save_all=True, append_images=frames[1:])
        (medium,) = compiled(shelf, out.getvalue(), name).media
        assert (medium.recipe, bytes_of(shelf.library, medium)) == ("", out.getvalue())


def test_the_digest_is_of_the_file_so_looking_makes_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "save", lambda *_: pytest.fail("made something"))
    first = compiled(shelf, PHOTO).media[0].digest
    assert compiled(shelf, PHOTO).media[0].digest == first
    assert compiled(shelf, OTHER).media[0].digest != first


PHOTO, OTHER = photo(2000, 100), photo(2000, 101)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("foto.jpg", photo(2000, 1500)[:4000]),
        ("foto.png", photo(2000, 1500, "PNG")[:60] + bytes(4000)),
    ],
)
def test_a_picture_that_breaks_off_is_refused_when_it_is_made(
    shelf: Shelf, name: str, data: bytes
) -> None:
    (medium,) = compiled(shelf, data, name).media
    with pytest.raises(ContentError, match=r"foto.* breaks off or is damaged; save it anew"):
        bytes_of(shelf.library, medium)


def test_more_pixels_than_anybody_needs_are_refused_before_they_are_read(shelf: Shelf) -> None:
    head = photo(8, 8, "PNG")
    bomb = head[:16] + (60_000).to_bytes(4, "big") * 2 + head[24:]
    shelf.put("media/foto.png", bomb)
    shelf.lesson("![Werkstatt](media/foto.png)")
    (fault,) = shelf.findings
    assert "has 60,000 x 60,000 pixels; save it smaller" in fault


@pytest.mark.parametrize("data", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html>"])
def test_what_is_no_picture_is_refused_whatever_its_name(shelf: Shelf, data: bytes) -> None:
    shelf.put("media/foto.png", data)
    shelf.lesson("![Werkstatt](media/foto.png)")
    (fault,) = shelf.findings
    assert "holds no image that can be read; save it anew" in fault


def test_a_picture_becomes_what_its_name_says(shelf: Shelf) -> None:
    assert sent(shelf, photo(300, 200, "PNG"), "foto.jpg").format == "JPEG"
    assert sent(shelf, photo(300, 200), "foto.png").format == "PNG"


def test_a_photo_of_eight_megabytes_becomes_a_small_one(shelf: Shelf) -> None:
    grain = random.Random(7).randbytes(3000 * 1500 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (3000, 1500), grain).save(out, "JPEG", quality=95)
    assert len(out.getvalue()) > 5_000_000
    (medium,) = compiled(shelf, out.getvalue()).media
    assert len(bytes_of(shelf.library, medium)) < 2_000_000
