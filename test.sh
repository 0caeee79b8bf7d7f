#!/bin/bash
# Builds everything and runs the fast tests. Arguments go to ctest (./test.sh -R store); slow tests: ./test.sh -L slow
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || exit 1
. "$root/tools/bootstrap.sh"

take_lock
: >"$log"
sources=$(fingerprint)
install_packages build run test
configure -DMYNAH_TESTS=ON -DMYNAH_BENCH=ON
run_ninja
save_fingerprint "$sources"
exec 9>&-

# Tests that take long, load real weights or use the network carry a label and run only when a label is asked for.
choice=(-LE 'slow|real|network')
for argument; do
  [[ $argument == -L* || $argument == --label* ]] && choice=()
done
exec ctest --test-dir "$build" -j2 --output-on-failure "${choice[@]}" "$@" </dev/null
