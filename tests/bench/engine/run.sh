#!/bin/bash
# run.sh BUILD   Ours and the peers in turn, case by case, so that a busy machine disturbs all alike; then a table.
# Environment: ROUNDS (default 2), THREADS (default "1 2"; of the forward passes), SETS (default "forward sweep train
# networks"), and for ONNX Runtime NODE_PATH and ONNX as
# ../shared/bench/README.md says. Peers that cannot be built or run are left out, and said so.
set -u
cd "$(dirname "$0")/../../.." || exit 1
build=${1:?usage: run.sh BUILD}
peers=$build/peers source=../shared/bench out=$build/bench-engine.txt
classic="64,1,64,64 128,1,128,128 28,32,28,64 64,64,64,64 128,128,128,128 256,32,256,256 512,256,64,64 48,1024,32,64"
training="28,32,28,64 64,32,64,64 128,32,128,64 64,64,64,64"
unset OPENBLAS_CORETYPE BENCH_CPU_TIME # ours chooses its kernels; all are timed by the clock on the wall
mkdir -p "$peers"
if [ -d $source ]; then
    for peer in rnn_openblas rnn_onednn; do
        make -s -C $source BIN="$(realpath "$peers")" "$(realpath "$peers")/$peer" 2>"$peers/$peer.log" ||
            echo "skipped: $peer does not build (see $peers/$peer.log)"
    done
else
    echo "skipped: no peers, $source is absent"
fi
[ -n "${ONNX:-}" ] || echo "skipped: ONNX Runtime, ONNX is not set"
python=/usr/bin/python3
if ! [ -d $source ] || ! $python -c "import torch" 2>"$peers/torch.log"; then
    echo "skipped: PyTorch"
    python=
fi

on() { # on CPUS COMMAND…, where there is such a program
    [ -z "$2" ] || ! command -v "$2" >/dev/null || taskset -c "$@"
}
ours() { # ours THREADS FILTER
    on "0-$(($1 - 1))" "$build/bench-engine" "$@"
}
onednn() { # onednn THREADS MODE FILTER
    OMP_NUM_THREADS=$1 on "0-$(($1 - 1))" "$peers/rnn_onednn" "$2" "$3"
}
torch() { # torch SCRIPT ARGUMENT…, one thread
    OMP_NUM_THREADS=1 OPENBLAS_CORETYPE=SkylakeX on 0 "$python" "$source/$1" --threads 1 "${@:2}"
}

run_forward() {
    local threads shape cpus
    for threads in ${THREADS:-1 2}; do
        cpus=0-$((threads - 1))
        for shape in $classic; do
            ours "$threads" "/$shape"
            OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads OPENBLAS_CORETYPE=SkylakeX NOCHECK=1 \
                on $cpus "$peers/rnn_openblas" "" "/$shape"
            onednn "$threads" f32 "/$shape"
            [ -z "${ONNX:-}" ] || OMP_NUM_THREADS=$threads on $cpus node $source/rnn_ort.js "$ONNX" "$threads" "/$shape"
            [ "$threads" != 1 ] || torch rnn_torch.py --only "/$shape"
        done
    done
}
run_sweep() {
    ours 1 sweep
    SHAPES="25,324,16,16;25,324,64,16;25,324,32,32;25,324,64,32;25,324,64,64;" onednn 1 f32 /bi
}
run_train() {
    local shape
    for shape in $training; do
        ours 1 "/$shape/uni"
        SHAPES="$shape;" onednn 1 train /uni
    done
    ours 1 long
    ours 1 checkpoint
}
run_networks() {
    ours 1 textbook
    torch train_torch.py
    ours 1 hippocampus
}

for _ in $(seq "${ROUNDS:-2}"); do
    for set in ${SETS:-forward sweep train networks}; do
        "run_$set"
    done
done 2>&1 | tee "$out" | grep --line-buffered -E '^(ours|openblas|onednn|ort|torch|train torch)'
python3 tests/bench/engine/table.py "$out"
