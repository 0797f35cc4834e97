#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Within the guest: its two cards to vfio-pci, huge pages, and then a program
# with their addresses.
# Usage: cards.sh HUGE_PAGES PROGRAM [ARGUMENT...]
set -u

fail() {
	echo "cards: $*"
	exit 1
}

# vfio asks for it where interrupts are not remapped; ports are polled.
echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
echo "$1" >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
shift
cards=()
for device in /sys/bus/pci/devices/*; do
	[ "$(cat "$device/vendor") $(cat "$device/device")" = "0x8086 0x10d3" ] ||
		continue
	[ -e "$device/iommu_group" ] || fail "no IOMMU before $device"
	echo vfio-pci >"$device/driver_override"
	basename "$device" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$device/driver")")" = vfio-pci ] ||
		fail "vfio-pci does not take $device"
	cards+=("$(basename "$device")")
done
[ ${#cards[@]} = 2 ] || fail "${#cards[@]} cards instead of 2"
exec "$@" "${cards[@]}"
