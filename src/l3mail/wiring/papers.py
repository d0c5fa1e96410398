"""Papers that are made when somebody asks for them: certificates, sheets for events."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from l3mail import content, typesetting
from l3mail.errors import ContentError, PaperError
from l3mail.settings import Settings
from l3mail.starter import starter
from l3mail.wiring.contents import design_of

_LOG = logging.getLogger(__name__)


def certificate(settings: Settings, locale: str, values: Mapping[str, Any]) -> bytes:
    """The PDF of a certificate; a template of the workspace that fails gives way to ours.

    `values` are what `certificate.typ` names. What no font can print is left out, of them and of
    what the house says of itself.
    """
    # Who has learned for six weeks is to have the paper, whatever somebody wrote there.
    return _set(settings, "certificate", locale, values, {})


def handout(settings: Settings, locale: str, values: Mapping[str, Any], code: bytes) -> bytes:
    """The PDF of a sheet to hand out at an event, on the same terms; `code` is an SVG."""
    return _set(settings, "handout", locale, {**values, "code": _CODE}, {_CODE: code})


_CODE = "code.svg"


def _set(
    settings: Settings,
    name: str,
    locale: str,
    values: Mapping[str, Any],
    pictures: Mapping[str, bytes],
) -> bytes:
    house = settings.workspace.name
    theirs = content.read_papers(
        settings.folder, locale=locale, design=design_of(settings), house=house
    )
    values = _printed({"claim": design_of(settings).claim, "house": house, **values})
    values["pieces"] = []
    try:
        paper = content.paper(theirs, name, locale, values)
        return typesetting.typeset(replace(paper, pictures={**paper.pictures, **pictures}))
    except (ContentError, PaperError) as fault:
        _LOG.warning("a %s is made on our own template: %s", name, fault)
    plain = replace(design_of(settings), logo="")
    ours = content.read_papers(starter(), locale=locale, design=plain, house=house)
    paper = content.paper(ours, name, locale, values)
    return typesetting.typeset(replace(paper, pictures={**paper.pictures, **pictures}))


def _printed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Texts without the signs that no font here has, an emoji for one."""
    printed = dict(values)
    for name, value in values.items():
        if isinstance(value, Mapping):
            printed[name] = _printed(value)
        elif isinstance(value, list):
            printed[name] = [_printed({"": one})[""] for one in value]
        elif isinstance(value, str):
            for sign in typesetting.unprintable(value):
                printed[name] = printed[name].replace(sign, "")
    return printed
