"""Probabilistic customer segmentation: segments, churn and value with honest intervals."""
