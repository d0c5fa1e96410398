"""Papers: from values and a template to PDF that a screen reader can read.

Owns the setting by Typst: PDF/UA-1, in the fonts it brings along, the same bytes for the same
values. What people wrote travels as values and is never read as Typst; nothing is read beside
what is given. `codes` draws what a camera reads. Must not know Markdown, courses or people.
"""

from l3mail.typesetting.setting import PIECES, Paper, picture, printed, typeset, unprintable

__all__ = ["PIECES", "Paper", "picture", "printed", "typeset", "unprintable"]
