#!/bin/bash
# `make run`: laminad in the foreground with the defaults of the demo; its data is kept from one run to the next. It
# prints AE title, ports and URLs; ^C stops it.
set -euo pipefail
. "$(dirname "$0")/common.sh"

mkdir -p "$place"
write_config "$place/run" 11112 8080 run.conf
exec "$build/laminad" --config "$place/run.conf"
