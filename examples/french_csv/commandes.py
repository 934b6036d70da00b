"""Make commandes.csv: CDNOW as a French spreadsheet would save it."""

from pathlib import Path

from bayesseg.cli.demo import cdnow_csv

lines = ["Client;Date;Montant;Ville"]
for row in cdnow_csv().splitlines()[1:]:
    client, date, amount = row.split(",")
    year, month, day = date.split("-")
    lines.append(f"{client};{day}/{month}/{year};{amount.replace('.', ',')};Besançon")
Path("commandes.csv").write_text("\n".join(lines) + "\n", encoding="cp1252")
