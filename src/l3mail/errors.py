"""Every error l3mail raises on purpose: one tree, rooted in `L3mailError`.

An error is one line that says what is wrong, where, and what to do about it;
what a caller needs to decide travels as attributes. Expected outcomes (a relay
that says "later", somebody already unsubscribed) are values, never errors.
This module knows nothing else of the house.
"""


class L3mailError(Exception):
    """Root of the tree; `str()` of it is the one line an operator reads."""
