#!/usr/bin/env bash
# From nothing to a world to play: record, train the autoencoder, encode, train the dynamics.
#
#     make train SIZE=small|base|large
#
# Stopped or killed at any moment, the same command continues where it was. Each step can be run by hand as well; any
# setting is a key=value at its end (docs/train.md).
set -euo pipefail
cd "$(dirname "$0")"

# The one dial. Minutes are of training; recording and encoding come on top.
size=${SIZE:-base}
case "$size" in
small) config=blockworld biome=meadow clips=64 frames=128 autoencoder_minutes=6 dynamics_minutes=8 ;;         # a look, on a CPU
base) config=blockworld biome=meadow clips=384 frames=256 autoencoder_minutes=32 dynamics_minutes=150 ;;      # what ships, on two cores
large) config=blockworld-large biome=default clips=4096 frames=256 autoencoder_minutes=60 dynamics_minutes=420 ;; # every biome, on GPUs
*) echo "error: SIZE must be small, base or large, got $size" >&2 && exit 2 ;;
esac
name=blockworld$([ "$size" = base ] || echo "-$size")

# One process, or one for each GPU where there are several.
train() {
    if [ "$(nvidia-smi --list-gpus 2>/dev/null | wc -l)" -gt 1 ]; then
        accelerate launch -m worldmodel.training "config=configs/$config.yaml" "data.clips=data/$name/train" "run=runs/$name" "$@"
    else
        python -m worldmodel.training "config=configs/$config.yaml" "data.clips=data/$name/train" "run=runs/$name" "$@"
    fi
}

python -m envs.record --world worldmodel/BlockWorld-v0 --world-kwargs "biome=$biome" \
    --clips "$clips" --frames "$frames" --out "data/$name/train"
train stage=autoencoder "max_minutes=$autoencoder_minutes"
train stage=latents
train stage=dynamics "max_minutes=$dynamics_minutes"

mkdir -p "checkpoints/$name"
cp -r "runs/$name/dynamics/export/." "checkpoints/$name/"
echo "python play.py --checkpoint checkpoints/$name    plays it"
echo "python -m worldmodel.evaluation --checkpoint checkpoints/$name --data DIR --out runs/$name/evaluation    measures it,"
echo "on worlds that it has not seen:"
echo "python -m envs.record --world-kwargs biome=$biome --clips 16 --frames 400 --seed 1000000 --out DIR"
