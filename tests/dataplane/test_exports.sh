#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libhindsight exports what its header declares: no more and no fewer.
#	test_exports.sh LIBRARY HEADER
set -eu
want=$(grep -oE '\bhs_[a-z0-9_]+\(' "$2" | tr -d '(' |
	grep -v '^hs_inline_' | sort -u)
have=$(nm -D --defined-only "$1" | awk '$2 == "T" {print $3}' |
	sed 's/@.*//' | sort -u)
if [ "$want" != "$have" ]; then
	echo "declared:"
	echo "$want"
	echo "exported:"
	echo "$have"
	exit 1
fi
