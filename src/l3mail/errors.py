"""Every error l3mail raises on purpose: one tree, rooted in `L3mailError`.

An error is one line that says what is wrong, where, and what to do about it;
what a caller needs to decide travels as attributes. Expected outcomes (a relay
that says "later", somebody already unsubscribed) are values, never errors.
This module knows nothing else of the house.
"""


class L3mailError(Exception):
    """Root of the tree; `str()` of it is the one line an operator reads."""


class DatabaseUnavailableError(L3mailError):
    """The database did not take or answer a transaction: locked, full, gone or restarting."""

    def __init__(self, detail: str) -> None:
        """Carry the driver's own words as `detail`."""
        self.detail = detail
        super().__init__(f"database not available: {detail}; nothing was lost, try again")


class SchemaError(L3mailError):
    """The database's schema is not the one this program was made for."""


class SenderBusyError(L3mailError):
    """Another process of this workspace is already sending."""
