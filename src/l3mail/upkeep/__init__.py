"""Upkeep: what keeps the house outside the way of a mail.

Owns the units and proxy blocks of a server, the check-up of a workspace and its surroundings, and
the letter that asks the city's IT for what only they can give. Changes no row and sends no mail.
"""
