"""What a CRM is told of each customer: rounded, sticky, never noise. L9.

A night without purchases moves nearly every number by a little. Each row that is written again costs
money there and starts automations, so a row says what it said until one of its numbers has truly moved.
"""

from bayesseg.feed.news import Delta, Radius, accept_radius, delta, radius, whole
from bayesseg.feed.rows import COLUMNS, feed

__all__ = ["COLUMNS", "Delta", "Radius", "accept_radius", "delta", "feed", "radius", "whole"]
