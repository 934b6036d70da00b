#!/bin/sh
# Segments of one row a client: no purchases, some values missing.
set -eu
python clients.py

bayesseg fit clients.csv --model ./three.toml --seed 1 -o run
bayesseg score run clients.csv -o scores.csv
bayesseg segments run scores.csv
