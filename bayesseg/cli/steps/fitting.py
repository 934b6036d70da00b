"""From customers to a judged run on disk."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, remove
from bayesseg.cli.flags import FitFlags, LineageFlags, WaiverFlags
from bayesseg.cli.parameters import parameters
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Shell, heed
from bayesseg.cli.steps.reading import Loaded, buyers, write_quarantine
from bayesseg.cli.steps.scoring import opened
from bayesseg.cli.text import gate_table, parameter_table, verdict_lines
from bayesseg.errors import GateFailed, UsageError

if TYPE_CHECKING:
    from bayesseg.gates import Waiver
    from bayesseg.posterior import Posterior
    from bayesseg.segment_map import SegmentMap
    from bayesseg.spec import ModelSpec

    type Before = tuple[Posterior | None, SegmentMap | None]

LARGE_BYTES = 30_000_000
"""A file above this has so many customers that ``auto`` most likely samples without PyMC."""
STATISTICS, COMPONENTS, INVARIANTS = 10, 10, 450
"""About how many numbers are kept of a draw, beside the parameters and of a mixture."""
NEAR = 20.0
"""Nats within which another segmentation is worth a line beside the verdict."""


def warm_up(spec: ModelSpec, data: str) -> None:
    """Start importing the sampler in a process of its own while the data are read.

    Only where it is most likely wanted, for it takes a core for ten seconds; else it starts when asked.
    """
    from bayesseg.inference import parallel

    engines = {part.engine for part in spec.parts.values()}
    large = Path(data).is_file() and Path(data).stat().st_size > LARGE_BYTES
    if "nuts" in engines or ("auto" in engines and not large):
        kept = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is ours to answer
        try:
            parallel.warm_up()
        finally:
            signal.signal(signal.SIGINT, kept)


def reserve(out: Path, *, force: bool) -> None:
    """Refuse early, before minutes of work, to write over a run, or ever over something else."""
    from bayesseg.posterior import reserve as run_of

    refuse_existing(_set_aside(out), force=force, file=True)
    for path in (out, _untrusted(out)):
        refuse_existing(card_of(path), force=force, file=True)
        run_of(path, force=force)


def reserve_pieces(out: Path, *, resume: bool, force: bool) -> None:
    """See that there are finished pieces to go on from, or that none are lost by starting anew."""
    from bayesseg.inference.pieces import count, discard, plan_of, require_ours
    from bayesseg.posterior import unfinished

    folder = unfinished(out)
    require_ours(folder)
    if resume and not count(folder):
        raise UsageError(f"there is no stopped fit of {out} to go on with", fix=f"give -o {out}")
    if not resume and count(folder) and not force:
        raise UsageError(
            f"{folder} holds {count(folder)} finished pieces of a stopped fit",
            fix=f"go on with it by --resume {out} in place of -o, or start anew with --force",
        )
    if resume:
        plan_of(folder)
    else:
        discard(folder)


def completed(out: Path, shell: Shell) -> tuple[Path, Posterior] | None:
    """The run of a fit that was stopped after it had written it; its pieces are removed here.

    While pieces stand, nothing but their fit writes the run: one that is younger and of their data and
    seed is theirs.
    """
    from bayesseg.inference.pieces import discard, plan_of, require_ours
    from bayesseg.posterior import unfinished

    folder = unfinished(out)
    require_ours(folder)
    plan = plan_of(folder)
    for path in (out, _untrusted(out)):
        written = path / "manifest.json"
        if plan is None or not written.is_file():
            continue
        if any(p.stat().st_mtime_ns > written.stat().st_mtime_ns for p in folder.iterdir()):
            continue
        posterior = opened(path)
        found = posterior.manifest
        if (found["fingerprint"], found["seed"]) != (plan.get("data"), plan.get("seed")):
            continue
        shell.say(f"{path} is complete: the fit was stopped after it was written")
        if not card_of(path).exists():
            _write_card(posterior, path, shell)
        discard(folder)
        _settle(path, out, shell)
        return path, posterior
    return None


def require_room(out: Path, spec: ModelSpec) -> None:
    """Refuse (exit 9) to begin a fit whose draws the disk has no room for, beside their pieces."""
    from bayesseg._files import require_space

    scalars = sum(len(part.priors) + STATISTICS for part in spec.parts.values())
    if "segments" in spec.parts:
        scalars += COMPONENTS * (2 * len(spec.features) + 1) + INVARIANTS
    inference = spec.inference
    require_space(out, inference.chains * inference.draws * scalars * 8 * 2)


def _untrusted(out: Path) -> Path:
    return out.with_name(f"{out.name}.untrusted")


def _set_aside(out: Path) -> Path:
    return out.with_name(f"{out.name}.quarantine.csv")


def ready(loaded: Loaded, spec: ModelSpec, shell: Shell) -> None:
    """Say what makes the data thin; refuse (exit 3) what cannot carry a fit."""
    from bayesseg.readiness import require_ready

    if "purchase" in spec.parts:
        for gate in require_ready(buyers(loaded), tuple(spec.parts)):
            shell.warn(f"{gate.message}; {gate.fix}")


def before(flags: LineageFlags) -> Before:
    """The run to go on from and the experts' map, where they are given."""
    from bayesseg import segment_map

    previous = None if flags.previous is None else opened(flags.previous)
    return previous, None if flags.names is None else segment_map.read(flags.names)


def waivers_of(flags: WaiverFlags, spec: ModelSpec) -> tuple[Waiver, ...]:
    """The waivers of a file, checked against the model before any work; none without a file."""
    from bayesseg.gates import read_waivers, waivers

    path = flags.waivers
    return () if path is None else read_waivers(path, spec.parts, waivers.today())


def fit(
    loaded: Loaded,
    spec: ModelSpec,
    out: Path,
    flags: FitFlags,
    lineage: Before,
    shell: Shell,
    *,
    force: bool,
    waivers: tuple[Waiver, ...] = (),
    folder: Path,
    again: str = "",
) -> tuple[Path, Posterior]:
    """Fit, judge, save; the run is ``out``, or ``out.untrusted`` when a hard gate failed.

    ``folder`` holds finished pieces until the run is written; ``again`` is what the same command needs
    to go on from them.
    """
    from bayesseg.fitting import fit as fit_model
    from bayesseg.inference.parallel import ran
    from bayesseg.inference.pieces import discard
    from bayesseg.posterior import save
    from bayesseg.validation.backtest import backtest

    shell.say(f"fit model {spec.name}, seed {flags.seed}")

    untested: list[str] = []

    def backtests() -> tuple[dict[str, Any], ...]:
        if loaded.purchases is None:
            return ()
        known = buyers(loaded)
        return backtest(
            loaded.purchases,
            spec,
            as_of=known.as_of,
            seed=flags.seed,
            attributes=known.attributes,
            say=untested.append,
        )

    began = time.perf_counter()
    with _kept(folder, again or f"--resume {out} in place of -o", shell), progress() as on_progress:
        posterior = fit_model(
            loaded.customers,
            spec,
            seed=flags.seed,
            previous=lineage[0],
            names=lineage[1],
            backtests=backtests,
            waivers=waivers,
            on_progress=on_progress,
            processes=True,
            folder=folder,
        )
    for why in untested:
        shell.say(why)
    for note in posterior.features.notes if posterior.features else ():
        shell.say(f"features: {note}")
    for part, state in posterior.manifest["population"].items():
        for note in state["notes"] if state else ():
            shell.say(f"{part}: {note}")
    for part, info in posterior.manifest["info"].items():
        if part != "segments":
            shell.say(f"{part}: {ran(info)}")
    segments = posterior.manifest["info"].get("segments", {})
    for words in (*segments.get("chosen", {}).get("words", ()), *_rivals(segments)):
        shell.say(f"segments: {words}")
    for words in (posterior.manifest["segments"] or {}).get("words", ()):
        shell.say(f"segments: {words}")
    shell.say(_spent(time.perf_counter() - began, posterior.manifest["seconds"]))
    heed()  # an interrupt that native code swallowed must not end in a run
    # first, so that there is no run where not everything was written
    if loaded.purchases is not None:
        write_quarantine(loaded.purchases, _set_aside(out), shell, loaded.key)
    path = save(posterior, out, force=force)
    shell.say(f"wrote {path}")
    _write_card(posterior, path, shell)
    discard(folder)
    _settle(path, out, shell)
    return path, posterior


def card_of(run: Path) -> Path:
    """Where the model card of a run stands: beside it, for what is in it is hashed."""
    return run.with_name(f"{run.name}.card.md")


def _write_card(posterior: Posterior, run: Path, shell: Shell) -> None:
    from bayesseg._files import write_text
    from bayesseg.report.card import card

    write_text(card_of(run), card(posterior))
    shell.say(f"wrote {card_of(run)}")


@contextmanager
def _kept(folder: Path, again: str, shell: Shell) -> Iterator[None]:
    """Whatever stops a fit, say how to go on with it where there is something to go on from."""
    from bayesseg.inference.pieces import count, discard

    try:
        yield
    except BaseException:
        if count(folder):
            shell.say(
                f"{count(folder)} finished pieces are kept as {folder}: go on by the same command with "
                f"{again}"
            )
        else:
            discard(folder)
        raise


def _rivals(info: Mapping[str, Any]) -> list[str]:
    """The nearest other segmentation the search came upon, where it fits nearly as well."""
    from bayesseg.segmentation.run import segmentations

    return [
        f"another segmentation lies {one['nats_below_best']:.1f} nats below this one and agrees with it "
        f"at {one['agreement_with_best']:.2f} (Rand): see the report"
        for one in segmentations(info)[1:2]
        if one["nats_below_best"] <= NEAR
    ]


def _spent(total: float, steps: Mapping[str, float]) -> str:
    """``fitted in 12.3 s: sampling 9.1, segments 2.0, ...``, the longest step first."""
    longest = sorted(steps.items(), key=lambda step: -step[1])
    told = ", ".join(f"{name} {s:.1f}" for name, s in longest if s >= 0.05)
    return f"fitted in {total:.1f} s" + (f": {told}" if told else "")


def _settle(path: Path, out: Path, shell: Shell) -> None:
    """Leave no failed fit beside the one that passed, and say which one an older run is."""
    if path == out and _untrusted(out).exists():
        remove(_untrusted(out))
        remove(card_of(_untrusted(out)))
        shell.say(f"removed {_untrusted(out)}: this fit replaces it")
    elif path != out and out.exists():
        shell.warn(f"{out} is still the run of an earlier fit: this one failed and is {path}")


def fit_document(path: Path, posterior: Posterior) -> dict[str, Any]:
    """What ``fit`` says of a run, for programs."""
    manifest = posterior.manifest
    keys = (
        "name",
        "model_id",
        "seed",
        "as_of",
        "verdict",
        "verdicts",
        "gates",
        "customers",
        "seconds",
        "segments",
    )
    return {
        "run": str(path),
        **{key: manifest[key] for key in keys},
        "waivers": manifest["facts"]["waivers"],
        "chosen": manifest["info"].get("segments", {}).get("chosen"),
        "rows": manifest["accounting"].get("rows"),
        "parameters": parameters(posterior),
    }


def show_fit(posterior: Posterior, shell: Shell) -> None:
    """Print gates, parameters beside their priors and the verdicts."""
    rows = [row for row in parameters(posterior) if "quantile" in row]
    if rows:
        shell.show(parameter_table(rows) + "\n")
    shell.show(gate_table(posterior.manifest["gates"]) + "\n")
    for line in verdict_lines(posterior.manifest):
        shell.show(line)


def gate_error(
    manifest: Mapping[str, Any], path: Path, released: Collection[str] = ()
) -> GateFailed | None:
    """The first gate that failed, where any did in a part that is not ``released``."""
    from bayesseg.gates import missed

    own = [gate for gate in manifest["gates"] if gate["part"] not in released]
    return missed(own, f"; the result is kept, untrusted, as {path}")


def fit_error(manifest: Mapping[str, Any], path: Path) -> GateFailed | None:
    """What a fit must not pass over: a gate that missed, or a locked segment that was lost.

    A lock is a promise to others, not a gate of the computation: the run is kept under its own name, for
    somebody to look at it before it is used.
    """
    lost = [g for g in manifest["gates"] if g["name"].startswith("locked_") and not g["passed"]]
    if gate_error(manifest, path) or not lost:
        return gate_error(manifest, path)
    return GateFailed(
        f"{lost[0]['detail']}; the run is kept as {path}",
        fix=lost[0]["advice"],
        code="locked_segment_lost",
        details={"gates": lost},
    )
