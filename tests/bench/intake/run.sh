#!/bin/sh
# run.sh BUILD: objects a second, CPU and memory of the whole daemon beside Orthanc and storescp, in one interleaved run,
# with the load generators of ../shared/bench. What is absent is skipped. OBJECTS and REPEATS say how many.
set -eu
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
tools=$root/../shared/bench
work=$build/bench-intake
objects=${OBJECTS:-500}
repeats=${REPEATS:-3}

skip() {
    echo "skipped: $*"
    exit 0
}
[ -d "$tools" ] || skip "../shared/bench is not here"
source=$(find -L "$root/../shared/data/dicom/mr-study-a" -name '*.dcm' -size +100k 2>/dev/null | sort | head -n 1)
[ -n "$source" ] || skip "../shared/data is not here"
/usr/bin/python3 -c 'import numpy, pydicom' 2>/dev/null || skip "python3-pydicom or python3-numpy is missing"

mkdir -p "$work/bin"
for tool in cstore_load rawlimits; do
    [ -x "$work/bin/$tool" ] || make -s -C "$tools" BIN="$work/bin" "$work/bin/$tool"
done
data=$work/objects-$objects
[ -d "$data" ] || /usr/bin/python3 "$here/make_objects.py" "$source" "$data" "$objects"

peers=
for peer in orthanc:Orthanc storescp-fork:storescp; do
    if command -v "${peer#*:}" >/dev/null; then
        peers=$peers${peers:+,}${peer%:*}
    else
        echo "skipped: ${peer#*:} is not installed"
    fi
done
ours="$here/serve.sh $build {dir} {port} {http}"
limit="$build/bench-limit sync {dir} {port} {http}"
unsynced="$build/bench-limit nosync {dir} {port} {http}"
export BIN="$work/bin" WORK="$work/run"
rm -rf "$WORK" "$work/limits.txt"
mkdir -p "$WORK"

echo "== the machine's limit: one connection to files that are synced"
files=$(find "$data" -name '*.dcm' | sort | head -n 300)
for round in 1 2 3; do
    rm -rf "$WORK/o"
    mkdir "$WORK/o"
    sync -f "$WORK"
    # shellcheck disable=SC2086
    "$BIN/rawlimits" tcpfile "$WORK/o" fdatasync $files >>"$work/limits.txt"
done
rm -rf "$WORK/o"
cat "$work/limits.txt"

echo "== C-STORE"
/usr/bin/python3 "$tools/ingest_bench.py" "$data" --n "$objects" --reps "$repeats" --assoc 1,4,8 \
    --servers "$peers" --cmd ours="$ours" --cmd limit="$limit" --cmd limit-unsynced="$unsynced" --out "$work/dimse.json"
echo "== STOW-RS"
/usr/bin/python3 "$tools/stow_bench.py" "$data" --n "$objects" --reps "$repeats" --clients 1,4,8 --per 1 \
    --servers "$(echo "$peers" | grep -o orthanc || true)" --cmd ours="$ours" --cmd limit="$limit" --cmd limit-unsynced="$unsynced" \
    --cmd-path /dicom-web/studies --out "$work/stow.json"
/usr/bin/python3 "$here/table.py" "$work/dimse.json" "$work/stow.json" "$work/limits.txt"
rm -rf "$WORK"
