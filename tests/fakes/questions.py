"""Questions as a published text has them, and a text that is given some."""

from typing import Any, Final

from l3mail.models import MESSAGE
from tests.fakes.village import Village


def quiz(name: str, *options: str, right: str, explanation: str = "") -> dict[str, Any]:
    """A quiz of these options, `right` being the letters of the right ones."""
    return {
        "name": name,
        "kind": "quiz",
        "text": f"Was stimmt bei {name}?",
        "options": [
            {"value": value, "text": text, "right": value in right}
            for value, text in zip("abcdef", options, strict=False)
        ],
        "explanation": explanation,
        "comment": False,
    }


QUIZ: Final = quiz("q1", "quer", "hochkant", "egal", right="b", explanation="Es füllt das Bild.")
SEVERAL: Final = quiz("q2", "Licht", "Ton", "Blitz", right="ab", explanation="Eins.\n\nZwei.")
FEEDBACK: Final[dict[str, Any]] = {
    "name": "nutzen",
    "kind": "feedback",
    "text": "Wie hat Ihnen die Lektion geholfen?",
    "options": [
        {"value": str(n), "text": text, "right": False}
        for n, text in enumerate(("1 (gar nicht)", "2", "3", "4", "5 (sehr)"), start=1)
    ],
    "explanation": "",
    "comment": True,
}


def ask(village: Village, message: int, *questions: dict[str, Any]) -> None:
    """Let a published version ask these."""
    compiled = village.row(MESSAGE, message)["compiled"] | {"questions": list(questions)}
    village.change(MESSAGE, message, compiled=compiled)
