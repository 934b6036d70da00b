"""The steps behind the verbs, one module each; ``run`` takes them all. L10."""
