"""What the demo's people answer to the course's questions: some right, some wrong, some in words.

Plain values, as in `people`. Knows no pages and no rows; `readers` lets it happen.
"""

from collections.abc import Mapping
from typing import Final

from l3mail.demo.people import Person

KNOWN: Final = (
    ("b", "a", "ac"),
    ("c", "b", "ab"),
    ("b", "a", "abd"),
    ("b", "c", "a"),
    ("b", "c", "acd"),
    ("a", "c", "b"),
)
"""What somebody who has read a lesson answers to its quizzes, q1 and on."""

_REMARKS: Final[Mapping[tuple[str, str], str]] = {
    ("Ada", "hilfreich"): "Das Arbeitsblatt hängt jetzt bei uns im Büro.",
    ("Karim", "ausprobiert"): "Das Video haben wir dreimal gedreht.\nDas dritte ist richtig gut.",
    ("Clara", "ziel"): "Am meisten hat mir die erste Lektion genützt.",
    ("Olga", "verstaendlich"): "Bei LinkedIn hätte ich gern mehr Beispiele gehabt.",
    ("Wilma", "verstaendlich"): "Manche Lektionen waren schwer. Die erste war gut.",
    ("Xenia", "hilfreich"): "=SUM(1) is what my spreadsheet says. The example says more.",
    ("Karim", "empfehlen"): "Ja, vor allem Häusern ohne eigene Presseabteilung.",
}
"""What is added in words, by first name and question; once of several times that it is asked."""
_SLIPS_EVERY: Final = 5


def known(nth: int, question: str, otherwise: str = "") -> str:
    """What a quiz of the `nth` mail that asks any is to be answered; `otherwise` for an opinion."""
    return KNOWN[nth][int(question[1:]) - 1] if question.startswith("q") else otherwise


def value_of(person: Person, nth: int, question: str) -> str:
    """The letters or the mark somebody gives to a question of the `nth` mail that asks any."""
    right = known(nth, question)
    if question == "tempo":
        return "4" if person.habit % 4 == 0 else "3"
    if not right:
        return str(3 + (person.habit + nth + len(question)) % 3)
    if (person.habit + 2 * nth + int(question[1:])) % _SLIPS_EVERY:
        return right
    # One of several is right in part; otherwise it is another letter.
    return right[0] if len(right) > 1 else "bca"["abc".index(right)]


def remark_of(person: Person, nth: int, question: str) -> str:
    """The words somebody adds, "" for none."""
    is_time = question != "hilfreich" or nth == 0
    return _REMARKS.get((person.first_name, question), "") if is_time else ""
