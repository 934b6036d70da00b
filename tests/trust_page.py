"""Writes docs/trust.md from the gates, the tests and what was measured: ``python tests/trust_page.py``.

What nobody has measured is said to be missing; no number stands here by hand.
"""

import math
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from bad_input_case import CASES, CHECKED, STEPPED
from families_case import GOLDEN, draws, rows

from bayesseg import clv
from bayesseg._types import Clock
from bayesseg.families import FAMILIES
from bayesseg.gates import COMPUTATION, FINDINGS

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE = DOCS / "trust.md"
MEASURED = {
    "calibration": "Simulation-based calibration",
    "faults": "Faults injected into reading and writing",
}
"""Files ``docs/NAME.toml`` of facts and arrays of tables, as the long runs leave them."""
_HEAD = """# What the numbers rest on

Made by `python tests/trust_page.py` from the gates in the code, the tests and the tables in `docs/`; a
test makes it again and compares. Version {version}.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD.format(version=version("bayesseg")), _gates(), _digits()]
    parts += [_measured(name, title) for name, title in MEASURED.items()]
    return "\n".join([*parts, _bad_input(), _threats()])


def _table(head, body) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(str(c).replace('|', '/') for c in line)} |" for line in lines)


def _gates() -> str:
    used = {}
    for where, gates in [*COMPUTATION.items(), *FINDINGS.items()]:
        for gate in gates:
            used.setdefault(gate, []).append(where)
    body = [
        (f"`{gate.__name__}`", ", ".join(where), gate.__doc__.splitlines()[0])
        for gate, where in used.items()
    ]
    table = _table(("judge", "of engine or part", "what it asks"), body)
    return (
        f"## Gates\n\nWhat judges a fit, {len(body)} functions; README has their limits. A value that "
        f"cannot be computed fails.\n\n{table}\n"
    )


# --- digits --------------------------------------------------------------------------------------

_MOST = 10
"""Digits the published values are printed with."""


def digits() -> dict[tuple[str, str], int]:
    """Fewest digits in which a quantity agrees with its published value: -log10 of the error."""
    golden, found = GOLDEN["scores"], {}
    weeks = 365.25 / 7
    at = Clock(golden["horizon"], golden["horizon"], math.log1p(golden["annual_discount"]) / weeks)
    for row in golden["rows"]:
        name = row["family"]
        columns, theta = rows((row["x"], row["t_x"], row["T"])), draws(name, golden["theta"][name])
        said = {
            q: float(one.fn(theta, columns, at)[0, 0])
            for q, one in FAMILIES[name].quantities.items()
        }
        alive = said["p_alive"]
        said |= {
            "p_churn": float(clv.p_churn(alive, said["silent"])),
            "expected_purchases": alive * said["purchases_if_alive"],
            "discounted": alive * said["discounted_purchases"],
        }
        for quantity in ("p_alive", "p_churn", "expected_purchases", "discounted"):
            error = abs(said[quantity] / row[quantity] - 1)
            lre = _MOST if error == 0 else min(_MOST, math.floor(-math.log10(error)))
            found[name, quantity] = min(found.get((name, quantity), _MOST), lre)
    return found


def _digits() -> str:
    found = digits()
    names = list(dict.fromkeys(quantity for _, quantity in found))
    families = list(dict.fromkeys(name for name, _ in found))
    body = [(f"`{name}`", *(found[name, quantity] for quantity in names)) for name in families]
    return (
        "## Digits\n\nDigits in which a family agrees with published values or values recomputed at "
        f"high precision (`tests/golden/clv.json`), of at most {_MOST}; the worst customer counts.\n\n"
        f"{_table(('family', *names), body)}\n"
    )


# --- what long runs measured ---------------------------------------------------------------------


def _measured(name: str, title: str) -> str:
    path = DOCS / f"{name}.toml"
    if not path.exists():
        return f"## {title}\n\nNot measured with this version: `docs/{name}.toml` is not there.\n"
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    facts = "; ".join(
        f"{key} {value}" for key, value in found.items() if not isinstance(value, list)
    )
    blocks = [f"## {title}", *([f"{facts}."] if facts else [])]
    for runs in (value for value in found.values() if isinstance(value, list)):
        head = list(dict.fromkeys(key for run in runs for key in run))
        blocks.append(_table(head, [[_cell(run.get(key, "")) for key in head] for run in runs]))
    return "\n\n".join(blocks) + "\n"


def _cell(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# --- what tests say ------------------------------------------------------------------------------


def _bad_input() -> str:
    refused = sum(bool(case["exit"]) for case in CHECKED.values())
    return (
        f"## Bad input\n\n{len(CASES)} kinds of bad or odd input, each with a test. Of {len(CHECKED)} "
        f"sources {refused} are refused with a word on what to do, {len(CHECKED) - refused} are read "
        f"with every row accounted for; {len(STEPPED)} are several commands. "
        "All of them: [bad-input.md](bad-input.md).\n"
    )


def _threats() -> str:
    threats = tomllib.loads((HERE / "threats.toml").read_text(encoding="utf-8"))["threat"]
    body = [(one["from"], one["what"], one["answer"], _shown(one)) for one in threats]
    table = _table(("from", "what may happen", "what is done", "shown by"), body)
    return f"## Threats\n\n{table}\n"


def _shown(threat) -> str:
    """The tests that show it; a name that is no test is an error."""
    known = known_tests()
    for one in threat["tests"]:
        file, _, name = one.partition("::")
        assert name in known[file], f"tests/threats.toml names {one}, which is no test"
    return ", ".join(f"`{one}`" for one in threat["tests"]) or "no test"


def known_tests() -> dict[str, set[str]]:
    """The names of all tests, by file."""
    return {
        path.stem: set(re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))
        for path in HERE.glob("test_*.py")
    }


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
