"""Which segments, do they hold, have they changed? L7.

``compare`` and ``choose`` find how many; ``stability`` asks whether those of a run come back; ``drift``
holds them against a later period; ``align`` carries names over to a refit.
"""
