#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first program: modules, the host's / by 9p under a layer of
# memory, then inside.sh within it.
B=/bin/busybox
$B mount -t proc p /proc
$B mount -t sysfs s /sys
$B mount -t devtmpfs d /dev
for word in $($B cat /proc/cmdline); do
	case $word in hs_modules=*) more=${word#*=} ;; esac
done
$B modprobe -a $($B cat /modules) $(echo "$more" | $B tr , ' ') ||
	echo "modprobe failed"
O=trans=virtio,version=9p2000.L,msize=512000
$B mount -t 9p -o ro,$O,cache=loose hostroot /host || echo "no hostroot"
$B mount -t overlay -o lowerdir=/host,upperdir=/hot,workdir=/work o /new ||
	echo "no overlay"
$B mount --bind /drivers /new/etc/libibverbs.d
for d in tmp run var/tmp mnt; do $B mount -t tmpfs t /new/$d; done
$B mkdir -p /new/run/netns
$B mount -t 9p -o rw,$O control /new/mnt || echo "no control"
$B mount -t proc p /new/proc
$B mount -t sysfs s /new/sys
$B mount --move /dev /new/dev
$B mkdir -p /new/dev/shm /new/dev/pts
$B mount -t tmpfs t /new/dev/shm
$B mount -t devpts t /new/dev/pts
exec $B chroot /new /bin/bash /mnt/inside
