# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Within the guest: the devices, then the command. guest.sh puts the variables
# devices, workdir, tree and command before this text.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8 HS_VM=1
exec </dev/null >/dev/vport0p1 2>&1
ulimit -l unlimited

wait_device() {
	for _ in {1..100}; do
		[ ! -e "/dev/infiniband/uverbs$1" ] || return 0
		sleep .02
	done
	echo "guest: no uverbs$1"
}

# The devices cannot leave the first network namespace, so the kernel has to
# send between its own addresses over the veths, as if between hosts.
for c in all default; do
	cd "/proc/sys/net/ipv4/conf/$c" || exit
	echo 1 >accept_local
	echo 0 >rp_filter
	echo 1 >arp_ignore
	echo 2 >arp_announce
done
{
	printf '%s\n' "link set lo up" "link add br0 mtu 4200 type bridge" \
		"link set br0 up"
	for ((i = 1; i <= devices; i++)); do
		printf '%s\n' \
			"link add e$i mtu 4200 type veth peer name v$i mtu 4200" \
			"link set v$i master br0 up" \
			"addr add 10.77.0.$i/24 dev e$i" "link set e$i up"
	done
} | ip -batch -
for ((i = 1; i <= devices; i++)); do
	rdma link add "rxe$i" type rxe netdev "e$i"
	wait_device $((i - 1))
done
# A tree below /tmp or /run lies under the guest's own; it is laid over them.
if [ ! -d "$workdir" ]; then
	mkdir -p "$tree"
	mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose \
		tree "$tree" || echo "guest: no tree"
fi
cd "$workdir" || exit
set +e
"${command[@]}"
echo $? >/mnt/rc
exec >/dev/null 2>&1
busybox poweroff -f
