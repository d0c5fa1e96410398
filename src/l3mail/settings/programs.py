"""The mail programs whose readers a workspace may look after."""

import difflib
from typing import Annotated, Final

from pydantic import AfterValidator

MAIL_PROGRAMS: Final = tuple(
    "gmail outlook-windows outlook-com apple-mail gmx web-de t-online thunderbird samsung".split()
)


def _known(name: str) -> str:
    if name not in MAIL_PROGRAMS:
        near = difflib.get_close_matches(name.lower(), MAIL_PROGRAMS, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(MAIL_PROGRAMS)}"
        raise ValueError(f"no mail program we know; {hint}")
    return name


MailProgram = Annotated[str, AfterValidator(_known)]
