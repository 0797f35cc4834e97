#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the packages: those for building and testing, and with --workshop
# also those for formatting, analysis and coverage.
set -euo pipefail
. dev.d/lib.sh
case "${1:-}" in
"") packages_need "${packages_build[@]}" ;;
--workshop)
	packages_need "${packages_build[@]}" "${packages_workshop[@]}"
	;;
*) die "setup takes only --workshop, not '$1'" ;;
esac
say "the packages are there"
