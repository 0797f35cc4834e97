#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Within the guest: two processes over verbs, and what may happen to them.
# Usage: faults.sh NODE loss|killed|removed
set -u

node=$1 what=$2
out=$(mktemp -d)
listener= dialer=

start_listener() {
	"$node" listen 10.77.0.1:7411 >>"$out/listener" 2>&1 &
	listener=$!
}

start_dialer() {
	"$node" dial 10.77.0.1:7411 10.77.0.2 "$1" >"$out/dialer" 2>&1 &
	dialer=$!
}

fail() {
	echo "FAILED $what: $*"
	head -20 "$out"/*
	kill -9 $listener $dialer 2>/dev/null
	exit 1
}

# wait_for SIDE WORD COUNT: until it has said so
wait_for() {
	for _ in {1..1500}; do
		[ "$(grep -c "^$2\$" "$out/$1" 2>/dev/null)" -ge "$3" ] &&
			return 0
		sleep .02
	done
	fail "$1 did not say '$2' $3 times"
}

case $what in
loss)
	for port in v1 v2; do
		tc qdisc add dev $port root netem loss 2% || exit 77
	done
	start_listener
	start_dialer 150
	wait_for dialer "done" 1
	;;
killed)
	start_listener
	start_dialer 1000000
	wait_for dialer up 1
	kill -9 $listener
	wait_for dialer down 1
	start_listener
	wait_for dialer up 2
	kill -9 $dialer
	wait_for listener down 1
	start_dialer 20
	wait_for dialer "done" 1
	;;
removed)
	start_listener
	start_dialer 1000000
	wait_for dialer up 1
	# The kernel waits until nobody has the device open; librdmacm keeps it
	# open as long as its process lives, so the removal ends with that.
	rdma link delete rxe1 &
	removal=$!
	wait_for dialer down 1
	wait_for listener down 1
	kill -9 $listener
	wait $removal || fail "rxe1 could not be removed"
	rdma link add rxe1 type rxe netdev e1
	start_listener
	wait_for dialer up 2
	kill -9 $dialer
	wait_for listener down 2
	start_dialer 20
	wait_for dialer "done" 1
	;;
esac
kill -9 $listener 2>/dev/null
echo "OK $what: $(grep -c '^up$' "$out/dialer") connection(s) of the last dialer"
