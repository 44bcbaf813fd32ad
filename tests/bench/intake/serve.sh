#!/bin/sh
# serve.sh BUILD DIR DIMSE_PORT HTTP_PORT: laminad with fresh data below DIR, as the benchmark programs start a server.
set -eu
mkdir -p "$2/data" "$2/models"
cat >"$2/lamina.conf" <<END
[lamina]
data_dir = $2/data
models_dir = $2/models
[dicom]
listen = 127.0.0.1:$3
ae_title = BENCH
accept = any
[analysis]
stable_after_release = 24h
[http]
listen = 127.0.0.1:$4
END
exec "$1/laminad" --config "$2/lamina.conf"
