"""``bayesseg`` whose scoring processes do one piece and hold still in their next.

``python tests/held_case.py score ...`` is at a known point of its work however fast the machine is: a
file ``held-N`` stands in its workplace for each process that holds at piece N.
"""

from dataclasses import dataclass
from threading import Event
from typing import Any

from bayesseg.cli import main
from bayesseg.scoring import large
from bayesseg.scoring.workers import shared_out


@dataclass(frozen=True)
class Held:
    """``work`` that never comes to an end but for its first piece."""

    work: Any

    def __call__(self, place):
        if place > 0:
            (self.work.folder / f"held-{place}").touch()
            Event().wait()
        return self.work(place)


if __name__ == "__main__":
    large.shared_out = lambda work, *others: shared_out(Held(work), *others)
    main()
