# Shared by demo.sh and run.sh: where things lie, and free ports. Sourced, by bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${LAMINA_BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
place=$build/demo

say() { printf '%s\n' "$@"; }
die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# Whether something listens there. bash opens the connection itself: a bare system has no other tool for it.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The preferred port, or the next one that is free.
free_port() {
	local port=$1
	while port_taken "$port"; do
		port=$((port + 1))
		[ "$port" -le $(($1 + 200)) ] || die "no free port from $1 to $port"
	done
	echo "$port"
}

# write_config DATA DICOM_PORT HTTP_PORT FILE: what differs from the built-in defaults, so that a configuration in /etc does
# not take part.
write_config() {
	cat >"$place/$4" <<-END
		[lamina]
		data_dir = $1
		models_dir = $root/models
		[dicom]
		listen = 127.0.0.1:$2
		[http]
		listen = 127.0.0.1:$3
		[storage]
		reserve = 100M
	END
}
