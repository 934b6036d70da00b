#!/bin/sh
# Accounts of one company found by their names, missing facts guessed, then looked at.
set -eu
python data.py
python prepare.py

bayesseg check grouped.csv --customer-id account --group company --attributes filled-knn.csv
