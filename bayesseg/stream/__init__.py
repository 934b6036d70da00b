"""Scores kept up to date by purchases as they come. L10.

A purchase counts once: events are remembered by id, and the transaction that counts one in also moves
the offset of its message, in one database. Whoever is silent is scored again by a daily sweep. After it
the table is what ``bayesseg score`` writes of a log of the same events.
"""
