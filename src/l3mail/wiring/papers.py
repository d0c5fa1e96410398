"""Papers that are made when somebody asks for them: certificates, sheets for events."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
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
    house, design = settings.workspace.name, design_of(settings)
    values = typesetting.printed({"claim": design.claim, "house": house, **values})
    values["pieces"] = []

    def made(folder: Path, design: content.Design) -> bytes:
        library = content.read_papers(folder, locale=locale, design=design, house=house)
        paper = content.paper(library, name, locale, values)
        return typesetting.typeset(replace(paper, pictures={**paper.pictures, **pictures}))

    try:
        return made(settings.folder, design)
    except (ContentError, PaperError) as fault:
        _LOG.warning("a %s is made on our own template: %s", name, fault)
    return made(starter(), replace(design, logo=""))
