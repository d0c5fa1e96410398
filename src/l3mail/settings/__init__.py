"""The configuration of one workspace, read once at the door: `l3mail.toml`, environment, `state/`.

Owns the search for the workspace, every key with its error line, the environment that wins over
the file, the secret files in `state/`, and the rule when mail may leave for a real relay. Must
not know what any of it is for: it imports no module of the house but `errors` and `owners`.
"""

from l3mail.settings.readiness import sending_problems, unready
from l3mail.settings.reading import ENVIRONMENT, FILE, find_workspace, load_settings
from l3mail.settings.sections import (
    DATABASE_FILE,
    FORM_FIELDS,
    Alerts,
    Attribute,
    DatabaseSection,
    Impressum,
    Log,
    Mailbox,
    Relay,
    Sections,
    Sender,
    Settings,
    Signup,
    Stream,
    Timeouts,
    Tracking,
    Uncertain,
    Web,
    Workspace,
)
from l3mail.settings.state import (
    BACKUPS_FOLDER,
    KEY_FILE,
    PEPPER_FILE,
    RESTORING,
    load_pepper,
    load_retired_keys,
    load_secret_keys,
    make_state,
    pepper_of,
    require_secrets,
    sync_folder,
    write_durably,
)

__all__ = [
    "BACKUPS_FOLDER",
    "DATABASE_FILE",
    "ENVIRONMENT",
    "FILE",
    "FORM_FIELDS",
    "KEY_FILE",
    "PEPPER_FILE",
    "RESTORING",
    "Alerts",
    "Attribute",
    "DatabaseSection",
    "Impressum",
    "Log",
    "Mailbox",
    "Relay",
    "Sections",
    "Sender",
    "Settings",
    "Signup",
    "Stream",
    "Timeouts",
    "Tracking",
    "Uncertain",
    "Web",
    "Workspace",
    "find_workspace",
    "load_pepper",
    "load_retired_keys",
    "load_secret_keys",
    "load_settings",
    "make_state",
    "pepper_of",
    "require_secrets",
    "sending_problems",
    "sync_folder",
    "unready",
    "write_durably",
]
