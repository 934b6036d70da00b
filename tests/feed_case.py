"""Hand-made scores for tests of what leaves: a few customers, some with hostile ids."""

import hashlib
import json

import numpy as np
import pandas as pd

from bayesseg.cli import scorefile
from bayesseg.gates import Check, judgement

IDS = ("007", "=cmd|' /C calc'!A0", 'a "quoted", id', "née", "Z", "z")
SEGMENTS = ("S1", "S2")


def scores(rows=6, seed=1):
    """A score table of ``rows`` customers (up to 1,000); the first have the ids above."""
    rng, count = np.random.default_rng(seed), 1000
    ids = [*IDS, *(f"c{k:05}" for k in range(count))][:count]
    share = rng.uniform(size=count)
    clv = rng.lognormal(4, 1.5, count)
    table = pd.DataFrame(
        {
            "customer_id": ids,
            "frequency": rng.integers(0, 9, count),
            "days_since_last": rng.integers(0, 300, count),
            "segment": np.where(share >= 0.5, "S1", "S2"),
            "segment_name": np.where(share >= 0.5, "champions", "drifting"),
            "segment_probability": np.maximum(share, 1 - share),
            "p_alive": rng.uniform(size=count),
            "p_churn": rng.uniform(size=count),
            "expected_purchases": rng.lognormal(0, 1, count),
            "clv": clv,
            "clv_pred_lo": np.zeros(count),
            "clv_pred_hi": 3 * clv,
            "value_at_risk": clv / 9,
            "priority_rank": np.arange(1, count + 1),
            "membership_S1": share,
            "membership_S2": 1 - share,
            "flags": [()] * count,
            "model_id": "ab12" * 16,
            "verdict": "passed",
            "scored_at": pd.Series([pd.Timestamp("2026-01-05T10:00:00Z")] * count).astype(
                "datetime64[s, UTC]"
            ),
        }
    )
    return table.head(rows)


def document():
    """What goes beside them."""
    parts = ("purchase", "spend", "segments")
    checks = [Check("completeness", part, 0.0, 0.0, True, "hard", "fit again") for part in parts]
    interval = {"mean": 3.0, "lo": 2.0, "hi": 4.0}
    names = dict(zip(SEGMENTS, ("champions", "drifting"), strict=True))
    return {
        "schema_version": 1,
        "settings": {
            "horizon_days": 90,
            "value_horizon_days": 365,
            "margin": 1.0,
            "annual_discount": 0.1,
        },
        "interval_level": 0.9,
        "money": "revenue",
        "model": "retail",
        "model_id": "ab12" * 16,
        **judgement(checks),
        "as_of": "2026-01-04",
        "scored_at": "2026-01-05T10:00:00+00:00",
        "segments": [
            {"id": one, "name": name, "action": "", "customers": interval, "p_churn": interval}
            for one, name in names.items()
        ],
        "released": {},
    }


def written(folder, table, name="scores.parquet", **more):
    """The scores as a file with its document beside it."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    content = scorefile.encoded(table, "parquet")
    path.write_bytes(content)
    described = {"rows": len(table), "sha256": hashlib.sha256(content).hexdigest()}
    said = scorefile.sealed(document() | more | {"table": described})
    path.with_suffix(".json").write_text(json.dumps(said))
    return path
