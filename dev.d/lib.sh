# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the subcommands share. Sourced from the repository's root.

# shellcheck source=dev.d/packages.sh
. dev.d/packages.sh

say() {
	echo "dev: $*"
}

die() {
	echo "dev: $*" >&2
	exit 1
}

# Print those of the named packages that are not installed, one a line.
packages_missing() {
	local package
	for package in "$@"; do
		case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" \
			2>/dev/null)" in
		ii* | hi*) ;;
		*) echo "$package" ;;
		esac
	done
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# Install what is missing of the named packages, or say what to ask for. The
# package lists are fetched only when the ones at hand do not serve: a machine
# without a network but with the packages must still pass.
packages_need() {
	local missing
	if ! command -v dpkg-query >/dev/null; then
		say "this is no Debian; these packages' contents are needed: $*"
		return 0
	fi
	# By a here-string: <(...) needs /dev/fd, which a bare chroot may lack.
	mapfile -t missing <<<"$(packages_missing "$@")"
	[ -n "${missing[0]}" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		echo "dev: packages are missing; ask root for:" >&2
		echo "apt-get install -y --no-install-recommends" \
			"${missing[*]}" >&2
		exit 1
	fi
	say "installing ${missing[*]}"
	if ! apt-get install -s -q --no-install-recommends "${missing[@]}" \
		>/dev/null 2>&1 || ! apt_install "${missing[@]}"; then
		apt-get update -q </dev/null ||
			say "some package lists could not be fetched"
		apt_install "${missing[@]}" ||
			die "could not install: ${missing[*]}"
	fi
}

# As packages_need, but go on without them.
packages_wish() {
	(packages_need "$@") || say "without these packages some tests are skipped"
}

# setup_dir DIR [MESON-OPTION...]: configure DIR once. A directory whose
# configuration was cut short is configured anew.
setup_dir() {
	local dir=$1
	shift
	if [ ! -f "$dir/build.ninja" ]; then
		rm -rf "$dir"
		meson setup "$dir" "$@" </dev/null
	fi
}

# build_dir DIR [MESON-OPTION...]: configure DIR once, then compile it.
build_dir() {
	setup_dir "$@"
	ninja -C "$1" </dev/null
}

# test_dir DIR [MESON-TEST-ARGUMENT...]: run the tests of a compiled DIR and
# close with the one line that people and machines read. The command stands
# behind test_prefix, where a caller has set one.
test_prefix=()
test_dir() {
	local dir=$1 rc=0
	shift
	rm -f "$dir/meson-logs/testlog.json"
	"${test_prefix[@]}" meson test -C "$dir" --no-rebuild \
		--print-errorlogs "$@" </dev/null || rc=$?
	python3 dev.d/summary.py "$dir/meson-logs/testlog.json" || return 1
	return "$rc"
}

# Programs under the names people type, wherever they were built.
link_programs() {
	local program path
	mkdir -p build/bin
	for program in hs hs-agent hs-coordinator hs-collector hs-replay \
		hs-perf; do
		rm -f "build/bin/$program"
		for path in build/{tools,agent,coordinator,collector,bench}/"$program"; do
			if [ -f "$path" ] && [ -x "$path" ]; then
				ln -s "../${path#build/}" "build/bin/$program"
			fi
		done
	done
}
