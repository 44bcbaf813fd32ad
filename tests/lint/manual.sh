#!/bin/sh
# The manual pages say what the programs do: each command of `lamina help` is in lamina(1) and the other way round, each
# option of `laminad --help` is in laminad(8), and the pages are clean mdoc. TAP.
set -u
build=${LAMINA_BUILD:-build}
number=0

check() { # name, command…
	number=$((number + 1))
	name=$1
	shift
	if "$@"; then echo "ok $number - $name"; else echo "not ok $number - $name"; fi
}
commands_in_help() { "$build/lamina" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | grep -v '^help$' | sort; }
commands_in_page() { sed -n 's/^\.It Cm \([a-z]*\).*/\1/p' docs/man/lamina.1 | sort -u; }
options_in_help() { "$build/laminad" --help | grep -o -e '--[a-z-]*' | sort -u; }
same_commands() { [ "$(commands_in_help)" = "$(commands_in_page)" ] || { echo "# help: $(commands_in_help | tr '\n' ' ')" && echo "# page: $(commands_in_page | tr '\n' ' ')" && false; }; }
has_options() {
	for option in $(options_in_help); do
		grep -q -e "Fl ${option#-}" docs/man/laminad.8 || { echo "# $option is missing" && return 1; }
	done
}
clean() { ! mandoc -T lint -W warning docs/man/*.[158] | sed 's/^/# /' | grep .; }

echo 1..3
check "lamina(1) has the commands of lamina help" same_commands
check "laminad(8) has the options of laminad --help" has_options
if command -v mandoc >/dev/null; then
	check "the pages are clean mdoc" clean
else
	echo "ok 3 - the pages are clean mdoc # SKIP mandoc is not installed"
fi
