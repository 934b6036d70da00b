"""Engines: (family, priors, data, seed) to draws. PyMC and PyTensor live here and nowhere else."""
