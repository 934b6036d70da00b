"""The verbs, in the order in which ``bayesseg --help`` lists them: one module each. L10."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bayesseg.cli.shell import Outcome
from bayesseg.cli.verbs.check import check
from bayesseg.cli.verbs.compare import compare
from bayesseg.cli.verbs.doctor import doctor
from bayesseg.cli.verbs.drift import drift
from bayesseg.cli.verbs.erase import erase
from bayesseg.cli.verbs.export import export
from bayesseg.cli.verbs.fit import fit
from bayesseg.cli.verbs.inspect import inspect
from bayesseg.cli.verbs.prioritise import prioritise
from bayesseg.cli.verbs.push import push
from bayesseg.cli.verbs.report import report
from bayesseg.cli.verbs.run import demo, run
from bayesseg.cli.verbs.score import score
from bayesseg.cli.verbs.segments import segments
from bayesseg.cli.verbs.sql import sql
from bayesseg.cli.verbs.stability import stability
from bayesseg.cli.verbs.stream import stream
from bayesseg.cli.verbs.validate import validate
from bayesseg.cli.verbs.verify import verify

VERBS: Mapping[str, Callable[..., Outcome]] = {
    "run": run,
    "demo": demo,
    "check": check,
    "fit": fit,
    "score": score,
    "segments": segments,
    "compare": compare,
    "stability": stability,
    "drift": drift,
    "report": report,
    "prioritise": prioritise,
    "export": export,
    "push": push,
    "stream": stream,
    "validate": validate,
    "sql": sql,
    "inspect": inspect,
    "verify": verify,
    "erase": erase,
    "doctor": doctor,
}
PLANNED = ("init",)
"""Verbs of later versions."""
