"""What the demo's city fills in and writes itself: its settings, its own pages, a text of its own.

Plain values. Everything else in its workspace is the starter's.
"""

from collections.abc import Mapping
from typing import Final

from l3mail.demo.people import STAFF

_HOME: Final = "https://musterstadt.example"

BY_CLICK: Final = "beispiele"
"""The name of the link whose click has a follow-up, and in which lesson it stands."""
FOLLOW_UP_BY_CLICK: Final = "lifecycle/mehr-beispiele"

VIDEO: Final = (
    "lessons/digital-kommunizieren/03-video.md",
    "https://example.org/videos/vier-saetze",
    f"{_HOME}/videos/vier-saetze",
)
"""Where the starter leaves an address to the house: the file, that address, and the city's own."""

LINKS: Final[Mapping[str, str]] = {
    "lessons/digital-kommunizieren/01-ziele.md": (
        f"PS: [Drei Zielsätze zum Vergleichen]({_HOME}/lernen/ziele) und"
        f" [ein Blatt zum Ausfüllen]({_HOME}/lernen/ziele-blatt)"
    ),
    "lessons/digital-kommunizieren/01-ziele.de-simple.md": (
        f"[Beispiele für gute Ziele]({_HOME}/lernen/ziele)"
    ),
    "lessons/digital-kommunizieren/01-ziele.en.md": (
        f"PS: [Three goals from Musterstadt to compare with yours]({_HOME}/en/goals)"
    ),
    "lessons/digital-kommunizieren/02-social-media.md": (
        f'PS: [Beispiele von vier Lernorten]({_HOME}/lernen/beispiele "{BY_CLICK}") und'
        f" [welcher Kanal wen erreicht]({_HOME}/lernen/kanaele)"
    ),
    "lessons/digital-kommunizieren/04-newsletter.md": (
        f"PS: [Das Archiv unseres Newsletters]({_HOME}/newsletter) und"
        f" [die Termine der Stadt]({_HOME}/termine)"
    ),
    "lessons/digital-kommunizieren/06-netzwerk.md": (
        f"PS: [Das Netzwerk der Lernorte]({_HOME}/netzwerk) und"
        f" [der Stammtisch]({_HOME}/netzwerk/stammtisch)"
    ),
    "newsletters/2026-12.md": (
        f"PS: [Alle Termine im Kalender der Stadt]({_HOME}/termine) und"
        f" [das Archiv]({_HOME}/newsletter)"
    ),
}
"""A last line for texts of the starter, by file: where the city has more to say."""

TEXTS: Final[Mapping[str, str]] = {
    f"newsletters/{FOLLOW_UP_BY_CLICK}.md": f"""\
---
subject: "Vier Lernorte, vier Ideen zum Abschauen"
preheader: "Weil Sie sich die Beispiele angesehen haben: was dort gut ankommt."
stream: lifecycle
trigger: clicked
of: {BY_CLICK}
after: "1d"
at: "10:00"
once: ever
approval: required
---

{{{{ greeting }}}},

Sie haben sich die Beispiele zur Lektion über soziale Medien angesehen. Sie haben uns erlaubt, das \
zu messen, und deshalb knüpfen wir hier daran an.

- **Die Bibliothek West** stellt jeden Freitag eine Frage, auf die eine Zeile als Antwort genügt.
- **Die Kita Sonne** zeigt Hände bei der Arbeit und nie die Gesichter der Kinder.
- **Die Volkshochschule Nord** lässt Teilnehmende selbst erzählen, in höchstens drei Sätzen.
- **Die Schule am Park** schreibt jeden Montag, was in dieser Woche offen steht und für wen.

Suchen Sie sich eine der vier Ideen aus und probieren Sie sie zwei Wochen lang.

Soll das Messen aufhören? Das geht jederzeit \
[in Ihren Einstellungen]({{{{ links.preferences }}}}).

Gutes Gelingen wünscht {{{{ house.name }}}}
""",
}
"""The city's own texts, by file."""


def settings(relay_port: int, web_port: int) -> dict[str, dict[str, str]]:
    """What stands in the city's l3mail.toml, by section and key, as TOML."""
    return {
        "sender": {"from": '"Bildung in Musterstadt <kurs@musterstadt.example>"'},
        "impressum": {
            "name": '"Landeshauptstadt Musterstadt, Amt für Bildung"',
            "address": '"Rathausplatz 1, 12345 Musterstadt"',
            "email": f'"{STAFF}"',
            "privacy_url": f'"{_HOME}/datenschutz"',
        },
        "relay": {"host": '"127.0.0.1"', "port": str(relay_port), "connections": "4"},
        "web": {"base_url": f'"http://127.0.0.1:{web_port}"', "port": str(web_port)},
        "signup": {"fields": '["first_name", "birthday", "district"]'},
        "tracking": {"mode": '"consent"'},
        "alerts": {"to": f'["{STAFF}"]', "approvers": f'["{STAFF}"]'},
    }
