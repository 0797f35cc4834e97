#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Does `./dev test` do all its own set-up on a bare Debian 12? Makes one in a
# scratch folder with debootstrap, copies this tree in as it would be cloned,
# runs there, and removes it all again. Needs root, debootstrap, a mirror.
#
#	tests/e2e/clean-room.sh [--keep] [COMMAND...]    (default: ./dev test)
#
# MIRROR is the Debian mirror, this machine's own if not given;
# CLEAN_ROOM_DIR the folder for the scratch tree.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
# The mirror that this machine itself takes its packages from.
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' \
	'Created-By: Packages' | sort -u | grep -m 1 '/debian/*$' || true)}
[ -n "$mirror" ] || {
	echo "clean-room: no Debian mirror is known here: set MIRROR" >&2
	exit 1
}

keep=
if [ "${1:-}" = --keep ]; then
	keep=1
	shift
fi
[ $# -gt 0 ] || set -- ./dev test

[ "$(id -u)" -eq 0 ] || {
	echo "clean-room: a chroot needs root" >&2
	exit 1
}
command -v debootstrap >/dev/null || {
	echo "clean-room: apt-get install -y debootstrap" >&2
	exit 1
}

room=$(mktemp -d "${CLEAN_ROOM_DIR:-/tmp}/clean-room-XXXXXX")
leave() {
	local mounted
	for mounted in "$room/proc" "$room/dev/shm" "$room/dev"; do
		if mountpoint -q "$mounted"; then
			umount "$mounted" || return 0
		fi
	done
	if [ -n "$keep" ]; then
		echo "clean-room: kept in $room"
	else
		rm -rf --one-file-system "$room"
	fi
}
trap leave EXIT

chmod 755 "$room"
echo "clean-room: Debian 12 from $mirror into $room"
debootstrap --variant=minbase bookworm "$room" "$mirror" \
	>"$room.log" 2>&1 || {
	tail -n 20 "$room.log" >&2
	exit 1
}
rm -f "$room.log"
cp /etc/resolv.conf "$room/etc/resolv.conf"
mount -t proc proc "$room/proc"
# Devices by hand: a bind mount of the host's would let the room change them.
mkdir -p "$room/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$room/dev/shm"

# What a clone would hold: the tracked files, as they are now in the tree.
mkdir -p "$room/src"
git -C "$root" ls-files -z --cached --others --exclude-standard |
	tar -C "$root" --null --ignore-failed-read -T - -cf - 2>/dev/null |
	tar -C "$room/src" --no-same-owner -xf -

env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
	CI=true ${http_proxy:+http_proxy="$http_proxy"} \
	chroot "$room" /bin/bash -c 'cd /src && exec "$@"' bash "$@" </dev/null
