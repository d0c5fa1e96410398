"""What `init` writes into a new workspace."""

SETTINGS = """\
# l3mail's settings. Lines behind a # show the default; no password belongs into this file.

[workspace]
name = "Bildung in Musterstadt"
# locale = "de"
# timezone = "Europe/Berlin"

[sender]
from = "Bildung in Musterstadt <kurs@example.org>"

# Who answers for these mails (DDG § 5, DSGVO Art. 13). Nothing leaves for a real mail server
# before this and the sender are yours.
[impressum]
name = ""
address = ""
email = ""
privacy_url = ""

# The mail server your IT gives you; its password comes from L3MAIL_SMTP_PASSWORD.
[relay]
host = "127.0.0.1"
# port = 587
# tls = "starttls"
# username = "l3mail"
# connections = 10

# Under which address people reach the pages.
[web]
base_url = "http://127.0.0.1:8000"
"""

IGNORED = """\
# Database, pepper and key: back them up, never commit them.
state/
"""
