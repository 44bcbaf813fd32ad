#!/bin/sh
# What each program is linked with: laminad has no DICOM parser in it (promise 2), the engine needs OpenBLAS only, and
# each program is hardened. TAP.
set -u
build=${LAMINA_BUILD:-build}
number=0

check() { # name, command…
	number=$((number + 1))
	name=$1
	shift
	if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}
# Not piped into grep -q, which would close the pipe early.
libraries_of() { ldd "$build/$1" | tr -d '\t'; }
# What is not there lacks nothing, so look first.
lacks() { [ -x "$build/$1" ] && ! libraries_of "$1" | grep -iE "$2" | sed 's/^/# /' | grep .; }
has() { libraries_of "$1" | grep -qE "$2"; }
symbols_lack() { [ -x "$build/$1" ] && ! nm -C "$build/$1" 2>/dev/null | grep -E "$2" | head -n 5 | sed 's/^/# /' | grep .; }
position_independent() { readelf -h "$build/$1" | grep -q 'Type:.*DYN'; }
bound_at_start() { readelf -d "$build/$1" | grep -q 'BIND_NOW\|NOW'; }

echo 1..16
check "laminad is not linked with DCMTK" lacks laminad 'dcm|oflog|ofstd|ijg'
codecs='openjp|libpng|jpeg|charls|libarchive'
# The runtime of UBSan is C++ itself.
if ! libraries_of laminad | grep -q ubsan; then codecs="$codecs|stdc\+\+"; fi
check "laminad is not linked with a codec or the C++ library" lacks laminad "$codecs"
check "laminad has no DCMTK inside either" symbols_lack laminad 'DcmFileFormat|DcmDataset|OFCondition'
check "laminad is linked with SQLite and libmicrohttpd" has laminad 'sqlite3|microhttpd'
check "lamina-dimse has no database and no HTTP" lacks lamina-dimse 'sqlite|microhttpd|curl|jansson'
check "lamina-dimse has no codec" lacks lamina-dimse 'openjp|libpng|jpeg|ijg|jpls|charls|dcmim'
check "lamina-worker has no database and no HTTP" lacks lamina-worker 'sqlite|microhttpd|curl|jansson'
check "lamina-worker has the engine" has lamina-worker 'openblas|libblas'
for program in laminad lamina-dimse lamina-worker lamina; do
	check "$program is position independent" position_independent $program
	check "$program binds at start" bound_at_start $program
done
