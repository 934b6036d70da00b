#!/bin/sh
# Events in files, through Spark Structured Streaming, into scores: those of a batch of the same events.
set -eu
python purchases.py

bayesseg fit fit.csv --model bgnbd --engine map --seed 1 -o run
python stream.py --run run --events events --as-of 1998-06-30
bayesseg score run all.csv --as-of 1998-06-30 -o scores.parquet
python compare.py
