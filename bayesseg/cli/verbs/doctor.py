"""``bayesseg doctor``: can this machine do the work?"""

from __future__ import annotations

import platform
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.text import table
from bayesseg.errors import ResourcesMissing

PACKAGES = (
    "bayesseg",
    "arviz",
    "duckdb",
    "lifetimes",
    "matplotlib",
    "numba",
    "numpy",
    "nutpie",
    "pandas",
    "pyarrow",
    "pymc",
    "pytensor",
    "scipy",
)
FREE_BYTES = 200 * 1024**2


def doctor(shell: Shell) -> Outcome:
    """Look at this installation; exit 9 if something is missing.

    Example: bayesseg doctor
    """
    rows = [*map(_package, PACKAGES), _python(), _threads(), _compiler(), _disk()]
    shell.show(table(("what", "found", "fix"), rows))
    missing = [(what, fix) for what, _, fix in rows if fix]
    error = ResourcesMissing(
        f"missing: {', '.join(what for what, _ in missing)}",
        fix="; ".join(fix for _, fix in missing),
    )
    found = [{"what": what, "found": said, "fix": fix} for what, said, fix in rows]
    return Outcome({"checks": found}, error if missing else None)


def _package(name: str) -> tuple[str, str, str]:
    try:
        return name, version(name), ""
    except PackageNotFoundError:
        return name, "missing", f"pip install {name}"


def _python() -> tuple[str, str, str]:
    return "python", f"{platform.python_version()} {platform.machine()} {platform.system()}", ""


def _threads() -> tuple[str, str, str]:
    from numba import config  # counts the processors this process may use, not those of the machine

    return "threads", str(config.NUMBA_NUM_THREADS), ""


def _compiler() -> tuple[str, str, str]:
    """Compile a function the way models are compiled: Numba to machine code, cached on disk."""
    try:
        from numba import config, njit

        answer = njit(lambda x: x + 1)(41)
        where = config.CACHE_DIR or "beside the modules"
    except Exception as error:  # whatever is wrong with the compiler is the finding
        return (
            "compiler",
            f"numba fails: {type(error).__name__}",
            "pip install --force-reinstall numba",
        )
    return "compiler", f"numba compiles (1 + 41 = {answer}); cache {where}", ""


def _disk() -> tuple[str, str, str]:
    folder = Path(tempfile.gettempdir())
    free = min(shutil.disk_usage(place).free for place in (folder, Path.cwd()))
    fix = "" if free >= FREE_BYTES else f"free {FREE_BYTES >> 20} MB here and in {folder}"
    return "disk", f"{free / 1e9:.1f} GB free", fix
