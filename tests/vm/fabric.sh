#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Within the guest: three nodes, a coordinator and a collector over verbs, real
# traces replayed through them, and what was collected held against the input.
# Usage: fabric.sh BUILD SAMPLE...
set -u

cd "$1" || exit 1
export HS_BUILD=$1
tools/hs-replay --nodes 3 --speed 1 --trigger share=1 \
	--verbs 10.77.0.1,10.77.0.2,10.77.0.3 --keep /tmp/f "${@:2}"
rc=$?
tools/hs status --fabric /tmp/f | tee /tmp/status
grep -q "verbs: configured" /tmp/status || rc=1
grep -q "rxe1 port 1 GID 1 10.77.0.1 (transport.source)" /tmp/status ||
	{ echo "fabric: no word of the device"; rc=1; }
# All three nodes can be read of, what was asked for was there, and next nodes
# that it named were asked before an answer named them too: those of chains,
# since in the other samples the first node names all there are.
grep -Eq "reads ahead at 3: [1-9][0-9]*, [1-9][0-9]* hit" /tmp/status ||
	{ echo "fabric: nothing was read ahead"; rc=1; }
grep -Eq " [1-9][0-9]* of [1-9][0-9]* hints confirmed" /tmp/status ||
	{ echo "fabric: no next node was found by reading ahead"; rc=1; }
# Without a failed read, which would have ended a connection. The traces were
# whole, or hs-replay had said so above.
tools/hs status --fabric /tmp/f --json >/tmp/status.json
grep -Eq '"reads_failed": *[1-9]' /tmp/status.json &&
	{ echo "fabric: reads failed"; rc=1; }
grep -q '"reads_failed"' /tmp/status.json ||
	{ echo "fabric: no word of failed reads"; rc=1; }
tools/hs stop --purge --fabric /tmp/f >/dev/null 2>&1
exit $rc
