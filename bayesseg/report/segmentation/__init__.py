"""Pages of ``bayesseg drift``, ``stability`` and ``compare``. L9."""
