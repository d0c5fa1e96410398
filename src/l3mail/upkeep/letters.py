"""The letter to the city's IT: everything that only they can give, with this workspace's values.

Owns the words, in German and in English. Pure: reads settings, sends nothing.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from l3mail.settings import Settings

_GERMAN = """\
Betreff: E-Mail-Versand für „{house}“: was wir von Ihnen brauchen

Guten Tag,

wir verschicken Kurse und Newsletter per E-Mail an Menschen, die sich dafür angemeldet und ihre
Anmeldung bestätigt haben. Jede dieser E-Mails lässt sich mit einem Klick abbestellen. Das Programm
heißt l3mail und läuft auf einem eigenen kleinen Server. Bitte prüfen Sie die folgenden Angaben,
und ergänzen Sie, was uns fehlt.

1. Mailserver (Relay), dem wir die E-Mails übergeben
   Name und Port:      {relay}
   Verschlüsselung:    {tls}
   Anmeldung:          {login}
   Das Passwort schicken Sie uns bitte auf einem anderen Weg.
   Wir melden uns als: {own_name} (EHLO), von der IP-Adresse: (bitte eintragen) ________
   Absender:           {sender}
   Wir öffnen bis zu {connections} Verbindungen zugleich, mit bis zu {messages} E-Mails in jeder.
   Bitte nennen Sie uns die Grenzen: E-Mails je Minute, Stunde und Tag, Empfänger je Verbindung,
   Größe einer E-Mail. Antwortet der Mailserver mit 421 oder 450, warten wir und versuchen es
   später wieder.

2. Rückläufer
   Unzustellbare E-Mails kommen an: {bounces}
   Dieses Postfach muss es geben, und es darf nicht automatisch antworten. Wir möchten es
   später mit einem Programm lesen (IMAP). Bitte richten Sie auch abuse@{domain} und
   postmaster@{domain} ein (RFC 2142).

3. DNS für {domain}
   SPF:   Der TXT-Eintrag von {bounce_domain} muss die Adressen erlauben, von denen Ihr
          Mailserver ins Internet sendet, zum Beispiel mit
          v=spf1 include:{spf} -all
          (den Namen nach „include:“ kennen Sie).
   DKIM:  Bitte signieren Sie unsere E-Mails mit d={domain} und mindestens 2048 Bit (RSA).
          Die Signatur muss auch diese Kopfzeilen erfassen (h=):
          From:To:Subject:Date:Message-ID:List-Unsubscribe:List-Unsubscribe-Post
          Ohne die letzten beiden bieten Gmail und andere das Abbestellen mit einem Klick
          nicht an (RFC 8058, Abschnitt 4).
   DMARC: _dmarc.{domain} sollte mindestens enthalten: v=DMARC1; p=none; rua=mailto:...
          From, DKIM (d=) und SPF müssen zur selben Domain gehören („alignment“).
   PTR:   Die Adressen Ihres Mailservers brauchen einen rückwärts auflösbaren Namen.
   Keine Station darf den Text der E-Mails ändern (Fußzeilen, umgeschriebene Links):
   das bricht die Signatur und das Abbestellen.

4. Webseiten für An- und Abmeldung
   Öffentliche Adresse: {base_url}
   Der Name{host} muss auf unseren Server (oder Ihren Proxy) zeigen, mit einem gültigen
   Zertifikat. Der Reverse-Proxy gibt alles unter {path} weiter an: {upstream}
   Er setzt X-Forwarded-For; wem wir darin glauben (trusted_proxies):
   {proxies}
   - Die Pfade enthalten persönliche Links: Bitte schreiben Sie sie in kein Protokoll.
   - POST auf {path}unsubscribe/ kommt von Mailanbietern, ohne Cookie und ohne Browser:
     bitte ohne Umleitung, ohne Captcha, ohne Anmeldung durchlassen.
   - Den fertigen Block für nginx und Caddy druckt: l3mail service --proxy

5. Firewall und Server
   Ausgehend: {mail} (Mail){database}, DNS, Zeit (NTP).
   Eingehend: 443, wenn der Proxy auf demselben Server läuft, sonst {port} nur vom Proxy.
   Der Dienst läuft unter systemd; die fertige Unit druckt: l3mail service --unit

6. Sicherung
   Zu sichern ist der ganze Ordner {state}
   mindestens täglich, verschlüsselt: Er enthält die Anmeldungen, die Sperrliste und die
   Schlüssel, mit denen unsere Links unterschrieben sind. {backup}

Vielen Dank und freundliche Grüße
{signature}
"""

_ENGLISH = """\
Subject: Sending e-mail for "{house}": what we need from you

Hello,

we send courses and newsletters by e-mail to people who signed up and confirmed it. Each of these
mails can be unsubscribed from with one click. The program is called l3mail and runs on a small
server of its own. Please check what follows, and fill in what we do not know.

1. The mail server (relay) we hand mails over to
   Name and port:    {relay}
   Encryption:       {tls}
   Login:            {login}
   Please send us the password by another way.
   We call ourselves {own_name} (EHLO), from the IP address: (please fill in) ________
   Sender:           {sender}
   We open up to {connections} connections at once, with up to {messages} mails in each.
   Please tell us the limits: mails a minute, an hour and a day, recipients in a connection, the
   size of a mail. Where the mail server answers 421 or 450, we wait and try again later.

2. Bounces
   Mails that can't be delivered come back to: {bounces}
   This mailbox must exist, and must not answer by itself. Later a program is to read it (IMAP).
   Please set up abuse@{domain} and postmaster@{domain}, too (RFC 2142).

3. DNS of {domain}
   SPF:   the TXT record of {bounce_domain} must allow the addresses your mail server sends
          from, for example by
          v=spf1 include:{spf} -all
          (you know the name behind "include:").
   DKIM:  please sign our mails with d={domain} and at least 2048 bits (RSA).
          The signature must cover these headers, too (h=):
          From:To:Subject:Date:Message-ID:List-Unsubscribe:List-Unsubscribe-Post
          Without the last two, Gmail and others do not offer to unsubscribe with one click
          (RFC 8058 section 4).
   DMARC: _dmarc.{domain} should hold at least: v=DMARC1; p=none; rua=mailto:...
          From, DKIM (d=) and SPF must belong to the same domain (alignment).
   PTR:   the addresses of your mail server need a name that resolves both ways.
   Nothing on the way may change a mail's text (footers, rewritten links): that breaks the
   signature and the unsubscribing.

4. Pages to sign up and to unsubscribe
   Public address: {base_url}
   The name{host} must point to our server (or your proxy), with a valid certificate.
   The reverse proxy passes all below {path} on to: {upstream}
   It sets X-Forwarded-For; whom we believe in that (trusted_proxies):
   {proxies}
   - Paths hold people's own links: please write them into no log.
   - POST to {path}unsubscribe/ comes from mail providers, without cookie and without browser:
     please let it pass without redirect, captcha or login.
   - The block for nginx and Caddy is printed by: l3mail service --proxy

5. Firewall and server
   Outgoing: {mail} (mail){database}, DNS, time (NTP).
   Incoming: 443 where the proxy runs on the same server, else {port} from the proxy only.
   The service runs under systemd; its unit is printed by: l3mail service --unit

6. Backup
   The whole folder {state}
   at least daily, and encrypted: it holds who signed up, who must not be mailed, and the keys
   our links are signed with. {backup}

Thank you, and kind regards
{signature}
"""


@dataclass(frozen=True, slots=True)
class _Words:
    letter: str
    unset: str
    tls: dict[str, str]
    login: str
    no_login: str
    no_user: str
    unnamed: str
    nobody: str
    sqlite: str
    postgres: str


_DE = _Words(
    _GERMAN,
    "(bitte nennen Sie uns Namen und Port)",
    {"none": "keine", "starttls": "STARTTLS", "tls": "TLS von Anfang an"},
    "Benutzer „{}“",
    "ohne (bitte bestätigen Sie, dass unsere IP-Adresse freigegeben ist)",
    "(bitte nennen Sie uns den Benutzernamen)",
    "(bitte nennen Sie uns einen Namen, etwa https://kurse.{})",
    "noch niemandem; bitte nennen Sie uns die Adresse des Proxys",
    "Die Datenbank darf dabei nicht einfach\n   kopiert werden:"
    " l3mail db backup --with-key schreibt alles in eine Datei, auch im Betrieb.",
    "Dazu kommt die PostgreSQL-Datenbank:\n   l3mail db backup --with-key schreibt beides in"
    " eine Datei.",
)
_EN = _Words(
    _ENGLISH,
    "(please tell us name and port)",
    {"none": "none", "starttls": "STARTTLS", "tls": "TLS from the start"},
    'user "{}"',
    "none (please confirm that our IP address is let in)",
    "(please tell us the user name)",
    "(please give us a name, such as https://courses.{})",
    "nobody yet; please tell us the proxy's address",
    "The database must not simply\n   be copied:"
    " l3mail db backup --with-key puts all into one file, while everything runs.",
    "The PostgreSQL database comes on top:\n   l3mail db backup --with-key puts both into"
    " one file.",
)


def write_letter(settings: Settings, own_name: str, locale: str) -> str:
    """The whole letter, in German or else in English; `own_name` is what we say in EHLO."""
    words = _DE if locale.partition("-")[0] == "de" else _EN
    relay, web, impressum = settings.relay, settings.web, settings.impressum
    address = urlsplit(web.base_url)
    database = urlsplit(settings.database_url)
    on_file = settings.database_file is not None
    bounces = settings.sender.from_.address
    named = address.scheme == "https"
    host = words.unset if settings.relay_is_loopback else f"{relay.host}:{relay.port}"
    signed = (impressum.name or settings.workspace.name, impressum.email, impressum.phone)
    return words.letter.format(
        house=settings.workspace.name,
        relay=host,
        mail="587" if settings.relay_is_loopback else host,
        tls=words.tls["starttls" if settings.relay_is_loopback else relay.tls],
        login=_login(settings, words),
        own_name=own_name,
        sender=settings.sender.from_.text,
        connections=relay.connections,
        messages=relay.messages_per_connection,
        bounces=bounces,
        bounce_domain=bounces.rpartition("@")[2],
        domain=settings.sender_domain,
        spf="..." if settings.relay_is_loopback else relay.host,
        base_url=web.base_url if named else words.unnamed.format(settings.sender_domain),
        host=f" {address.hostname}" if named else "",
        path=f"{address.path}/",
        upstream=f"http://{web.host}:{web.port}",
        proxies=", ".join(web.trusted_proxies) or words.nobody,
        port=web.port,
        database="" if on_file else f", {database.hostname or 'localhost'}:{database.port or 5432}",
        state=settings.state_dir,
        backup=words.sqlite if on_file else words.postgres,
        signature="\n".join(line for line in signed if line),
    )


def _login(settings: Settings, words: _Words) -> str:
    if settings.relay.username:
        return words.login.format(settings.relay.username)
    return words.no_user if settings.relay_is_loopback else words.no_login
