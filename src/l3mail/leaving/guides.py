"""The guide that lies beside the files: what each is, what each column means, how to go on.

Owns the text in both languages; words for files and columns are in `words`. Pure.
"""

from collections.abc import Mapping

from l3mail.leaving import words
from l3mail.leaving.sheets import DO_NOT_MAIL, RESTRICTED, SHEETS
from l3mail.subscribers.exports import COLUMNS

_HEAD_DE = """\
# Alles, was l3mail wusste

Dieser Ordner enthält alle Daten in offenen Formaten: CSV-Dateien (UTF-8, Komma) für jede
Tabellenkalkulation, JSON, Texte und Bilder. Er enthält Daten von Menschen: Bewahren Sie ihn so
auf, wie es Ihr Verzeichnis der Verarbeitungstätigkeiten verlangt, und löschen Sie ihn, wenn er
nicht mehr gebraucht wird.

Zellen, die mit `=`, `+`, `-` oder `@` beginnen, haben ein `'` davor, damit kein
Tabellenprogramm sie für eine Formel hält. Zeitpunkte stehen in ISO-Form mit Zeitzone.

## So ziehen Sie um

1. Lesen Sie beim nächsten Versender zuerst `lists/do-not-mail.csv` als Sperrliste ein. Sonst
   bekommt Post, wer sich abgemeldet oder beschwert hat.
2. Lesen Sie danach je Angebot die Datei aus `lists/` ein, zum Beispiel `lists/newsletter.csv`.
   Diese Personen haben eingewilligt; der Nachweis steht in `consents.csv`.
3. Vergleichen Sie die Zahlen unten mit denen beim nächsten Versender.
4. Lassen Sie `l3mail web --goodbye` weiterlaufen, damit die Abmeldelinks in alten Mails gelten:
   mindestens ein Jahr, besser so lange, wie Sie Nachweise aufbewahren.

**listmonk:** Importieren Sie im Bereich Abonnenten, Modus „Sperren“, die Sperrliste; danach Modus
„Abonnieren“ mit der Liste, Trennzeichen Komma. listmonk erwartet die Spalten `email`, `name` und
`attributes`: Fassen Sie Vor- und Nachname zu `name` zusammen.

**Mailchimp:** Legen Sie eine Zielgruppe an. Importieren Sie erst die Sperrliste mit dem Status
„Abgemeldet“, dann die Liste mit dem Status „Abonniert“. Ordnen Sie `email` der E-Mail-Adresse zu,
`first_name` und `last_name` den Namen.

**Nachweise prüfen:** Jeder Hash in `consents.csv` ist BLAKE2b mit 32 Bytes und `person`
`l3mail-consent` über die Länge des ersten Teils (4 Bytes, höchstes zuerst), den ersten und den
zweiten Teil. `digest`: `salt` und `[act, person, at, content]` als JSON ohne Leerzeichen, Schlüssel
sortiert. `link`: voriger `link` und `digest`.

Nicht dabei sind: `pepper`, Schlüssel und Passwörter. Wer sie mitnimmt, könnte Links fälschen.

## Die Dateien
"""

_HEAD_EN = """\
# Everything l3mail knew

This folder holds all data in open formats: CSV files (UTF-8, comma) for any spreadsheet, JSON,
texts and pictures. It holds personal data: keep it as your records of processing demand, and
delete it when it is no longer needed.

Cells that begin with `=`, `+`, `-` or `@` have a `'` before them, so that no spreadsheet takes them
for a formula. Moments are in ISO form with their offset.

## Moving on

1. Import `lists/do-not-mail.csv` into the next tool first, as people to be blocked. Otherwise who
   unsubscribed or complained gets mail.
2. Then import the file of each stream in `lists/`, such as `lists/newsletter.csv`. These people
   consented; the proof is in `consents.csv`.
3. Compare the figures below with those of the next tool.
4. Keep `l3mail web --goodbye` running so that unsubscribe links in old mails work: a year at least,
   better as long as you keep proof of consent.

**listmonk:** under Subscribers, Import, choose the mode "Blocklist" for do-not-mail, then the mode
"Subscribe" with the list, delimiter comma. It expects the columns `email`, `name` and `attributes`:
join first and last name into `name`.

**Mailchimp:** make an audience. Import do-not-mail with the status "Unsubscribed" first, then the
list with the status "Subscribed". Match `email` to the address, `first_name` and `last_name` to the
names.

**Verifying proof:** each hash in `consents.csv` is BLAKE2b of 32 bytes with `person`
`l3mail-consent` over the length of the first part (4 bytes, highest first), the first part and the
second. `digest`: `salt` and `[act, person, at, content]` as JSON without blanks, keys sorted.
`link`: the link before and `digest`.

Not here: `pepper`, keys and passwords. Who has them could forge links.

## The files
"""

_BESIDE = (
    ("subscribers.json", "Personen mit allen Anmeldungen.", "People with all subscriptions."),
    ("texts/", "Quelltexte aller veröffentlichten Fassungen, je `Nummer.Sprache.md`.",
     "Sources of all published versions, each `number.language.md`."),
    ("html/", "Fertige Ausgaben des Newsletters; in doppelten Klammern stehen die Platzhalter.",
     "Compiled newsletters; what stands in double braces are placeholders."),
    ("wordings/", "Der Wortlaut der Einwilligungen.", "The wordings of consent."),
    ("media/", "Veröffentlichte Bilder und Blätter.", "Published pictures and papers."),
    ("settings.json", "Einstellungen ohne Geheimnisse.", "Settings without secrets."),
)  # fmt: skip


def german(rows: Mapping[str, int]) -> str:
    """The guide in German; `rows` says how many each file has."""
    return _HEAD_DE + _files(rows, 0, ("Zeilen", "Nicht dabei"))


def english(rows: Mapping[str, int]) -> str:
    """The guide in English."""
    return _HEAD_EN + _files(rows, 1, ("rows", "Left behind"))


def columns_of(name: str) -> list[str]:
    """The columns of a file that the guide explains; attributes explain themselves."""
    known = {sheet.name: list(sheet.columns) for sheet in (*SHEETS, RESTRICTED, DO_NOT_MAIL)}
    return known.get(name, list(COLUMNS) if name == "subscribers" else [])


def _files(rows: Mapping[str, int], tongue: int, heads: tuple[str, str]) -> str:
    lines = []
    for name, count in rows.items():
        is_list = name.startswith("lists/") and name not in words.FILES
        said = words.FILES["lists/*" if is_list else name][tongue]
        lines += [f"\n### {name}.csv ({count} {heads[0]})\n", said, ""]
        lines += [f"- `{column}`: {words.COLUMNS[column][tongue]}" for column in columns_of(name)]
    lines.append("")
    lines += [f"- `{one[0]}`: {one[1 + tongue]}" for one in _BESIDE]
    lines += ["", f"## {heads[1]}", ""]
    lines += [f"- `{name}`: {said[tongue]}" for name, said in words.LEFT_BEHIND.items()]
    return "\n".join(lines) + "\n"
