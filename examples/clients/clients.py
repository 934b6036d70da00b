"""Make clients.csv: 400 clients of a gym, three habits, some answers missing."""

from pathlib import Path

import numpy as np

rng = np.random.default_rng(3)
habit = rng.choice(3, size=400, p=[0.5, 0.3, 0.2])
age = np.array([28.0, 47.0, 66.0])[habit] + rng.normal(0, 4, 400)
visits = np.array([3.0, 9.0, 5.0])[habit] * rng.lognormal(0, 0.2, 400)
spend = np.array([20.0, 45.0, 90.0])[habit] * rng.lognormal(0, 0.25, 400)
spend[rng.random(400) < 0.1] = np.nan

lines = ["client,age,visits_a_month,spend_a_month"]
for i in range(400):
    money = "" if np.isnan(spend[i]) else f"{spend[i]:.2f}"
    lines.append(f"G{i:04},{age[i]:.1f},{visits[i]:.2f},{money}")
Path("clients.csv").write_text("\n".join(lines) + "\n", encoding="ascii")
