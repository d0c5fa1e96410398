"""Content: from files that editors write to versions that can be sent.

Pure but for reading files below the folder it is given: no clock, no settings, no database. What
is published is decided elsewhere.
"""

from l3mail.content.checking import Translated, check, compile_all, translated
from l3mail.content.compiling import LARGEST_HTML, Text, compile_text, stream_of
from l3mail.content.conversion import foreign_resources
from l3mail.content.curricula import Curriculum
from l3mail.content.designs import Design
from l3mail.content.findings import Finding
from l3mail.content.images import Medium, digest_of
from l3mail.content.makings import bytes_of, worksheet
from l3mail.content.markdown import block_names
from l3mail.content.papers import paper
from l3mail.content.placeholders import TESTS
from l3mail.content.sources import Library, Source, read_library, read_papers
from l3mail.content.stationery import Stationery, stationery
from l3mail.content.wordings import Wording
from l3mail.content.worksheets import worksheets_of

__all__ = [
    "LARGEST_HTML",
    "TESTS",
    "Curriculum",
    "Design",
    "Finding",
    "Library",
    "Medium",
    "Source",
    "Stationery",
    "Text",
    "Translated",
    "Wording",
    "block_names",
    "bytes_of",
    "check",
    "compile_all",
    "compile_text",
    "digest_of",
    "foreign_resources",
    "paper",
    "read_library",
    "read_papers",
    "stationery",
    "stream_of",
    "translated",
    "worksheet",
    "worksheets_of",
]
