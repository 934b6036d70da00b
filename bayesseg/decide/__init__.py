"""From scores to who is turned to: lists, what a contact brings, a budget, a hold-out. L8."""

from bayesseg.decide.lists import STAKE, facts_of, lapsed, ranked, reasons

__all__ = ["STAKE", "facts_of", "lapsed", "ranked", "reasons"]
