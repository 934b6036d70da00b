"""``bayesseg validate``: do forecasts agree with what came, and posteriors with what was simulated?"""

from __future__ import annotations

from bayesseg.cli.flags import FitFlags, Force, MaybeData, MaybeHtml, SourceFlags, ValidateFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading, validating
from bayesseg.errors import UsageError


def validate(
    source: SourceFlags,
    model: FitFlags,
    what: ValidateFlags,
    shell: Shell,
    data: MaybeData = None,
    out: MaybeHtml = None,
    force: Force = False,
) -> Outcome:
    """Judge forecasts: fit to the past, compare with what came.

    Families, maximum likelihood, plain rules and learners side by side, in purchases and in money; then
    what the data say against the model, and what to do. Exit 4 where even intervals widened by past
    misses do not hold. (check judges data, verify files.)

    Example: bayesseg validate orders.csv --model retail --origins 6 -o forecasts.html
    """
    if what.sbc is not None:
        if any(
            given is not None
            for given in (data, source.from_, what.cut, what.origins, what.families, out)
        ):
            raise UsageError(
                "--sbc judges the computation on simulated data: it goes without DATA, --cut, "
                "--origins, --families and -o",
                fix=f"bayesseg validate --sbc {what.sbc} --model {model.model}",
            )
        return validating.calibrate(model, what, shell)
    if data is None and source.from_ is None:
        raise UsageError(
            "there is no DATA to validate on",
            fix="bayesseg validate orders.csv --origins 6; --sbc N alone needs none",
        )
    if (what.cut is None) == (what.origins is None):
        raise UsageError(
            "validate needs days in the past to forecast from: either --cut or --origins"
            + (", not both" if what.cut is not None else ""),
            fix=f"bayesseg validate {data or 'DATA'} --origins 6 (the verdict), "
            "or --cut 2025-01-31 --horizon 90d",
        )
    data = reading.source_of(data, source, shell)
    return validating.against_what_came(data, out, source, model, what, shell, force=force)
