#!/usr/bin/env bash
# Make the demo's model again: simulated traffic of another seed than the demo's, the booster fitted on it.
set -euo pipefail
cd "$(dirname "$0")/.."
fraud=${FRAUD:-.venv/bin/fraud}
$fraud simulate --stream fdh --cards 2000 --days 75 --seed 1 --set terminals=4000 --set radius=8 --out build/demo.parquet
rm -rf models/artifacts/demo
$fraud train --data build/demo.parquet --label-delay 7d --name demo --models models/artifacts --no-plots
rm -f build/demo.parquet
