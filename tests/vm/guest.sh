#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run a command on a kernel of its own: in a small QEMU guest with Debian's,
# with soft-RoCE (rdma_rxe) and what else is asked for, and this machine's /
# read-only as its root, so that what was built here runs there as it is.
#
#   tests/vm/guest.sh [-t SEC] [-m MiB] [-c CPUS] [-n DEVICES] [-N NODES]
#                     [-M MODULES] [-k WORDS] [-x ARGS] [-p FILE] COMMAND...
#   tests/vm/guest.sh -b            only make the kernel and its initramfs
#
#   -t SEC      time limit, boot included (default 120); then exit 124
#   -n DEVICES  rxe1..rxeN on netdevs e1..eN, 10.77.0.1..N (default 4), joined
#               by a bridge with the ports v1..vN: `tc qdisc add dev v1 root
#               netem loss 5%` loses packets. GID index 1 is the IPv4 one.
#   -N NODES    NUMA nodes (default 1), with the same share of memory each and
#               a core each; -c must be as many
#   -M MODULES  kernel modules to load as well, of those that image.sh takes
#   -k WORDS    for the kernel's command line
#   -x ARGS     for QEMU, separated by blanks: disks, cards
#   -p FILE     where QEMU says its process number
#
# What COMMAND prints comes out here, its exit status is this script's; 77
# where QEMU or the kernel package cannot be had, 125 if the guest died; a line
# then tells an emulator that died of a signal from a guest that went down.
# The guest is emulated (HS_VM_ACCEL=kvm where that works): what it measures
# are no figures.
# The kernel comes by `apt-get download`, once, into HS_VM_CACHE (default
# ~/.cache/hindsight-vm); nothing is installed.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=${HS_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hindsight-vm}
limit=120 mem=512 cpus=2 devices=4 nodes=1 only_build=0
modules='' words='' extra=() pidfile=()

die() {
	echo "guest: $*" >&2
	exit 125
}

skip() {
	echo "guest: SKIPPED, no guest to be had here: $*" >&2
	exit 77
}

while getopts t:m:c:n:N:M:k:x:p:b option; do
	case $option in
	t) limit=$OPTARG ;;
	m) mem=$OPTARG ;;
	c) cpus=$OPTARG ;;
	n) devices=$OPTARG ;;
	N) nodes=$OPTARG ;;
	M) modules=$OPTARG ;;
	k) words=$OPTARG ;;
	x) read -ra extra <<<"$OPTARG" ;;
	p) pidfile=(-pidfile "$OPTARG") ;;
	b) only_build=1 ;;
	*) die "usage: see the head of $0" ;;
	esac
done
shift $((OPTIND - 1))

[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64"
[ "$(id -u)" = 0 ] || skip "its root is this machine's /, read as root"
for program in qemu-system-x86_64 busybox cpio xz depmod modprobe python3 \
	ip rdma tc strip; do
	PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
		skip "there is no $program (packages: see dev.d/packages.sh)"
done

image=$("$here/image.sh" "$cache") || {
	rc=$?
	[ "$rc" != 77 ] || skip "the kernel package cannot be had"
	die "could not make the guest's image"
}
if [ "$only_build" = 1 ]; then
	echo "$image"
	exit 0
fi
[ $# -ge 1 ] || die "no command"

# Emulated unless asked for: a KVM within a virtual machine often hangs.
accel=${HS_VM_ACCEL:-tcg,thread=multi}

# One guest at a time: two would be late for each other's timeouts.
exec 8>"$cache/guest.lock"
flock 8

tree=$(cd "$here/../.." && pwd -P)
control=$(mktemp -d "${TMPDIR:-/tmp}/hs-guest.XXXXXX")
trap 'rm -rf "$control"' EXIT
{
	printf 'devices=%q workdir=%q tree=%q\ncommand=(' "$devices" "$PWD" \
		"$tree"
	printf ' %q' "$@"
	echo ')'
	cat "$here/inside.sh"
} >"$control/inside"

# Crypto self-tests, key rings and probes cost seconds of emulation.
append="console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0
	cryptomgr.notests=1 apparmor=0
	initcall_blacklist=crypto_kdf108_init,load_system_certificate_list,init_kprobe_trace,init_encrypted,slab_sysfs_init
	hs_modules=${modules// /,} $words"

nine() { # id path [readonly]
	echo -n "local,id=$1,path=$2,security_model=none,multidevs=remap${3:+,readonly=on}"
}

numa=()
if [ "$nodes" -gt 1 ]; then
	[ "$nodes" = "$cpus" ] || die "-N $nodes needs -c $nodes"
	for ((i = 0; i < nodes; i++)); do
		numa+=(-object "memory-backend-ram,id=m$i,size=$((mem / nodes))M"
			-numa "node,nodeid=$i,memdev=m$i,cpus=$i")
	done
fi

# What is asked for comes last: inside.sh expects the console in the first
# virtio device.
rc=0
timeout --foreground -k 2 "$limit" qemu-system-x86_64 -M q35 \
	-accel "$accel" -cpu max -smp "$cpus" -m "$mem" "${numa[@]}" \
	-nodefaults -no-reboot -display none -serial "file:$control/console" \
	-kernel "$image/vmlinux" -initrd "$image/initrd" -append "${append//[$'\n\t']/ }" \
	"${pidfile[@]}" \
	-device virtio-serial-pci -chardev file,id=c0,path=/dev/stdout \
	-device virtserialport,chardev=c0,name=out \
	-fsdev "$(nine r / ro)" -device virtio-9p-pci,fsdev=r,mount_tag=hostroot \
	-fsdev "$(nine t "$tree" ro)" -device virtio-9p-pci,fsdev=t,mount_tag=tree \
	-fsdev "$(nine c "$control")" -device virtio-9p-pci,fsdev=c,mount_tag=control \
	"${extra[@]}" </dev/null | cat || rc=$?
if [ -s "$control/rc" ]; then
	exit "$(cat "$control/rc")"
fi
tail -20 "$control/console" >&2
if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
	echo "guest: time limit of $limit s reached" >&2
	exit 124
fi
[ "$rc" -le 128 ] || die "the emulator died of signal $((rc - 128))"
die "the guest ended without a result (qemu said $rc)"
