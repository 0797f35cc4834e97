#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Within the guest, which has two NUMA nodes and a network card at each: an RDMA
# device on each card, and which one a process takes that may run here or there.
# Then another program.
# Usage: near.sh NODE PROGRAM [ARGUMENT...]
set -u

node=$1
shift

fail() {
	echo "near: $*"
	"$node" near
	rdma link
	exit 1
}

# expect WORDS [COMMAND...]: what a process says that is started by it
expect() {
	local words=$1 said
	shift
	said=$("$@" "$node" near 2>/dev/null)
	[ "$said" = "$words" ] || fail "'$said' instead of '$words' by: $*"
}

# The card at node n gets rxe1n, whatever the kernel calls it.
cards=()
for at in /sys/class/net/*/device/numa_node; do
	n=$(cat "$at")
	card=$(basename "$(dirname "$(dirname "$at")")")
	case $n in 0 | 1) ;; *) fail "$card is at node $n" ;; esac
	ip addr add "10.78.0.$((n + 1))/24" dev "$card"
	ip link set "$card" up
	rdma link add "rxe1$n" type rxe netdev "$card" || fail "no rxe1$n"
	cards[n]=$card
done
[ ${#cards[@]} = 2 ] || fail "${#cards[@]} cards instead of 2"
for _ in {1..500}; do
	[ "$(rdma link | grep -c 'state ACTIVE')" = 2 ] && break
	sleep .02
done

expect "nearest: rxe10 port 1 (distance 10), rxe11 port 1 (20)" taskset -c 0
expect "nearest: rxe11 port 1 (distance 10), rxe10 port 1 (20)" taskset -c 1
# Anywhere: both are as near, so by name.
expect "nearest: rxe10 port 1 (distance 15), rxe11 port 1 (15)" env
# The near one's link is down.
ip link set "${cards[1]}" down
expect "nearest: rxe10 port 1 (distance 20), rxe11 port 1 (not active)" \
	taskset -c 1
ip link set "${cards[1]}" up

# A peer of this machine is reached by its own device, with nothing configured.
"$node" listen 10.78.0.1:7411 >/tmp/listener 2>&1 &
listener=$!
timeout 60 "$node" dial 10.78.0.1:7411 "" 20 >/tmp/dialer 2>&1 ||
	fail "no connection: $(cat /tmp/listener /tmp/dialer)"
kill -9 $listener
echo "near: OK"
exec "$@"
