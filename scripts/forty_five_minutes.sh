#!/usr/bin/env bash
# From nothing to a model that follows English prompts, on two CPU cores: 14 + 24 minutes of training on the plainest
# part of the world (one actor, flat look, still camera), then judged on combinations that it never saw.
# usage: scripts/forty_five_minutes.sh FOLDER
set -euo pipefail
out=${1:?usage: scripts/forty_five_minutes.sh FOLDER}
here=$(cd "$(dirname "$0")/.." && pwd)
python=$here/.venv/bin/python
"$python" -m manzar world --clips 9000 --actors 1 --looks flat --cameras still --out "$out/data"
"$python" -m manzar train vae --data "$out/data" --out "$out/vae" --minutes 14
"$python" -m manzar train dit --data "$out/data" --from "$out/vae" --out "$out/dit" --minutes 24 --set languages=en
"$python" "$here/scripts/judge_world.py" --model "$out/dit/model" --n 200 --languages en --out "$out/judged" --sheet "$out/judged.png"
