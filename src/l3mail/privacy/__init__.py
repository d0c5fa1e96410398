"""What people may ask of us about themselves, and what we have to be able to show for it.

Owns the copy of all that is held on a person, and how it is told. What is held belongs to the
parts that keep it. Must not know web or terminals.
"""

from l3mail.privacy.copies import copy_of

__all__ = ["copy_of"]
