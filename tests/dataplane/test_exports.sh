#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# libhindsight exports what its headers declare: no more and no fewer.
#	test_exports.sh LIBRARY HEADER...
set -eu
library=$1
shift
want=$(grep -ohE '\bhs_[a-z0-9_]+\(' "$@" | tr -d '(' |
	grep -v '^hs_inline_' | sort -u)
have=$(nm -D --defined-only "$library" | awk '$2 == "T" {print $3}' |
	sed 's/@.*//' | sort -u)
if [ "$want" != "$have" ]; then
	echo "declared:"
	echo "$want"
	echo "exported:"
	echo "$have"
	exit 1
fi
