#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Exported Jaeger JSON against its source through a reader that shares no code
# with the importer, the exporter or the verifier.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
tools=${HS_BUILD:?}/tools
source=${HS_SHARED_DATA:-${HS_SHARED_DATA_DEFAULT:?}}/traceweaver/media_load50.tar.xz
if [ ! -e "$source" ]; then
	echo "skipped: no $source"
	exit 77
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/hs-export-XXXXXX")
finish() {
	"$tools/hs" stop --purge --fabric "$dir" >"$dir/stop.txt" 2>&1 || true
	rm -rf "$dir"
}
trap finish EXIT
"$tools/hs-replay" --speed 50 --trigger share=0.05 --keep "$dir" "$source" ||
	[ $? -eq 5 ] # slower than asked, and nothing else
"$tools/hs" traces list --fabric "$dir" --limit 1000 --json |
	sed -n 's/.*"trace_id": *"\([0-9a-f]*\)".*/\1/p' |
	xargs "$tools/hs" traces export --fabric "$dir" --format jaeger \
		--output "$dir/export.json"
python3 "$here/compare_jaeger.py" "$dir/export.json" "$source"
