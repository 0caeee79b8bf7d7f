# What ./mynah and ./test.sh share: packages, configuration, the build with its progress. Sourced by bash; needs $root.

build=$root/build/release
program=$build/apps/mynah/mynah
log=$build/build.log

say() { printf 'mynah: %s\n' "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# wanted_packages KIND...: prints "package kind why" of each line of packages.txt of these kinds that is missing here.
wanted_packages() {
  local names kind why name installed found
  local -A have=()
  installed=$(sed -e 's/#.*//' -e 's/[[:space:]].*//' "$root/tools/packages.txt" | tr '|' '\n' |
    grep -v -e '^@' -e '^$' | LC_ALL=C xargs dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null)
  while read -r kind name; do
    [[ $kind == ?i ]] && have[$name]=1
  done <<<"$installed"
  while read -r names kind why; do
    [[ -z $names || $names == '#'* || " $* " != *" $kind "* ]] && continue
    found=
    for name in ${names//|/ }; do
      if [[ $name == @* ]]; then
        command -v "${name#@}" >/dev/null && found=1
      elif [[ ${have[$name]-} ]]; then
        found=1
      fi
    done
    [[ $found ]] || printf '%s %s %s\n' "${names%%|*}" "$kind" "$why"
  done <"$root/tools/packages.txt"
}

apt() {
  LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# install_packages KIND...: brings what is missing. Never removes a package, never asks; without root it names the
# command.
install_packages() {
  command -v dpkg-query >/dev/null || return 0  # not a Debian system: CMake says what it cannot find
  local missing package kind why needed=() optional=() plan removed
  missing=$(wanted_packages "$@")
  [[ $missing ]] || return 0
  while read -r package kind why; do
    say "missing package $package ($why)"
    if [[ $kind == run ]]; then optional+=("$package"); else needed+=("$package"); fi
  done <<<"$missing"
  if ((EUID != 0)); then
    ((${#needed[@]})) || return 0  # the program can be built without the rest
    say "installing them needs root; run this, then try again:"
    printf '  sudo apt-get install --no-install-recommends %s\n' "${needed[*]} ${optional[*]}" >&2
    exit 1
  fi
  local all=("${needed[@]}" "${optional[@]}") install=(install -y --no-install-recommends)
  if ! plan=$(apt -s "${install[@]}" "${all[@]}" 2>&1); then
    say "reading the package lists (apt-get update)"
    apt -q update >>"$log" 2>&1 || say "apt-get update failed, see $log"
    plan=$(apt -s "${install[@]}" "${all[@]}" 2>&1) || {
      tail -n 5 <<<"$plan" >&2
      die "the package manager cannot install: ${all[*]}; install them and try again"
    }
  fi
  removed=$(awk '$1 == "Remv" { printf " %s", $2 }' <<<"$plan")
  [[ $removed ]] &&
    die "installing ${all[*]} would remove$removed; nothing was changed: settle this conflict, then try again"
  say "installing ${all[*]}"
  if ! apt -q "${install[@]}" "${all[@]}" >>"$log" 2>&1; then
    # Package lists that are too old name files that are gone.
    apt -q update >>"$log" 2>&1
    apt -q "${install[@]}" "${all[@]}" >>"$log" 2>&1 || show_failure "installation"
  fi
}

show_failure() {
  say "the $1 failed; the last lines of $log:"
  tail -n 25 "$log" >&2
  exit 1
}

# configure ARGUMENT...: runs CMake for build/release.
configure() {
  local home=
  [[ -f $build/CMakeCache.txt ]] && home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$build/CMakeCache.txt")
  if [[ $home && ! $home -ef $root ]]; then
    say "this tree was moved here from $home: its build folder starts afresh"
    find "$build" -mindepth 1 -maxdepth 1 ! -name build.log -exec rm -rf {} +
  fi
  say "configuring"
  (cd "$root" && cmake --preset release "$@") >>"$log" 2>&1 </dev/null || show_failure "configuration"
}

# One compiler process per processor, but not more than memory holds (about 1 GB each).
build_jobs() {
  local jobs memory
  jobs=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1000000) }' /proc/meminfo)
  ((memory < 1)) && memory=1
  ((memory < jobs)) && jobs=$memory
  echo "$jobs"
}

# run_ninja ARGUMENT...: builds, with a percentage on stderr: in place on a terminal, else a line every 20 s.
run_ninja() {
  local started=$SECONDS last=$SECONDS line part done_parts all_parts state
  local jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(build_jobs)}
  NINJA_STATUS='@%f/%t ' ninja -C "$build" -j "$jobs" "$@" >>"$log" 2>&1 </dev/null &
  local pid=$!
  trap 'kill $pid 2>/dev/null; wait $pid; exit 130' INT
  trap 'kill $pid 2>/dev/null; wait $pid; exit 143' TERM HUP
  while kill -0 $pid 2>/dev/null; do
    sleep 0.4 9>&-
    line=$(tail -c 8192 "$log" | grep -a '^@[0-9]*/[0-9]* ' | tail -n 1)
    [[ $line ]] || continue
    part=${line%% *}
    done_parts=${part#@} all_parts=${part#*/}
    done_parts=${done_parts%/*}
    ((all_parts > 0)) || continue
    state=$(printf 'building %3d %%  %d:%02d' $((100 * done_parts / all_parts)) \
      $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)))
    if [[ -t 2 ]]; then
      printf '\rmynah: %s ' "$state" >&2
    elif ((SECONDS - last >= 20)); then
      last=$SECONDS
      say "$state"
    fi
  done
  [[ -t 2 ]] && printf '\r%40s\r' '' >&2
  wait $pid || show_failure "build"
  trap - INT TERM HUP
  say "built in $((SECONDS - started)) s"
}

# take_lock: one build at a time in this tree; file descriptor 9 holds the lock until the shell ends or closes it.
take_lock() {
  mkdir -p "$build" 2>/dev/null && exec 9>>"$root/build/.lock" || die "cannot write to $root/build; check who owns it"
  flock -n 9 && return
  say "waiting for another build of this tree"
  flock 9
}

# What the program is made of: name, time and size of each file. A build is due when this list changes.
fingerprint() {
  cd "$root" && exec find CMakeLists.txt CMakePresets.json layers.txt cmake src include apps \
    -printf '%p %T@ %s %y\n' 2>/dev/null
}

up_to_date() { [[ -x $program ]] && cmp -s "$build/.built" <(fingerprint); }

# save_fingerprint TEXT: what was taken before the build began, so that a file saved meanwhile counts as changed.
save_fingerprint() { printf '%s\n' "$1" >"$build/.built.new" && mv "$build/.built.new" "$build/.built"; }
