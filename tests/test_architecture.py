"""Imports only point down, and heavy or unsafe packages stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bayesseg"

# DESIGN.md's table, its first two layers split once more
LAYERS = (
    {"errors", "_types", "_compiled"},
    {"spans", "_files", "_random", "_toml", "_weighted"},
    {"priors"},
    {"spec", "segment_map"},
    {"sql"},
    {"ingest"},
    {"customers"},
    {"summary"},
    {"roster"},
    {"features", "families", "readiness"},
    {"population"},
    {"inference"},
    {"posterior", "clv", "discrepancy"},
    {"gates", "scoring", "baseline", "naming", "aggregates"},
    {"segmentation"},
    {"fitting", "decide", "validation", "calibration"},
    {"feed"},
    {"report", "api", "conformance", "push", "spark", "stream"},
    {"cli", "__init__"},
    {"__main__"},
)
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}

ONLY_IN = {
    "pymc": {"inference"},
    "pytensor": {"inference", "families"},  # families: inside logp, the reference expression
    "nutpie": {"inference"},
    "lifetimes": {"baseline"},
    "sklearn": {"validation", "segmentation"},
    "duckdb": {"ingest", "customers", "roster", "stream"},
    "pyspark": {"spark"},
    "confluent_kafka": {"stream"},
}
NEVER = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def modules() -> list[tuple[str, Path]]:
    return [
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(("unit", "path"), modules(), ids=lambda v: getattr(v, "name", v))
def test_imports_point_down(unit: str, path: Path) -> None:
    own = {name.split(".")[1] for name in imports(path) if name.startswith("bayesseg.")}
    upward = {
        name
        for name in own - {unit}
        if name in LAYER and LAYER[name] >= LAYER[unit] and unit != "__init__"
    }
    assert not upward, f"{path.name} (layer {LAYER[unit]}) imports {sorted(upward)}"


@pytest.mark.parametrize(("unit", "path"), modules(), ids=lambda v: getattr(v, "name", v))
def test_packages_stay_where_they_belong(unit: str, path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & NEVER
    misplaced = {name for name in roots & set(ONLY_IN) if unit not in ONLY_IN[name]}
    assert not misplaced, f"{path.name} imports {sorted(misplaced)}"


def test_every_module_has_a_layer() -> None:
    assert {unit for unit, _ in modules()} == set(LAYER)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bayesseg", {"numpy", "pandas", "numba", "pymc", "arviz_base", "matplotlib"}),
        ("bayesseg.cli", {"pandas", "numba", "pymc", "arviz_base", "lifetimes", "matplotlib"}),
        ("bayesseg.scoring", {"pymc", "pytensor", "arviz_base", "lifetimes", "matplotlib"}),
        ("bayesseg.families", {"pymc", "pytensor", "pandas"}),
    ],
)
def test_importing_stays_light(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not absent & set(done.stdout.split())
