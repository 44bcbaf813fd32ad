#!/bin/bash
# `make demo`: the main job from end to end. Starts laminad, sends a study by C-STORE, waits for the analysis, shows what
# was found and where the objects lie, and stops. STUDY=/path/to/dicom takes a study of one's own.
set -euo pipefail
. "$(dirname "$0")/common.sh"

data=$place/data results=$place/results log=$place/laminad.log
daemon=

stop() {
	[ -n "$daemon" ] || return 0
	kill -TERM "$daemon" 2>/dev/null || true
	local status=0
	wait "$daemon" || status=$?
	daemon=
	[ "$status" -eq 0 ] || say "demo: laminad ended with status $status; its log is $log" >&2
	return "$status"
}
trap 'stop || true' EXIT
trap 'exit 130' INT TERM

# What to send: the caller's study, else the real one beside the checkout, else a virtual one.
synthetic=
choose_study() {
	if [ -n "${STUDY:-}" ]; then
		study=$STUDY
		[ -r "$study" ] || die "STUDY=$study cannot be read"
		return
	fi
	for study in "$root"/../shared/data/dicom/mr-study-a/*HCrop*; do
		[ -d "$study" ] && return
	done
	study=$place/study
	synthetic=yes
	draw_study
}

# What the shipped generator draws, else a phantom.
draw_study() {
	local bundle
	for bundle in "$root"/models/mr-gen/*/model.json; do
		[ -e "$bundle" ] || continue
		"$build/lamina" generate --bundle "${bundle%/*}" --dicom --out "$study" >/dev/null
		return
	done
	"$build/lamina-phantom" "$study" >/dev/null
}

start() {
	local dicom_port http_port
	dicom_port=$(free_port 11112)
	http_port=$(free_port 8080)
	[ "$dicom_port" = 11112 ] || say "Port 11112 is taken; using $dicom_port for DICOM."
	[ "$http_port" = 8080 ] || say "Port 8080 is taken; using $http_port for HTTP."
	node=127.0.0.1:$dicom_port/LAMINA
	export LAMINA_URL=http://127.0.0.1:$http_port
	write_config "$data" "$dicom_port" "$http_port" lamina.conf
	"$build/laminad" --config "$place/lamina.conf" >"$place/banner" 2>"$log" &
	daemon=$!
	for _ in $(seq 200); do
		[ ! -s "$place/banner" ] || break
		kill -0 "$daemon" 2>/dev/null || { cat "$log" >&2; die "laminad did not start; the lines above say why"; }
		sleep 0.05
	done
	cat "$place/banner"
}

studies_in_store() {
	"$build/lamina" studies --json | grep -o '"study_uid": *"[0-9.]*"' | grep -o '[0-9.]*' | sort -u
}

show() { # a study
	local status=0
	"$build/lamina" analyze "$1" >/dev/null
	say "" "Result as JSON:"
	"$build/lamina" results --wait=120 --json "$1" || status=$?
	say ""
	"$build/lamina" results --save "$results" "$1" || status=$?
	return $status
}

rm -rf "$data" "$results" "$place/study" "$place/banner"
mkdir -p "$place"
choose_study
start
say "" "Sending $study"
[ -z "$synthetic" ] || say "This study is SYNTHETIC: made by this project, no patient."
"$build/lamina" send "$node" "$study"
status=0
for uid in $(studies_in_store); do
	show "$uid" || status=$?
done
[ -z "$synthetic" ] || say "" "The study was SYNTHETIC: the volumes above mean nothing."
stop || status=$?
[ "$status" -eq 0 ] && say "" "Done. The objects and the picture are in $results"
exit "$status"
