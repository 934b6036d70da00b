#!/bin/sh
# From a French spreadsheet to two contact lists: no flag says how the file is written.
set -eu
python commandes.py

bayesseg check commandes.csv
bayesseg fit commandes.csv --model ./mine.toml --seed 1 -o run
bayesseg score run commandes.csv --margin 0.3 -o scores.parquet
bayesseg prioritise scores.parquet --list save --count 200 -o save.csv
bayesseg prioritise scores.parquet --list win-back --count 200 -o win-back.csv
