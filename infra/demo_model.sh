#!/usr/bin/env bash
# Make the demo's models again: simulated traffic of another seed than the demo's; on it a booster, and a blend of a
# booster and the temporal graph network.
set -euo pipefail
cd "$(dirname "$0")/.."
fraud=${FRAUD:-.venv/bin/fraud}
$fraud simulate --stream fdh --cards 2000 --days 75 --seed 1 --set terminals=4000 --set radius=8 --out build/demo.parquet
rm -rf models/artifacts/demo models/artifacts/demo-blend
for kind in booster blend; do
    name=demo; [ $kind = blend ] && name=demo-blend
    $fraud train --data build/demo.parquet --label-delay 7d --model $kind --name $name --models models/artifacts --no-plots
done
rm -f build/demo.parquet
