"""Simulation-based calibration: does the computation recover what it simulated? L8."""

from bayesseg.calibration.design import Design
from bayesseg.calibration.run import HEADERS, run, said, sbc, table
from bayesseg.calibration.simulations import Job

__all__ = ["HEADERS", "Design", "Job", "run", "said", "sbc", "table"]
