"""Putting the parts together for one workspace.

The only place that knows both what the settings say and what the parts need. A part is loaded when
it is asked for: who lists a queue waits for no compiler of texts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l3mail.wiring.agendas import make_agenda
    from l3mail.wiring.contents import (
        MEDIA_FOLDER,
        Publication,
        compile_content,
        compile_sources,
        publish_content,
        read_content,
        set_up,
        store_media,
    )
    from l3mail.wiring.databases import (
        LOCK_FILE,
        is_founded,
        only_sender,
        open_database,
        require_founded,
        require_nothing_lost,
    )
    from l3mail.wiring.duties import make_asking, make_duty, make_watched_agenda
    from l3mail.wiring.erasures import erase_again, erased_since, leave_no_trace
    from l3mail.wiring.handovers import handed_over
    from l3mail.wiring.mails import (
        INERT,
        LINKS,
        OF_NOBODY,
        SHARED,
        common_values,
        composer,
        links_of,
        neutral_values,
        rendered,
        unmeasured,
        workspace_uuid,
    )
    from l3mail.wiring.papers import certificate, handout
    from l3mail.wiring.previews import (
        Tracking,
        make_trial,
        person_of,
        preview_addresses,
        preview_mail,
        preview_measuring,
        preview_values,
        tracking_of,
    )
    from l3mail.wiring.reporting import report_terms, weekly_letter
    from l3mail.wiring.restores import (
        Reconciliation,
        detect_restore,
        require_reconciled,
        suspect_restore,
        undetected_restore,
    )
    from l3mail.wiring.rules import (
        asking_terms,
        declare_streams,
        load_tokens,
        make_rules,
        restraint_of,
        retention_terms,
        staff_of,
        trigger_terms,
    )
    from l3mail.wiring.senders import make_relay, make_sender, who_sends
    from l3mail.wiring.surveys import Survey, survey_content

__all__ = [
    "INERT",
    "LINKS",
    "LOCK_FILE",
    "MEDIA_FOLDER",
    "OF_NOBODY",
    "SHARED",
    "Publication",
    "Reconciliation",
    "Survey",
    "Tracking",
    "asking_terms",
    "certificate",
    "common_values",
    "compile_content",
    "compile_sources",
    "composer",
    "declare_streams",
    "detect_restore",
    "erase_again",
    "erased_since",
    "handed_over",
    "handout",
    "is_founded",
    "leave_no_trace",
    "links_of",
    "load_tokens",
    "make_agenda",
    "make_asking",
    "make_duty",
    "make_relay",
    "make_rules",
    "make_sender",
    "make_trial",
    "make_watched_agenda",
    "neutral_values",
    "only_sender",
    "open_database",
    "person_of",
    "preview_addresses",
    "preview_mail",
    "preview_measuring",
    "preview_values",
    "publish_content",
    "read_content",
    "rendered",
    "report_terms",
    "require_founded",
    "require_nothing_lost",
    "require_reconciled",
    "restraint_of",
    "retention_terms",
    "set_up",
    "staff_of",
    "store_media",
    "survey_content",
    "suspect_restore",
    "tracking_of",
    "trigger_terms",
    "undetected_restore",
    "unmeasured",
    "weekly_letter",
    "who_sends",
    "workspace_uuid",
]

_PARTS = {
    "agendas": "make_agenda",
    "contents": (
        "MEDIA_FOLDER Publication compile_content compile_sources publish_content read_content"
        " set_up store_media"
    ),
    "databases": (
        "LOCK_FILE is_founded only_sender open_database require_founded require_nothing_lost"
    ),
    "duties": "make_asking make_duty make_watched_agenda",
    "erasures": "erase_again erased_since leave_no_trace",
    "handovers": "handed_over",
    "mails": (
        "INERT LINKS OF_NOBODY SHARED common_values composer links_of neutral_values rendered"
        " unmeasured workspace_uuid"
    ),
    "papers": "certificate handout",
    "previews": (
        "Tracking make_trial person_of preview_addresses preview_mail preview_measuring"
        " preview_values tracking_of"
    ),
    "reporting": "report_terms weekly_letter",
    "restores": (
        "Reconciliation detect_restore require_reconciled suspect_restore undetected_restore"
    ),
    "rules": (
        "asking_terms declare_streams load_tokens make_rules restraint_of retention_terms staff_of"
        " trigger_terms"
    ),
    "senders": "make_relay make_sender who_sends",
    "surveys": "Survey survey_content",
}
_HOMES = {name: part for part, names in _PARTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """A name of `__all__` from its part (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
