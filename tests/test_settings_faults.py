import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from l3mail.errors import SettingsError
from l3mail.settings import Settings, load_settings

CANARY = "hunter2-Canary"


def _load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
    return load_settings(tmp_path, {f"L3MAIL_{name}": value for name, value in environ.items()})


def _problems(tmp_path: Path, toml: str = "", **environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        _load(tmp_path, toml, **environ)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


FAULTS = [
    pytest.param(
        '\n\n[relay]\nprot = 25\nhost = "localhost"',
        'l3mail.toml:4: "relay.prot" is not a key here; did you mean "port"?',
        id="misspelt key",
    ),
    pytest.param(
        '[check]\nclients = ["gmial"]',
        'l3mail.toml:2: "check.clients" is "gmial", no mail program we know; did you mean "gmail"?',
        id="misspelt mail program",
    ),
    pytest.param(
        "[rely]\nport = 25",
        'l3mail.toml:1: "rely" is not a key here; did you mean "relay"?',
        id="misspelt table",
    ),
    pytest.param(
        "[log]\nqqq = 1",
        'l3mail.toml:2: "log.qqq" is not a key here; known are format',
        id="key like no other",
    ),
    pytest.param(
        "relay.timeouts.dott = 1",
        'l3mail.toml:1: "relay.timeouts.dott" is not a key here; did you mean "dot"?',
        id="dotted key",
    ),
    pytest.param(
        "[relay]\n\ntimeouts = { mail = 1, dott = 2 }",
        'l3mail.toml:3: "relay.timeouts.dott" is not a key here; did you mean "dot"?',
        id="key in an inline table",
    ),
    pytest.param(
        '[workspace]\nname = """\n[relay]\nprot = 1\n"""\nlocal = "de"',
        'l3mail.toml:6: "workspace.local" is not a key here; did you mean "locale"?',
        id="key after a text that looks like keys",
    ),
    pytest.param(
        '[alerts]\nto = [\n  "a@dresden.de", # ]\n]\napprover = []',
        'l3mail.toml:5: "alerts.approver" is not a key here; did you mean "approvers"?',
        id="key after a list of several lines",
    ),
    pytest.param(
        '[sender]\nfrom_ = "a@dresden.de"',
        'l3mail.toml:2: "sender.from_" is not a key here; did you mean "from"?',
        id="the name inside the program is no key",
    ),
    pytest.param(
        'folder = "/"',
        'l3mail.toml:1: "folder" is not a key here; known are alerts, attributes, check,'
        " database, design, impressum, log, privacy, relay, reports, retention, sender, sending,"
        " signup, streams, tracking, uncertain, web, workspace",
        id="what the program adds is no key",
    ),
    pytest.param(
        '[relay]\nport = "25"',
        'l3mail.toml:2: "relay.port" is "25", expected a whole number from 1 to 65535;'
        " write port = 587",
        id="text for a number",
    ),
    pytest.param(
        "[relay]\nport = 0",
        'l3mail.toml:2: "relay.port" is 0, expected a whole number from 1 to 65535;'
        " write port = 587",
        id="number too low",
    ),
    pytest.param(
        "[relay]\nconnections = 51",
        'l3mail.toml:2: "relay.connections" is 51, expected a whole number from 1 to 50;'
        " write connections = 10",
        id="number too high",
    ),
    pytest.param(
        "[relay]\nconnections = true",
        'l3mail.toml:2: "relay.connections" is true, expected a whole number from 1 to 50;'
        " write connections = 10",
        id="truth for a number",
    ),
    pytest.param(
        "[relay]\nper_hour = -1",
        'l3mail.toml:2: "relay.per_hour" is -1, expected a whole number from 0;'
        " write per_hour = 5000",
        id="less than no mail in an hour",
    ),
    pytest.param(
        '[relay]\nconnection_age = "5m"',
        'l3mail.toml:2: "relay.connection_age" is "5m", expected a number of seconds from 0;'
        " write connection_age = 300",
        id="a duration in words",
    ),
    pytest.param(
        '[relay.domains]\n"gmx.de" = { at_once = 0.5 }',
        'l3mail.toml:2: "relay.domains.gmx.de.at_once" is 0.5, expected a whole number from 0;'
        " write at_once = 2",
        id="half a dialogue",
    ),
    pytest.param(
        '[relay.domains."gmx.de"]\nper_hour = 5',
        'l3mail.toml:2: "relay.domains.gmx.de.per_hour" is not a key here;'
        " known are at_once, per_minute",
        id="key a domain has not",
    ),
    pytest.param(
        '[relay.domains]\n"gmx.de" = 5',
        'l3mail.toml:2: "relay.domains.gmx.de" is 5, expected a table;'
        ' write [relay.domains."gmx.de"]',
        id="number for a domain",
    ),
    pytest.param(
        '[relay.domains]\n"@gmx" = { at_once = 1 }',
        'l3mail.toml:2: "relay.domains.@gmx" is "@gmx", no domain of recipients;'
        ' write "gmx.de", or "*" for others',
        id="no domain",
    ),
    pytest.param(
        "[relay.timeouts]\ndot = 0",
        'l3mail.toml:2: "relay.timeouts.dot" is 0, expected a number of seconds above 0;'
        " write dot = 600",
        id="no time at all",
    ),
    pytest.param(
        "[relay.timeouts]\ndot = inf",
        'l3mail.toml:2: "relay.timeouts.dot" is inf, expected a number of seconds above 0;'
        " write dot = 600",
        id="endless time",
    ),
    pytest.param(
        '[relay]\ntls = "ssl"',
        'l3mail.toml:2: "relay.tls" is "ssl", expected one of "none", "starttls", "tls";'
        ' write tls = "none"',
        id="word that is no choice",
    ),
    pytest.param(
        '[relay]\nhost = "smtp://mail"',
        'l3mail.toml:2: "relay.host" is "smtp://mail", expected a host name;'
        ' write host = "mail.example.org"',
        id="URL for a host",
    ),
    pytest.param(
        "relay = 5",
        'l3mail.toml:1: "relay" is 5, expected a table; write [relay]',
        id="number for a table",
    ),
    pytest.param(
        "[relay]\ntimeouts = []",
        'l3mail.toml:2: "relay.timeouts" is a list, expected a table; write [relay.timeouts]',
        id="list for a table",
    ),
    pytest.param(
        "[[relay]]\nport = 25",
        'l3mail.toml:1: "relay" is a list, expected a table; write [relay]',
        id="double brackets",
    ),
    pytest.param(
        "streams = 1",
        'l3mail.toml:1: "streams" is 1, expected a table; write [streams]',
        id="number for a table of tables",
    ),
    pytest.param(
        '[workspace]\ntimezone = "Europe/Berlim"',
        'l3mail.toml:2: "workspace.timezone" is "Europe/Berlim", not a time zone;'
        ' did you mean "Europe/Berlin"?',
        id="misspelt zone",
    ),
    pytest.param(
        '[workspace]\ntimezone = "../../etc/passwd"',
        'l3mail.toml:2: "workspace.timezone" is "../../etc/passwd", not a time zone;'
        ' did you mean "Europe/Berlin"?',
        id="path for a zone",
    ),
    pytest.param(
        '[workspace]\ntimezone = "Europe"',
        'l3mail.toml:2: "workspace.timezone" is "Europe", not a time zone;'
        ' did you mean "Europe/Rome"?',
        id="folder of zones",
    ),
    pytest.param(
        '[workspace]\nlocale = "deutsch!"',
        'l3mail.toml:2: "workspace.locale" is "deutsch!", expected a language tag;'
        ' write locale = "de"',
        id="no language tag",
    ),
    pytest.param(
        '[sender]\nfrom = "Stadt Dresden"',
        'l3mail.toml:2: "sender.from" is "Stadt Dresden", expected a sender;'
        ' write "Name <name@example.org>"',
        id="sender without an address",
    ),
    pytest.param(
        '[sender]\nfrom = "Stadt <stadt@dresden>"',
        'l3mail.toml:2: "sender.from" is "Stadt <stadt@dresden>", not an address we can mail: The'
        " part after the @-sign is not valid. It should have a period;"
        ' write "name@example.org"',
        id="sender with half an address",
    ),
    pytest.param(
        '[sender]\nfrom = "Jörg <jörg@dresden.de>"',
        'l3mail.toml:2: "sender.from" is "Jörg <jörg@dresden.de>", not an address we can mail:'
        " Internationalized characters before the @-sign are not supported: 'ö';"
        ' write "name@example.org"',
        id="sender no plain relay takes",
    ),
    pytest.param(
        '[sender]\nfrom = "A\\r\\nBcc: b@x.de <a@dresden.de>"',
        'l3mail.toml:2: "sender.from" is "A\\r\\nBcc: b@x.de <a@dresden.de>", expected a sender;'
        ' write "Name <name@example.org>"',
        id="sender with a second header",
    ),
    pytest.param(
        '[sender]\nfrom = "=?utf-8?q?x?= <a@dresden.de>"',
        'l3mail.toml:2: "sender.from" is "=?utf-8?q?x?= <a@dresden.de>", expected a sender;'
        ' write "Name <name@example.org>"',
        id="sender with an encoded word",
    ),
    pytest.param(
        '[sender]\nfrom = { name = "x", address = "y\\r\\nz" }',
        'l3mail.toml:2: "sender.from" expected a sender; write "Name <name@example.org>"',
        id="sender as a table would be unchecked",
    ),
    pytest.param(
        '[sender]\nreply_to = "nobody"',
        'l3mail.toml:2: "sender.reply_to" is "nobody", not an address we can mail: An email'
        ' address must have an @-sign; write "name@example.org"',
        id="reply to nobody",
    ),
    pytest.param(
        '[alerts]\nto = "it@dresden.de"',
        'l3mail.toml:2: "alerts.to" is "it@dresden.de", expected a list of addresses;'
        ' write to = ["it@example.org"]',
        id="text for a list",
    ),
    pytest.param(
        '[alerts]\nto = ["it@dresden.de", 5]',
        'l3mail.toml:2: "alerts.to" is 5, expected a list of addresses;'
        ' write to = ["it@example.org"]',
        id="number in a list of addresses",
    ),
    pytest.param(
        '[web]\nbase_url = "dresden.de"',
        'l3mail.toml:2: "web.base_url" is "dresden.de", expected a web address;'
        ' write "https://kurse.example.org"',
        id="web address without https",
    ),
    pytest.param(
        '[web]\nbase_url = "https://[::1"',
        'l3mail.toml:2: "web.base_url" is "https://[::1", expected a web address;'
        ' write "https://kurse.example.org"',
        id="broken web address",
    ),
    pytest.param(
        '[web]\nbase_url = "https://dresden.de:99999"',
        'l3mail.toml:2: "web.base_url" is "https://dresden.de:99999", expected a web address;'
        ' write "https://kurse.example.org"',
        id="web address with no port",
    ),
    pytest.param(
        '[web]\nbase_url = "https://dresden.de:0"',
        'l3mail.toml:2: "web.base_url" is "https://dresden.de:0", expected a web address;'
        ' write "https://kurse.example.org"',
        id="web address with port 0",
    ),
    pytest.param(
        '[web]\nbase_url = ""',
        'l3mail.toml:2: "web.base_url" is "", expected a web address;'
        ' write "https://kurse.example.org"',
        id="empty web address",
    ),
    pytest.param(
        '[web]\ntrusted_proxies = ["10.0.0.1/8"]',
        'l3mail.toml:2: "web.trusted_proxies" is "10.0.0.1/8", no address or network;'
        ' write one such as "10.0.0.0/8"',
        id="network with host bits",
    ),
    pytest.param(
        '[signup]\nfields = ["Vorname"]',
        'l3mail.toml:2: "signup.fields" is "Vorname", expected a list of field names;'
        ' write fields = ["first_name", "district"]',
        id="field in another language",
    ),
    pytest.param(
        '[signup]\nfields = ["first_name", "distrikt"]',
        'l3mail.toml:2: "signup.fields" names "distrikt", which no form asks;'
        ' did you mean "district"?',
        id="misspelt field",
    ),
    pytest.param(
        '[signup]\nfields = ["rollen"]\n[attributes.rolle]\ntype = "text"',
        'l3mail.toml:2: "signup.fields" names "rollen", which no form asks; did you mean "rolle"?',
        id="misspelt attribute in the form",
    ),
    pytest.param(
        '[signup]\nfields = ["xyz"]',
        'l3mail.toml:2: "signup.fields" names "xyz", which no form asks; known are first_name,'
        " last_name, salutation, birthday, district; declare it as [attributes.xyz] or take it out",
        id="field like no other",
    ),
    pytest.param(
        "[retention]\nunconfirmed_days = 0",
        'l3mail.toml:2: "retention.unconfirmed_days" is 0, expected a whole number from 1 to 30;'
        " write unconfirmed_days = 7",
        id="a sign-up nobody has time to confirm",
    ),
    pytest.param(
        '[privacy]\nproof_on_erasure = "delete"',
        'l3mail.toml:2: "privacy.proof_on_erasure" is "delete", expected one of "keep", "erase";'
        ' write proof_on_erasure = "keep"',
        id="neither kept nor erased",
    ),
    pytest.param(
        '[sending]\nquiet_hours = "20-8"',
        'l3mail.toml:2: "sending.quiet_hours" is "20-8", expected hours of the day;'
        ' write quiet_hours = "20:00-08:00"',
        id="hours without minutes",
    ),
    pytest.param(
        '[sending]\nquiet_hours = "08:00-08:00"',
        'l3mail.toml:2: "sending.quiet_hours" is "08:00-08:00", a whole day;'
        ' write "20:00-08:00", or halt what is not to go out',
        id="a day that is quiet as a whole",
    ),
    pytest.param(
        "[sending]\nfrequency_cap = { mails = 3, day = 7 }",
        'l3mail.toml:2: "sending.frequency_cap.day" is not a key here; did you mean "days"?',
        id="misspelt key of the cap",
    ),
    pytest.param(
        "[sending]\nfrequency_cap = { mails = -1 }",
        'l3mail.toml:2: "sending.frequency_cap.mails" is -1, expected a whole number from 0;'
        " write mails = 3",
        id="a cap below none",
    ),
    pytest.param(
        "[sending]\ntwo_persons = 2",
        'l3mail.toml:2: "sending.two_persons" is 2, expected true or false;'
        " write two_persons = true",
        id="persons counted",
    ),
    pytest.param(
        "[signup]\nper_network = 0",
        'l3mail.toml:2: "signup.per_network" is 0, expected a whole number from 1;'
        " write per_network = 60",
        id="ceiling nobody passes",
    ),
    pytest.param(
        "[signup]\nper_source = 0",
        'l3mail.toml:2: "signup.per_source" is 0, expected a whole number from 1;'
        " write per_source = 1000",
        id="event nobody enters",
    ),
    pytest.param(
        '[streams.news]\ntitle = "Neu =? Alt"',
        'l3mail.toml:2: "streams.news.title" is "Neu =? Alt", a text no mail header may hold;'
        ' write it in one line and without "=?"',
        id="a title no header holds",
    ),
    pytest.param(
        "[streams.news]\nkind = 'newsletter'",
        'l3mail.toml:1: "streams.news.title" is missing; write title = "Bildung im Stadtteil"',
        id="missing key",
    ),
    pytest.param(
        '[streams."Neue Kurse"]\ntitle = "x"',
        'l3mail.toml:1: "streams.Neue Kurse" is "Neue Kurse", expected a name of a-z, 0-9 and -;'
        " rename it",
        id="stream that is no slug",
    ),
    pytest.param(
        "[attributes.email]\ntype = 'text'",
        'l3mail.toml:1: "attributes.email" is "email", no free name for an attribute;'
        " take another of a-z, 0-9 and _",
        id="attribute with a taken name",
    ),
    pytest.param(
        "[attributes.rolle]\ntype = 'choice'",
        'l3mail.toml:1: "attributes.rolle" needs choices = ["a", "b"] with type = "choice",'
        " and only with it",
        id="choice without choices",
    ),
    pytest.param(
        "[attributes.rolle]\nchoices = ['a']",
        'l3mail.toml:1: "attributes.rolle" needs choices = ["a", "b"] with type = "choice",'
        " and only with it",
        id="choices without choice",
    ),
    pytest.param(
        '[database]\nurl = "mysql://h/db"',
        'l3mail.toml:2: "database.url" is not shown here, no database we know;'
        ' write "postgresql://host/name" or "sqlite:///file"',
        id="database we do not speak",
    ),
    pytest.param(
        '[database]\nurl = "sqlite://"',
        'l3mail.toml:2: "database.url" is not shown here, in memory, where mail would be lost;'
        ' write "sqlite:///file"',
        id="database in memory",
    ),
    pytest.param(
        '[database]\nurl = "sqlite:///:memory:"',
        'l3mail.toml:2: "database.url" is not shown here, in memory, where mail would be lost;'
        ' write "sqlite:///file"',
        id="database in memory by name",
    ),
    pytest.param(
        "[relay\nport = 25",
        'l3mail.toml:1: "[relay" is no table; write it as [relay], with both brackets',
        id="bracket left open",
    ),
    pytest.param(
        "[relay]\n\nhost = localhost",
        'l3mail.toml:3: the value of "host" cannot be read; write a text in straight quotes,'
        ' host = "…", a number in digits, host = 10, a switch as true or false',
        id="text without quotes",
    ),
    pytest.param(
        "[relay]\npassword = geheim",
        'l3mail.toml:2: the value of "password" cannot be read; write a text in straight quotes,'
        ' password = "…", a number in digits, password = 10, a switch as true or false',
        id="password without quotes, which is not shown",
    ),
    pytest.param(
        "[relay]\nhost = \u201cmail.example.org\u201d",
        'l3mail.toml:2: the quotes are typographic ones; write host = "…" with straight quotes',
        id="quotes of a word processor",
    ),
    pytest.param(
        '[relay]\nhost = "a"\nhost = "b"',
        'l3mail.toml:3: "host" stands here again; keep one of the two lines',
        id="key twice",
    ),
    pytest.param(
        '[relay]\nhost = "a"\n[web]\n[relay]\nport = 25',
        "l3mail.toml:4: [relay] stands here again; put its lines below the first [relay]",
        id="table twice",
    ),
    pytest.param(
        '[relay]\nhost = "mail.example.org:587"',
        'l3mail.toml:2: "relay.host" is "mail.example.org:587", host and port in one;'
        ' write host = "mail.example.org" and port = 587',
        id="host and port in one",
    ),
    pytest.param(
        '[workspace]\ntimezone = "MEZ"',
        'l3mail.toml:2: "workspace.timezone" is "MEZ", not a time zone;'
        ' did you mean "Europe/Berlin"?',
        id="zone by its German letters",
    ),
    pytest.param(
        '[relay]\nhost = """\nx\n',
        "l3mail.toml:3: Unterminated string;"
        ' write tables as [relay] and texts as host = "localhost"',
        id="end of the file inside a text",
    ),
]


@pytest.mark.parametrize(("toml", "line"), FAULTS)
def test_fault_in_the_file_is_one_line_with_place_and_mend(
    tmp_path: Path, toml: str, line: str
) -> None:
    assert _problems(tmp_path, toml) == [line]


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        pytest.param(
            f'[relay]\npassword = "{CANARY}"',
            'l3mail.toml:2: "relay.password" must not stand in this file;'
            " delete the line and set L3MAIL_SMTP_PASSWORD in the environment",
            id="password",
        ),
        pytest.param(
            f'[relay]\nPasswrd = "{CANARY}"',
            'l3mail.toml:2: "relay.Passwrd" must not stand in this file;'
            " delete the line and set L3MAIL_SMTP_PASSWORD in the environment",
            id="misspelt password",
        ),
        pytest.param(
            f'[relay]\nPASSWORD = "{CANARY}"',
            'l3mail.toml:2: "relay.PASSWORD" must not stand in this file;'
            " delete the line and set L3MAIL_SMTP_PASSWORD in the environment",
            id="shouted password",
        ),
        pytest.param(
            f'\nsecret_key = "{CANARY}"',
            'l3mail.toml:2: "secret_key" must not stand in this file;'
            " delete the line and set L3MAIL_SECRET_KEY in the environment",
            id="secret key at the top",
        ),
        pytest.param(
            f'[web]\nsecret_key = "{CANARY}"',
            'l3mail.toml:2: "web.secret_key" must not stand in this file;'
            " delete the line and set L3MAIL_SECRET_KEY in the environment",
            id="secret key in a table",
        ),
        pytest.param(
            f'[database]\npassword = "{CANARY}"',
            'l3mail.toml:2: "database.password" must not stand in this file;'
            " delete the line and set L3MAIL_DATABASE_URL in the environment",
            id="database password",
        ),
        pytest.param(
            f'[database]\nurl = "postgresql://l3:{CANARY}@h/db"',
            'l3mail.toml:2: "database.url" holds a password, which must not stand in this file;'
            " delete the line and set L3MAIL_DATABASE_URL in the environment",
            id="password in the database address",
        ),
        pytest.param(
            f'[database]\nurl = "postgresql://l3:p/#@{CANARY}@h/db"',
            'l3mail.toml:2: "database.url" holds a password, which must not stand in this file;'
            " delete the line and set L3MAIL_DATABASE_URL in the environment",
            id="password that breaks the address",
        ),
        pytest.param(
            f'[database]\nurl = "postgresql://h/db?user=l3&password={CANARY}"',
            'l3mail.toml:2: "database.url" holds a password, which must not stand in this file;'
            " delete the line and set L3MAIL_DATABASE_URL in the environment",
            id="password as a parameter",
        ),
    ],
)
def test_secret_in_the_file_is_refused_and_sent_to_its_variable(
    tmp_path: Path, toml: str, line: str
) -> None:
    assert _problems(tmp_path, toml) == [line]
    assert _problems(tmp_path, toml, DATABASE_URL="sqlite:////srv/l3.db") == [line]


def test_user_name_without_password_may_stand_in_the_file(tmp_path: Path) -> None:
    settings = _load(tmp_path, '[database]\nurl = "postgresql://l3@h:5432/db"')

    assert settings.database_url == "postgresql+psycopg://l3@h:5432/db"


def test_all_faults_are_told_in_the_order_of_the_file_then_the_environment(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path,
        '[web]\nprot = 1\n[log]\nformat = "xml"\n[database]\nurl = "x://a:b@c"\n[relay]\nport = 0',
        SMTP_TLS="ssl",
    )

    assert [problem.split(" ")[0] for problem in problems] == [
        "l3mail.toml:2:",
        "l3mail.toml:4:",
        "l3mail.toml:6:",
        "l3mail.toml:6:",
        "l3mail.toml:8:",
        "L3MAIL_SMTP_TLS",
    ]


def test_file_that_is_not_utf8_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "l3mail.toml").write_bytes(b'[workspace]\nname = "B\xfcro"\n')

    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})

    assert caught.value.problems == [
        "l3mail.toml:2: this line is not UTF-8 text; save the file as UTF-8"
    ]


def test_hostile_value_stays_on_one_line(tmp_path: Path) -> None:
    [line] = _problems(tmp_path, '[relay]\ntls = "\\u001b[31m\\n\\u202e' + "x" * 500 + '"')

    assert line.isprintable()
    assert len(line) < 200


def test_table_of_the_file_that_is_none_stays_a_fault_under_the_environment(tmp_path: Path) -> None:
    assert _problems(tmp_path, "relay = 5", SMTP_PORT="25") == [
        'l3mail.toml:1: "relay" is 5, expected a table; write [relay]'
    ]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        pytest.param(
            "SMTP_PORT",
            "abc",
            'L3MAIL_SMTP_PORT is "abc", expected a whole number from 1 to 65535;'
            " set L3MAIL_SMTP_PORT=587",
            id="no number",
        ),
        pytest.param(
            "SMTP_PORT",
            "70000",
            "L3MAIL_SMTP_PORT is 70000, expected a whole number from 1 to 65535;"
            " set L3MAIL_SMTP_PORT=587",
            id="no port",
        ),
        pytest.param(
            "SMTP_TLS",
            "ssl",
            'L3MAIL_SMTP_TLS is "ssl", expected one of "none", "starttls", "tls";'
            " set L3MAIL_SMTP_TLS=none",
            id="no choice",
        ),
        pytest.param(
            "FROM",
            "x",
            'L3MAIL_FROM is "x", not an address we can mail: An email address must have an'
            ' @-sign; write "name@example.org"',
            id="no sender",
        ),
        pytest.param(
            "BASE_URL",
            f"https://u:{CANARY}@dresden.de",
            'L3MAIL_BASE_URL is not shown here, expected a web address; write "https://kurse.example.org"',
            id="web address with a password",
        ),
        pytest.param(
            "DATABASE_URL",
            f"mysql://u:{CANARY}@h/db",
            "L3MAIL_DATABASE_URL is not shown here, no database we know;"
            ' write "postgresql://host/name" or "sqlite:///file"',
            id="unknown database with a password",
        ),
        pytest.param(
            "SECRET_KEY",
            f"{CANARY},,{CANARY}",
            "L3MAIL_SECRET_KEY holds an empty key; write keys with one comma between them",
            id="empty key",
        ),
    ],
)
def test_fault_in_the_environment_names_its_variable(
    tmp_path: Path, name: str, value: str, line: str
) -> None:
    assert _problems(tmp_path, "", **{name: value}) == [line]


def test_secrets_never_show(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        SMTP_PASSWORD=CANARY,
        SECRET_KEY=f"{CANARY}1, {CANARY}2",
        DATABASE_URL=f"postgresql://l3:{CANARY}@h/db",
    )

    assert settings.smtp_password == SecretStr(CANARY)
    assert settings.secret_keys == (SecretStr(f"{CANARY}1"), SecretStr(f"{CANARY}2"))
    assert f"l3:{CANARY}@h" in settings.database_url
    for shown in (
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        f"{settings.model_dump()}",
    ):
        assert CANARY not in shown


@pytest.mark.parametrize(
    ("toml", "environ"),
    [
        ("[relay]\nport = 0", {}),
        (f'[relay]\npassword = "{CANARY}"', {}),
        (f'[database]\nurl = "postgresql://u:{CANARY}@h"', {}),
        (f'[database]\nurl = "nosql://u:{CANARY}@h"', {}),
        (f'[web]\nbase_url = "https://u:{CANARY}@dresden.de"', {}),
        (f'[alerts]\nheartbeat_url = "https://u:{CANARY}@dresden.de"', {}),
        ("", {"L3MAIL_DATABASE_URL": f"nosql://u:{CANARY}@h"}),
        ("", {"L3MAIL_SMTP_PORT": "x"}),
    ],
)
def test_no_traceback_of_a_fault_shows_a_secret(
    tmp_path: Path, toml: str, environ: dict[str, str]
) -> None:
    (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
    secret = {"L3MAIL_SMTP_PASSWORD": CANARY, "L3MAIL_SECRET_KEY": CANARY}

    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, secret | environ)

    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_misspelt_variable_is_told_and_a_strange_one_is_left_alone(tmp_path: Path) -> None:
    assert _problems(tmp_path, SMPT_HOST="mail.example.org") == [
        "L3MAIL_SMPT_HOST is not a variable of ours; did you mean L3MAIL_SMTP_HOST?"
    ]
    _load(tmp_path, BACKUP_DIR="/srv", WORKSPACE=str(tmp_path))
