"""The summary and the scores on Spark: the audited SQL and the one kernel, no code of their own. L10.

Extra ``spark`` (PySpark 4, Java 17). Workers need bayesseg too, nothing of PyMC is loaded there. The fit
stays on one machine: see ``docs/scale.md``.
"""

from bayesseg.spark.scores import Scored, score, scored
from bayesseg.spark.session import rows, start
from bayesseg.spark.summary import Summary, collected, summary

__all__ = [
    "Scored",
    "Summary",
    "collected",
    "rows",
    "score",
    "scored",
    "start",
    "summary",
]
