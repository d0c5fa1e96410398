"""What l3mail costs, always beside something else measured in the same minutes.

Absolute figures of a shared machine drift two- to threefold within minutes; ratios taken in one run
do not. Every figure here is a ratio, or a limit that holds on any machine. `python -m bench` prints
goal, measured and verdict; no test asserts a time.
"""
