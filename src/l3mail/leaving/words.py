"""What every file and every column is, in German and English: the words of the guide.

Owns the words alone. A test holds them to the files there are.
"""

from collections.abc import Mapping

Words = tuple[str, str]
"""German, English."""

FILES: Mapping[str, Words] = {
    "subscribers": (
        (
            "Alle Personen mit ihren Angaben und Merkmalen, außer gelöschten und solchen mit"
            " eingeschränkter Verarbeitung. `streams` nennt nur bestätigte Angebote. Dieselben"
            " Personen mit allen Anmeldungen stehen in `subscribers.json`."
        ),
        (
            "All people with their values and attributes, except erased ones and those whose"
            " processing is restricted. `streams` names confirmed streams only."
            " `subscribers.json` has the same people with all their subscriptions."
        ),
    ),
    "restricted": (
        (
            "Personen, die verlangt haben, dass ihre Daten nur noch aufbewahrt werden (Art. 18"
            " DSGVO). Ihnen darf niemand schreiben."
        ),
        ("People at whose request data may only be kept (Art. 18 GDPR). Nobody may write to them."),
    ),
    "subscriptions": (
        "Wer bei welchem Angebot angemeldet ist oder war.",
        "Who is or was in which stream.",
    ),
    "consents": (
        (
            "Die Nachweise der Einwilligungen als Kette: `digest` ist der Hash von `salt` und"
            " Inhalt, `link` der von vorigem `link` und `digest`. Das erste Glied schließt an"
            " `chain_start` in `workspace.csv` an. Von Gelöschten bleiben nur die Hashes."
        ),
        (
            "Evidence of consent as a chain: `digest` is the hash of `salt` and content, `link`"
            " that of the link before and `digest`. The first follows `chain_start` of"
            " `workspace.csv`. Of erased people only hashes remain."
        ),
    ),
    "wordings": (
        "Welchen Wortlaut jemand bestätigt hat; die Texte selbst liegen in `wordings/`.",
        "Which wording somebody agreed to; the texts themselves are in `wordings/`.",
    ),
    "suppressions": (
        (
            "Gesperrte Adressen. Ohne Adresse steht hier, wessen Person gelöscht ist: Von ihr"
            " gibt es nur einen Hash, der anderswo nichts sagt."
        ),
        (
            "Addresses never to be mailed. Without an address: the person is erased, and the"
            " hash that is left says nothing anywhere else."
        ),
    ),
    "signups": (
        "Anmeldungen über das Formular.",
        "Sign-ups by the form.",
    ),
    "streams": (
        "Was man abonnieren kann.",
        "What can be joined.",
    ),
    "segments": (
        "Gespeicherte Zielgruppen.",
        "Saved segments.",
    ),
    "courses": (
        "Kurse.",
        "Courses.",
    ),
    "course_structures": (
        "Rhythmus und Regeln eines Kurses, wie sie zu einer Zeit galten.",
        "A course's cadence and rules as they stood at a time.",
    ),
    "course_lessons": (
        "Die Lektionen in ihrer Reihenfolge.",
        "The lessons in their order.",
    ),
    "enrollments": (
        "Wer an welchem Kurs teilnimmt.",
        "Who takes which course.",
    ),
    "certificates": (
        "Ausgestellte Teilnahmebescheinigungen, ohne den Code, mit dem man sie prüfen kann.",
        "Certificates that were issued, without the code by which one is verified.",
    ),
    "texts": (
        (
            "Alle veröffentlichten Fassungen; die Quelltexte liegen in `texts/`, die fertigen"
            " Ausgaben des Newsletters in `html/`."
        ),
        ("All published versions; their sources are in `texts/`, compiled newsletters in `html/`."),
    ),
    "links": (
        "Die Links der Texte.",
        "The links of texts.",
    ),
    "campaigns": (
        "Versände von Newslettern.",
        "Campaigns of newsletters.",
    ),
    "campaign_texts": (
        "Welche Fassung ein Versand hatte.",
        "Which version a campaign had.",
    ),
    "triggers": (
        "Anlässe für besondere Mails.",
        "Triggers of lifecycle mailings.",
    ),
    "approvals": (
        "Freigaben.",
        "Approvals.",
    ),
    "approval_texts": (
        "Welche Fassung freigegeben wurde.",
        "Which version was approved.",
    ),
    "deliveries": (
        ("Alle Mails, eine Zeile je Mail. Was eine Mail sonst über jemanden sagte, bleibt hier."),
        "All mails, one line each. What else a mail said of somebody stays here.",
    ),
    "events": (
        "Was geschehen ist.",
        "What happened.",
    ),
    "answers": (
        "Antworten auf Fragen in Texten; auch in `events.csv`.",
        "Answers to questions in texts; in `events.csv` too.",
    ),
    "counters": (
        "Zählungen ohne Personen, nach Tagen.",
        "Counts without people, by day.",
    ),
    "aged_deliveries": (
        "Mails, die älter waren als ihre Frist: Zählungen ohne Personen, nach Tagen.",
        "Mails that were too old to be kept: counts without people, by day.",
    ),
    "aged_events": (
        "Ereignisse, die älter waren als ihre Frist: Zählungen ohne Personen, nach Tagen.",
        "Events that were too old to be kept: counts without people, by day.",
    ),
    "sources": (
        "Woher Anmeldungen kommen: Plakate, Veranstaltungen.",
        "Where sign-ups come from: posters, events.",
    ),
    "actions": (
        "Wer was mit l3mail gemacht hat.",
        "What operators did.",
    ),
    "halts": (
        "Notbremsen, die gerade gelten.",
        "Halts in force.",
    ),
    "workspace": (
        "Welche Datenbank das war.",
        "Which database this was.",
    ),
    "lists/do-not-mail": (
        "Wem der nächste Versender nicht schreiben darf: zuerst dort einlesen.",
        "To whom the next tool must not write: import it there first.",
    ),
    "lists/*": (
        "Je Angebot eine Liste derer, die man jetzt anschreiben darf.",
        "For each stream a list of those who may be mailed now.",
    ),
}

COLUMNS: Mapping[str, Words] = {
    "act": ("was geschah", "what was done"),
    "active_since": ("gilt seit", "in force since"),
    "anchor_on": ("Tag der ersten Lektion", "day of the first lesson"),
    "approval": ("Nummer in approvals.csv", "number in approvals.csv"),
    "asks": ("was das Formular dafür fragt (JSON)", "what the form asks for it (JSON)"),
    "at": ("Zeitpunkt", "moment"),
    "attempts": ("Versuche", "attempts"),
    "birthday": ("Geburtstag, ohne Jahr als --05-17", "birthday, --05-17 without a year"),
    "cadence": ("Rhythmus (JSON)", "cadence (JSON)"),
    "campaign": ("Nummer in campaigns.csv", "number in campaigns.csv"),
    "cancelled_at": ("abgesagt", "cancelled"),
    "cancelled_reason": ("warum abgesagt", "why cancelled"),
    "chain_start": ("Anfang der Kette der Nachweise", "where the chain of evidence begins"),
    "command": ("Befehl", "command"),
    "comment": ("eigene Worte", "own words"),
    "completed_at": ("Kurs geschafft", "course completed"),
    "confirmed_at": ("bestätigt", "confirmed"),
    "content": ("Inhalt des Nachweises (JSON)", "content of the evidence (JSON)"),
    "counts": ("Zahlen (JSON)", "figures (JSON)"),
    "course": ("Kurs", "course"),
    "created_at": ("angelegt", "created"),
    "data": ("Einzelheiten (JSON)", "details (JSON)"),
    "day": ("Tag", "day"),
    "decided_at": ("entschieden", "decided"),
    "decided_by": ("entschieden von", "decided by"),
    "decision": ("Entscheidung", "decision"),
    "delivery": ("Nummer in deliveries.csv", "number in deliveries.csv"),
    "digest": ("Hash des Inhalts", "hash of the content"),
    "district": ("Stadtteil", "district"),
    "due_at": ("fällig", "due"),
    "email": ("Adresse; leer bei Gelöschten", "address; empty for erased people"),
    "ended_at": ("beendet", "ended"),
    "enrollment": ("Nummer in enrollments.csv", "number in enrollments.csv"),
    "expected": ("so viele Personen erwartet", "so many people expected"),
    "expires_at": ("gültig bis", "valid until"),
    "expression": ("Ausdruck der Zielgruppe", "expression of the segment"),
    "first_started_at": ("zum ersten Mal versucht", "first tried"),
    "first_name": ("Vorname", "first name"),
    "generated": ("von l3mail selbst gemacht", "made by l3mail itself"),
    "halted_at": ("angehalten", "halted"),
    "halted_by": ("angehalten von", "halted by"),
    "hash": ("Hash des Textes", "hash of the text"),
    "id": ("Nummer, auf die andere Dateien verweisen", "number that other files refer to"),
    "issued_at": ("ausgestellt", "issued"),
    "kind": ("Art", "kind"),
    "lapses_at": ("verfällt", "lapses"),
    "last_count": ("zuletzt gezählt", "last count"),
    "last_name": ("Nachname", "last name"),
    "link": (
        "in consents.csv der Hash der Kette, sonst Nummer in links.csv",
        "in consents.csv the chain's hash, else number in links.csv",
    ),
    "locale": ("Sprache", "language"),
    "n": ("wie oft", "how often"),
    "name": ("Name", "name"),
    "next_due_at": ("nächste Lektion", "next lesson"),
    "next_position": ("Platz der nächsten Lektion", "position of the next lesson"),
    "note": ("Notiz", "note"),
    "number": ("laufende Nummer im Text", "number within the text"),
    "occasion": ("Anlass", "occasion"),
    "occurrence": (
        "wovon die Mail handelt, einmal je Person",
        "what the mail is about, once per person",
    ),
    "paused_at": ("angehalten", "paused"),
    "paused_reason": ("warum angehalten", "why paused"),
    "paused_until": ("Pause bis", "paused until"),
    "person": (
        "Nummer der Person, auch wenn sie gelöscht ist",
        "number of the person, erased or not",
    ),
    "planned_at": ("geplant", "planned"),
    "position": ("Platz, ab 0", "position, from 0"),
    "published_at": ("veröffentlicht", "published"),
    "published_by": ("veröffentlicht von", "published by"),
    "purpose": ("wozu: Angebot, Anfrage, Team", "what for: stream, request, staff"),
    "question": ("Frage", "question"),
    "reason": ("Grund", "reason"),
    "refused_at": ("abgelehnt", "refused"),
    "released_at": ("von einer zweiten Person freigegeben", "released by a second person"),
    "released_by": ("freigegeben von", "released by"),
    "reply_code": ("Antwort des Mailservers", "the mail server's reply"),
    "reply_status": ("erweiterter Status", "enhanced status"),
    "reply_text": ("Worte des Mailservers", "the mail server's words"),
    "requested_at": ("angefragt", "requested"),
    "restricted_at": ("eingeschränkt seit", "restricted since"),
    "retired_at": ("nicht mehr angeboten seit", "no longer on offer since"),
    "rule": ("Regel (JSON)", "rule (JSON)"),
    "rules": ("Regeln (JSON)", "rules (JSON)"),
    "salt": ("Zufall, der im Hash steckt", "random bytes in the hash"),
    "salutation": ("Anrede", "salutation"),
    "saved_at": ("gespeichert", "saved"),
    "scheduled_at": ("Versandzeit", "time of sending"),
    "scheduled_by": ("angesetzt von", "scheduled by"),
    "scope": ("wofür", "scope"),
    "segment": ("Zielgruppe", "segment"),
    "seq": ("Nummer in der Kette", "number in the chain"),
    "slug": ("Kurzname", "slug"),
    "source": ("Herkunft", "source"),
    "started_at": ("begonnen", "started"),
    "state": ("Zustand", "state"),
    "status": (
        "unconfirmed, active, unsubscribed oder suppressed",
        "unconfirmed, active, unsubscribed or suppressed",
    ),
    "stream": ("Angebot", "stream"),
    "streams": ("Angebote", "streams"),
    "structure": ("Nummer in course_structures.csv", "number in course_structures.csv"),
    "subject": ("was angehalten ist", "what is halted"),
    "superseded_at": ("abgelöst", "superseded"),
    "suppressed_at": ("gesperrt", "suppressed"),
    "text": ("Nummer in texts.csv", "number in texts.csv"),
    "title": ("Titel", "title"),
    "tracking": ("hat in Messung eingewilligt", "agreed to being measured"),
    "trigger": ("Nummer in triggers.csv", "number in triggers.csv"),
    "uncertain_at": ("war ungewiss", "was uncertain"),
    "unsubscribed_at": ("abgemeldet", "unsubscribed"),
    "url": ("Ziel", "target"),
    "uuid": ("Kennung der Datenbank", "identity of the database"),
    "tracked": ("gemessen", "measured"),
    "per_hour": ("so viele in der Stunde", "so many an hour"),
    "ends_at": ("gilt bis", "until"),
    "created_by": ("angelegt von", "made by"),
    "value": ("Antwort", "answer"),
    "values": ("Angaben (JSON)", "values (JSON)"),
    "verdict": ("Mensch oder Maschine", "human or machine"),
    "who": ("wer", "who"),
}

LEFT_BEHIND: Mapping[str, Words] = {
    "aging": (
        "Wie weit das tägliche Löschen alter Einträge gekommen ist.",
        "How far the daily deleting of old entries has come.",
    ),
    "link_request": (
        "Anfragen nach frischen Links: Die Links gelten eine Stunde und nur bei uns.",
        "Requests for fresh links: these last an hour and lead to us alone.",
    ),
}
