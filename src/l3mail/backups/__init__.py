"""Backups: one file with all that a workspace's rows need to live again, made while it works.

Owns what is in the file, how it is made and judged, and how it is put back. Knows neither what
rows mean nor who may be mailed: a database that is put back waits for `db reconcile`.
"""

from l3mail.backups.archives import Manifest, opened_archive
from l3mail.backups.making import Backup, back_up, prune
from l3mail.backups.restoring import Plan, Restored, inspect, restore, set_leftovers_aside
from l3mail.backups.staging import Settled, is_torn, leftovers, settle_restore

__all__ = [
    "Backup",
    "Manifest",
    "Plan",
    "Restored",
    "Settled",
    "back_up",
    "inspect",
    "is_torn",
    "leftovers",
    "opened_archive",
    "prune",
    "restore",
    "set_leftovers_aside",
    "settle_restore",
]
