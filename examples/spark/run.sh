#!/bin/sh
set -eu
python orders.py
spark="--engine spark --master local[2] --as-of 2024-12-30"
bayesseg fit orders.parquet --model mine.toml $spark -o run
bayesseg score run orders.parquet $spark -o scores.parquet
python run.py
