"""``bayesseg verify``: are the files of a run whole and unchanged?"""

from __future__ import annotations

from bayesseg.cli.flags import Run, Signed
from bayesseg.cli.shell import Outcome, Shell


def verify(run: Run, shell: Shell, require_signature: Signed = False) -> Outcome:
    """Judge the files of a run: whole, unchanged, well-formed.

    Loads no draws; the verdict is that of today, for a waiver may have run out. A signature is held
    against the key in the file that BAYESSEG_HMAC_KEY_FILE names.
    (check judges data, validate forecasts.)

    Example: bayesseg verify runs/june
    """
    from bayesseg import posterior
    from bayesseg.gates import judged_today

    manifest = judged_today(posterior.verify(run, signed=require_signature))
    shell.show(
        f"{run} is whole: {len(manifest['files'])} files as written, verdict {manifest['verdict']}"
    )
    keys = ("model_id", "verdict", "files")
    return Outcome({"run": str(run), **{key: manifest[key] for key in keys}})
