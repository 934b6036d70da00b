"""Real purchases to try things on: the CDNOW sample that lifetimes carries. L10."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bayesseg.errors import ResourcesMissing


def cdnow_csv() -> str:
    """CDNOW, 2,357 customers and 6,919 purchases, as ``customer_id,date,amount`` lines.

    The file holds master id, sample id, date, number of CDs and dollars, separated by spaces. The
    package is located, not imported: ``importlib.resources.files`` would import it (4 s).
    """
    spec = find_spec("lifetimes")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    found = [path for folder in folders if (path := folder / "datasets/CDNOW_sample.txt").is_file()]
    if not found:
        raise ResourcesMissing(
            "the CDNOW data that come with the package lifetimes are not installed",
            fix="pip install lifetimes, or give a purchase log of your own to bayesseg run",
        )
    rows = (line.split() for line in found[0].read_text("ascii").splitlines() if line.strip())
    lines = (f"{one},{d[:4]}-{d[4:6]}-{d[6:]},{dollars}" for one, _, d, _, dollars in rows)
    return "\n".join(["customer_id,date,amount", *lines, ""])
