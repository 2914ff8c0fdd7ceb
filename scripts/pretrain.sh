#!/usr/bin/env bash
# The recipe of the model in manzar/pretrained, without the detours that docs/log.md tells of. Run it again with the same
# FOLDER and it goes on where it was stopped; a step that is done is not done again.
#
# usage: scripts/pretrain.sh cpu|gpu FOLDER [FOOTAGE]
#
#   cpu      two cores, hours: 64x64, recipes/cpu.json
#   gpu      one GPU, forty minutes: 128x128, recipes/gpu.json; films the world on the GPU, needs no PyAV or diffusers
#   FOOTAGE  films of one's own that the compression network learns from as well; captions are not needed
#
# VAE_MINUTES, GROW_MINUTES, DECODER_MINUTES, DIT_MINUTES, BOX_MINUTES, LAYOUT_MINUTES and WHOLE_MINUTES set the length of
# the seven trainings; to train an hour longer, raise one of them and run the script again.
set -euo pipefail
kind=${1:?usage: scripts/pretrain.sh cpu|gpu FOLDER [FOOTAGE]}
out=${2:?usage: scripts/pretrain.sh cpu|gpu FOLDER [FOOTAGE]}
footage=${3:-}
here=$(cd "$(dirname "$0")/.." && pwd)
manzar() { "${PYTHON:-$here/.venv/bin/python}" -m manzar "$@"; }
recipe=$out/world.json

case $kind in
cpu)
  vae_minutes=${VAE_MINUTES:-60}
  grow_minutes=${GROW_MINUTES:-50} decoder_minutes=${DECODER_MINUTES:-40} dit_minutes=${DIT_MINUTES:-240}
  box_minutes=${BOX_MINUTES:-30} box_recipe=$out/boxes.json layout_minutes=${LAYOUT_MINUTES:-10}
  whole_minutes=${WHOLE_MINUTES:-80} whole_batch=16
  vae="crop=48 crop_frames=17 batch=4 ema=0.995" dit="layers=6 patch=1 batch=16 cooldown=0.35 images=0.6 sigma_std=1.1"
  ;;
gpu)
  vae_minutes=${VAE_MINUTES:-5}
  grow_minutes=${GROW_MINUTES:-5} decoder_minutes=${DECODER_MINUTES:-2} dit_minutes=${DIT_MINUTES:-18}
  box_minutes=${BOX_MINUTES:-3} box_recipe=$recipe layout_minutes=${LAYOUT_MINUTES:-1}
  whole_minutes=${WHOLE_MINUTES:-6} whole_batch=128
  vae="crop=96 crop_frames=17 batch=32 ema=0.998" dit="layers=10 heads=5 batch=256"
  ;;
*) echo "pretrain: '$kind' is not cpu or gpu" >&2; exit 2 ;;
esac

# settings of a new run, or --resume for one that was begun
train() { # verb run minutes data from settings
  local verb=$1 run=$2 minutes=$3 data=$4 from=$5; shift 5
  if [ -e "$run/checkpoint.safetensors" ] || [ -e "$run/1-hard/checkpoint.safetensors" ]; then
    manzar train "$verb" --out "$run" --minutes "$minutes" --resume
    return
  fi
  manzar train "$verb" --data "$data" --out "$run" --minutes "$minutes" ${from:+--from "$from"} \
    $(for pair in "$@"; do printf -- '--set %s ' "$pair"; done)
}

mkdir -p "$out"
[ -e "$recipe" ] || cp "$here/recipes/$kind.json" "$recipe"
[ -e "$box_recipe" ] || cp "$here/recipes/boxes.json" "$box_recipe"
films=$recipe
if [ -n "$footage" ]; then # world and footage in one data set
  films=$out/films
  [ -e "$films/clips.parquet" ] || { manzar ingest "$footage" --out "$films"; manzar world --clips 12000 --out "$films"; }
fi
# first 16 latent channels, then 16 more for what those leave out: the coarse picture stays in the first
train vae "$out/vae16" "$vae_minutes" "$films" "" $vae channels=16
train vae "$out/vae" "$grow_minutes" "$films" "$out/vae16" $vae channels=32
# the decoder goes on alone: all latents, and so what the transformer learns from them, stay as they are
train vae "$out/decoder" "$decoder_minutes" "$films" "$out/vae" $vae decoder_only=true muon_lr=0.006 adam_lr=1e-3
train dit "$out/dit" "$dit_minutes" "$recipe" "$out/vae" $dit prediction=sample
pack() { "${PYTHON:-$here/.venv/bin/python}" "$here/scripts/pack_pretrained.py" "$@"; }
weights() { sha256sum "$1/transformer/diffusion_pytorch_model.safetensors" | cut -c1-8; }
# boxes are learned beside the very weights that they get, which packing rounds; for other weights they are learned anew
pack "$out/dit" --vae "$out/decoder" --out "$out/base"
boxes=$out/boxes-$(weights "$out/base")
train boxes "$boxes" "$box_minutes" "$box_recipe" "$out/base"
train layout "$out/layout" "$layout_minutes" "$recipe" "$out/base"
pack "$out/base" --control "$boxes" --layout "$out/layout" --out "$out/steered"
# then boxes and transformer go on together, and what is in the boxes counts for more than what surrounds it
whole=$out/whole-$(weights "$out/steered")
train boxes "$whole" "$whole_minutes" "$recipe" "$out/steered" stage=clean start="$out/steered" base_rate=1 inside=4 \
  batch=$whole_batch no_boxes=0.3 no_names=0.1 soft=0.25 given=0.25 images=0.4 sigma_mean=1.0 sigma_std=1.1 ema=0.995
pack "$whole" --out "$out/pretrained"
