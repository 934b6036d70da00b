"""``bayesseg validate``: do forecasts agree with what came, and posteriors with what was simulated?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bayesseg.cli.flags import (
    LANGUAGE,
    SEED,
    FitFlags,
    Force,
    Lang,
    MaybeData,
    MaybeHtml,
    SourceFlags,
    TruthFlags,
    ValidateFlags,
    argv,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import campaign, reading, record, validating
from bayesseg.errors import UsageError


def validate(
    source: SourceFlags,
    model: FitFlags,
    what: ValidateFlags,
    truth: TruthFlags,
    shell: Shell,
    data: MaybeData = None,
    out: MaybeHtml = None,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Judge forecasts: fit to the past, compare with what came.

    Families, maximum likelihood, plain rules and learners side by side, in purchases and in money; then
    what the data say against the model, and what to do. Exit 4 where even intervals widened by past
    misses do not hold. (check judges data, verify files.)

    With --scores OLD what was promised is held against what came, and kept in a log; with --campaign
    LIST those contacted are compared with those held out.

    Example: bayesseg validate orders.csv --model retail --origins 6 -o forecasts.html
    """
    if truth.scores is not None or truth.campaign is not None:
        return _of_the_past(data, source, model, what, truth, out, shell)
    if argv(truth):
        raise UsageError(
            f"{argv(truth)[0]} goes with --scores OLD or --campaign LIST", fix="give one of them"
        )
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
    return validating.against_what_came(
        data, out, source, model, what, shell, lang=lang, force=force
    )


def _of_the_past(
    data: str | None,
    source: SourceFlags,
    model: FitFlags,
    what: ValidateFlags,
    truth: TruthFlags,
    out: Path | None,
    shell: Shell,
) -> Outcome:
    """What was promised or done before, against what came: nothing is fitted."""
    own = ["--scores", "--record"] if truth.scores is not None else ["--campaign", *_OF_CAMPAIGNS]
    given = argv(truth, replace(model, seed=SEED), what) + ([] if out is None else ["--out"])
    if others := [word for word in given if word.startswith("--") and word not in own]:
        raise UsageError(f"{others[0]} does not go with {own[0]}", fix="leave one of them out")
    if truth.campaign is not None:
        return campaign.read_out(data, source, truth, what.horizon_days, model.seed, shell)
    assert truth.scores is not None
    data = reading.source_of(data, source, shell)
    return record.held_against(data, source, truth.scores, truth.record, shell)


_OF_CAMPAIGNS = ("--outcomes", "--contacted-on", "--save-rate", "--horizon")
