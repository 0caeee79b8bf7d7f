#!/usr/bin/env bash
# Push and pull against Debian's docker-registry on the loopback interface. Arguments: the program, a .gguf file. Exit code 77: the
# registry is not installed (apt-get install docker-registry).
set -u
program=$1 model=$2
command -v docker-registry >/dev/null || exit 77
home=$(mktemp -d)
trap 'kill "$registry" 2>/dev/null; rm -rf "$home"' EXIT
port=$((20000 + RANDOM % 20000))
cat >"$home/config.yml" <<CONFIG
version: 0.1
log: {level: error}
storage:
  filesystem: {rootdirectory: $home/registry}
http: {addr: "127.0.0.1:$port"}
CONFIG
docker-registry serve "$home/config.yml" >"$home/log" 2>&1 &
registry=$!
for _ in $(seq 100); do
  curl -sf "http://127.0.0.1:$port/v2/" >/dev/null && break
  sleep 0.1
done
failed=0
expect() {  # WHAT CODE COMMAND...
  local what=$1 code=$2 got
  shift 2
  "$@" >"$home/out" 2>&1 </dev/null
  got=$?
  if [ $got = "$code" ]; then echo "ok $what"; else
    echo "FAILED $what: exit $got, expected $code"
    cat "$home/out"
    failed=1
  fi
}
name=127.0.0.1:$port/birds/wren:small
export MYNAH_HOME=$home/one
unset MYNAH_OFFLINE
printf 'FROM %s\nSYSTEM You are a wren.\nPARAMETER temperature 0\n' "$model" >"$home/Modelfile"
expect create 0 "$program" create "$name" -f "$home/Modelfile"
expect "push of plain http needs --insecure" 4 "$program" push "$name"
grep -q -- --insecure "$home/out" || { echo "FAILED the error names --insecure"; failed=1; }
expect push 0 "$program" push --insecure "$name"
expect "push again sends nothing" 0 "$program" push --insecure "$name"
expect "push of what is not stored" 3 "$program" push --insecure "127.0.0.1:$port/birds/none"
export MYNAH_HOME=$home/two
expect "pull of plain http needs --insecure" 2 "$program" pull "ollama:http://$name"
expect pull 0 "$program" pull --insecure --quiet "ollama:http://$name"
expect "pull without a scheme" 0 "$program" pull --insecure --quiet "ollama:$name"
expect "unknown tag" 3 "$program" pull --insecure --quiet "ollama:http://127.0.0.1:$port/birds/wren:none"
expect show 0 "$program" show "ollama:http://$name"
"$program" show --json "ollama:http://$name" | grep -q 'You are a wren' || { echo "FAILED the system text came along"; failed=1; }
# A blob that has changed in the registry is not taken.
blob=$(find "$home/registry" -name data -size +100k | head -1)
[ -n "$blob" ] || blob=$(find "$home/registry" -name data -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
printf 'X' | dd of="$blob" bs=1 seek=64 conv=notrunc 2>/dev/null
export MYNAH_HOME=$home/three
expect "damaged blob" 5 "$program" pull --insecure --quiet "ollama:http://$name"
[ "$("$program" list --json | tr -d ' \n')" = '{"models":[]}' ] || { echo "FAILED a damaged model is listed"; failed=1; }
exit $failed
