#!/bin/bash
# run.sh BUILD   Ours and the peers in turn, shape by shape, so that a busy machine disturbs all alike; then a table.
# Environment: ROUNDS (default 2), THREADS (default "1 2"), ONLY (part of a case's name), and for ONNX Runtime
# NODE_PATH and ONNX as ../shared/bench/README.md says. Peers that cannot be built or run are left out, and said so.
set -u
cd "$(dirname "$0")/../../.." || exit 1
build=${1:?usage: run.sh BUILD}
peers=$build/peers source=../shared/bench out=$build/bench-engine.txt
shapes="64,1,64,64 128,1,128,128 28,32,28,64 64,64,64,64 128,128,128,128 256,32,256,256 512,256,64,64 48,1024,32,64"
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

# one THREADS CPUS SHAPE: every implementation once
one() {
    export OMP_NUM_THREADS=$1 OPENBLAS_NUM_THREADS=$1
    pin="taskset -c $2"
    case=/$3${ONLY:+/$ONLY}
    $pin "$build/bench-engine" "$1" "$case"
    [ -x "$peers/rnn_openblas" ] && OPENBLAS_CORETYPE=SkylakeX NOCHECK=1 $pin "$peers/rnn_openblas" "" "$case"
    [ -x "$peers/rnn_onednn" ] && $pin "$peers/rnn_onednn" f32 "$case"
    [ -n "${ONNX:-}" ] && $pin node $source/rnn_ort.js "$ONNX" "$1" "$case"
}

for round in $(seq "${ROUNDS:-2}"); do
    for threads in ${THREADS:-1 2}; do
        for shape in $shapes; do
            one "$threads" "0-$((threads - 1))" "$shape"
        done
    done
done 2>&1 | tee "$out" | grep --line-buffered -E '^(ours|openblas|onednn|ort) '
python3 tests/bench/engine/table.py "$out"
