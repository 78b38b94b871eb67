#!/usr/bin/env bash
# From nothing to a world to play: record, train the autoencoder, encode, train the dynamics.
#
#     make train SIZE=small|base|large            the world of blocks
#     make train-avatar SIZE=small|base|large     the talking head
#     make train-luanti SIZE=small|base|large     the real voxel game Luanti
#     make train FROM=checkpoints/blockworld      trains that world on: its autoencoder stays, its dynamics learn more
#
# Stopped or killed at any moment, the same command continues where it was. Each step can be run by hand as well; any
# setting is a key=value at its end (docs/train.md).
set -euo pipefail
cd "$(dirname "$0")"

# The one dial. Minutes are of training; recording and encoding come on top. small is a look, base is where what ships
# began (it was trained on from there, see the README of each checkpoint), both on a CPU; large is for GPUs.
task=${TASK:-blockworld} size=${SIZE:-base} initial=${FROM:-}
config=$task lands=
case "$task-$size" in
blockworld-small) clips=64 frames=128 autoencoder_minutes=6 dynamics_minutes=8 ;;
blockworld-base) clips=384 frames=256 autoencoder_minutes=32 dynamics_minutes=150 ;;
blockworld-large) clips=4096 frames=256 autoencoder_minutes=60 dynamics_minutes=420 config=blockworld-large ;;
avatar-small) clips=96 frames=97 autoencoder_minutes=8 dynamics_minutes=10 ;;
avatar-base) clips=960 frames=97 autoencoder_minutes=40 dynamics_minutes=60 ;;
avatar-large) clips=8192 frames=241 autoencoder_minutes=60 dynamics_minutes=240 ;;
luanti-small) clips=16 frames=128 autoencoder_minutes=6 dynamics_minutes=8 lands="1 2" ;;
luanti-base) clips=48 frames=256 autoencoder_minutes=24 dynamics_minutes=70 lands="1 2 10 32 35 37" ;;
luanti-large) clips=256 frames=256 autoencoder_minutes=60 dynamics_minutes=420 lands="1 2 4 6 10 11 13 18 21 25 26 32 35 37 38 40" ;;
blockworld-* | avatar-* | luanti-*) echo "error: SIZE must be small, base or large, got $size" >&2 && exit 2 ;;
*) echo "error: TASK must be blockworld, avatar or luanti, got $task" >&2 && exit 2 ;;
esac
name=$task$([ "$size" = base ] || echo "-$size")
run=runs/$name${FROM:+-on}
sets=("data.clips=data/$name/train") kwargs=()
case $task in
blockworld) # one biome where the model is small, every biome where it is large
    world=worldmodel/BlockWorld-v0 kwargs=(--world-kwargs "biome=$([ "$size" = large ] && echo default || echo meadow)") ;;
avatar) # moods change often, or there is little to learn of them
    world=worldmodel/Avatar-v0 kwargs=(--world-kwargs "caption_s=[0.48,1.44]") ;;
luanti) # the world of blocks' model, on several lands of the game, `clips` of each; another is kept to measure it in
    world=worldmodel/Luanti-v0 kwargs=(--world-kwargs world_seed=46)
    config=$([ "$size" = large ] && echo blockworld-large || echo blockworld)
    # dry grassland where the model is small, and it goes on from the embedded world's; many kinds of land where it is large
    sets=("data.mix={$(for land in $lands; do printf '"land-%s":{"clips":"data/%s/land-%s"},' "$land" "$name" "$land"; done)}")
    [ "$size" = large ] || initial=${initial:-checkpoints/blockworld} ;;
esac
[ -z "$initial" ] || sets+=("initial=$initial" training.principal_start=false)
[ -z "${FROM:-}" ] || sets+=(training.dynamics.lr=2.0e-3) # two thirds of what it began with

# One process, or one for each GPU where there are several.
train() {
    if [ "$(nvidia-smi --list-gpus 2>/dev/null | wc -l)" -gt 1 ]; then
        accelerate launch -m worldmodel.training "config=configs/$config.yaml" "${sets[@]}" "run=$run" "$@"
    else
        python -m worldmodel.training "config=configs/$config.yaml" "${sets[@]}" "run=$run" "$@"
    fi
}

record() { python -m envs.record --world "$world" --clips "$clips" --frames "$frames" --out "data/$name/$1" "${@:2}"; }
if [ -n "$lands" ]; then
    for land in $lands; do record "land-$land" --world-kwargs "world_seed=$land"; done
else
    record train ${kwargs[@]+"${kwargs[@]}"}
fi
if [ "$task" = avatar ] && [ -z "$initial" ]; then # what reads captions learns to read first; FROM brings its own
    [ -e "$run/reader/model.safetensors" ] || python -m envs.avatar.reading "config=configs/$config.yaml" "out=$run/reader"
    sets+=("parts.conditions/text=$run/reader")
fi
[ -n "${FROM:-}" ] || train stage=autoencoder "max_minutes=$autoencoder_minutes"
train stage=latents
train stage=dynamics "max_minutes=$dynamics_minutes"

mkdir -p "checkpoints/$name"
cp -r "$run/dynamics/export/." "checkpoints/$name/"
python -m worldmodel.training.curves "$run" "checkpoints/$name/curves.png"
echo "python play.py --checkpoint checkpoints/$name    plays it"
echo "python -m worldmodel.evaluation --checkpoint checkpoints/$name --data DIR --out $run/evaluation    measures it,"
echo "on worlds that it has not seen:"
echo "python -m envs.record --world $world ${kwargs[*]:-} --clips 16 --frames 400 --seed 1000000 --out DIR"
