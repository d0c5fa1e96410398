"""The order in which the outbox is claimed: `delivery.lane`."""

LANES = (0, 1, 2)
LANE_OF_COURSES = 1
LANE_OF_BULK = 2
"""Claim order of `delivery.lane`: requests and staff, then courses, then bulk.

Somebody who waits for a confirmation is not to wait behind fifty thousand newsletters.
"""
