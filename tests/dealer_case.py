"""A car dealer's purchase log as a French spreadsheet exports it."""

import datetime as dt

import numpy as np

FIRST = ["Hélène", "René", "Zoé", "Loïc", "Chloé", "Gaël", "Aurélie", "Benoît", "Maël", "Noémie"]
LAST = [
    "Lefèvre",
    "Garçon",
    "Müller",
    "Dupont",
    "Béranger",
    "Martin",
    "Petit",
    "Núñez",
    "Roux",
    "Faure",
]


def dealer(seed=3):
    """300 lines: services, parts and now and then a car, by about a hundred clients in four years."""
    rng = np.random.default_rng(seed)
    names = [f"{a} {b}" for a in FIRST for b in LAST]
    first = dt.date(2021, 1, 4)
    began = rng.integers(0, 1000, len(names))
    lines = []
    for _ in range(300):
        who = int(rng.integers(len(names)))
        day = first + dt.timedelta(int(rng.integers(began[who], 1450)))
        kind = rng.choice(["Entretien", "Pièces", "Véhicule"], p=[0.6, 0.35, 0.05])
        scale = {"Entretien": 250.0, "Pièces": 90.0, "Véhicule": 21_000.0}[kind]
        amount = f"{scale * rng.lognormal(0.0, 0.5):,.2f}".replace(",", "\u00a0").replace(".", ",")
        lines.append((day, f"{who + 1:05d};{names[who]};{day:%d/%m/%Y};{kind};{amount}"))
    return "\r\n".join(
        [
            "N° client;Nom;Date de facture;Désignation;Montant TTC",
            *(x for _, x in sorted(lines)),
            "",
        ]
    )
