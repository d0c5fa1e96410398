"""l3mail: a headless e-mail automation engine and course drip service.

`ls` of this package reads like the story of an e-mail; importing it loads nothing.
"""
