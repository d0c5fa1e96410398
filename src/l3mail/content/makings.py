"""Media that are made of a file, not sent as they lie: what goes into one, and its bytes.

Owns the recipes. Texts are compiled and compared by digests alone; only publishing asks for bytes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from l3mail.content import pictures, worksheets
from l3mail.content.images import Medium, digest_of, find_medium, read_medium
from l3mail.content.pictures import PictureError
from l3mail.content.sources import Library
from l3mail.errors import ContentError, quoted

Ingredients = Mapping[str, bytes]
"""All that goes into one medium, by a file's path below the workspace or by a word for it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to make a medium of a file.

    `gather(library, path)` reads what goes into it; `make(path, ingredients)` reads nothing more,
    and gives the same bytes for the same ingredients. Where it begins to give others, `number`
    grows: who has the old ones then gets the new.
    """

    number: int
    gather: Callable[[Library, str], Ingredients]
    make: Callable[[str, Ingredients], bytes]


def _picture(library: Library, path: str) -> Ingredients:
    return {path: (library.folder / path).read_bytes()}


def _smaller(path: str, ingredients: Ingredients) -> bytes:
    try:
        return pictures.make(ingredients[path], Path(path).suffix)
    except PictureError as error:
        raise ContentError(f"{quoted(path)} {error}") from error


PICTURE: Final = "picture"
WORKSHEET: Final = "worksheet"
RECIPES: Final[dict[str, Recipe]] = {
    PICTURE: Recipe(1, _picture, _smaller),
    WORKSHEET: Recipe(1, worksheets.gather, worksheets.make),
}


def find(library: Library, link: str, *, image: bool) -> Medium:
    """The medium behind a link of a text, made or as it lies; raises ContentError.

    A PDF that does not lie there is made of the worksheet of its name; a picture that is too wide
    or says where it was taken is made ready.
    """
    name = unquote(link.partition("#")[0])
    if not image and name in worksheets.worksheets_of(library):
        made = name.removesuffix(worksheets.SUFFIX) + worksheets.MADE
        raise ContentError(f"{quoted(link)} becomes a PDF; write {made}")
    sheet = name.removesuffix(worksheets.MADE) + worksheets.SUFFIX
    if image:
        return _ready(*read_medium(library.folder, link, image=True), link)
    if not name.endswith(worksheets.MADE) or not _lies(library, sheet, but=name):
        return find_medium(library.folder, link, image=False)
    return worksheet(library, sheet)


def _ready(medium: Medium, data: bytes, link: str) -> Medium:
    """A picture as it will be sent; raises ContentError."""
    seen = medium.width or 0, medium.height or 0
    try:
        size = pictures.judge(data, Path(medium.name).suffix, seen)
    except PictureError as error:
        raise ContentError(f"{quoted(link)} {error}") from error
    if size is None:
        return medium
    width, height = size
    digest = digest_of_making(PICTURE, {medium.path: data})
    return replace(medium, digest=digest, width=width, height=height, recipe=PICTURE)


def worksheet(library: Library, path: str) -> Medium:
    """The PDF of a worksheet of media/; raises ContentError with what is wrong with that."""
    name = path.rpartition("/")[2].removesuffix(worksheets.SUFFIX) + worksheets.MADE
    digest = digest_of_making(WORKSHEET, worksheets.gather(library, path))
    return Medium(path, name, digest, recipe=WORKSHEET)


def _lies(library: Library, sheet: str, *, but: str) -> bool:
    """Whether there is that worksheet and no file that stands for it."""
    return sheet in worksheets.worksheets_of(library) and not (library.folder / but).is_file()


def digest_of_making(recipe: str, ingredients: Ingredients) -> str:
    """What stands for a medium that is made: 16 hexadecimal digits, as those of a file are."""
    digest = hashlib.blake2b(f"{recipe} {RECIPES[recipe].number}".encode(), digest_size=8)
    for name, data in sorted(ingredients.items()):
        for part in (name.encode(), data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def bytes_of(library: Library, medium: Medium) -> bytes:
    """A medium's bytes, made now where there is a recipe; tens of milliseconds then.

    Raises ContentError where it is not what the digest says any more, or cannot be made.
    """
    if medium.recipe:
        recipe = RECIPES[medium.recipe]
        ingredients = recipe.gather(library, medium.path)
        if digest_of_making(medium.recipe, ingredients) == medium.digest:
            return recipe.make(medium.path, ingredients)
    else:
        data = (library.folder / medium.path).read_bytes()
        if digest_of(data) == medium.digest:
            return data
    raise ContentError(f"{medium.path} changed while it was published; publish again")
