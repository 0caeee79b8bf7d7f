#!/usr/bin/env bash
# Push and pull against Debian's docker-registry on the loopback interface, also through a proxy that spoils its answers. Arguments: the
# program, a .gguf file. Exit code 77: the registry is not installed (apt-get install docker-registry), or python3.
set -u
program=$1 model=$2
command -v docker-registry >/dev/null && command -v python3 >/dev/null || exit 77
here=$(cd "$(dirname "$0")" && pwd)
home=$(mktemp -d)
proxy=
trap 'kill "$registry" $proxy 2>/dev/null; rm -rf "$home"' EXIT
# It has no port 0 that tells what it got; ports below the range of outgoing connections are tried until one is free.
for _ in $(seq 20); do
  port=$((10000 + RANDOM % 20000))
  cat >"$home/config.yml" <<CONFIG
version: 0.1
log: {level: error}
storage:
  filesystem: {rootdirectory: $home/registry}
http: {addr: "127.0.0.1:$port"}
CONFIG
  docker-registry serve "$home/config.yml" >"$home/log" 2>&1 &
  registry=$!
  for _ in $(seq 600); do
    kill -0 "$registry" 2>/dev/null || break
    curl -sf "http://127.0.0.1:$port/v2/" >/dev/null && break 2
    sleep 0.1
  done
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
# Faults on the way: each pull ends well or says what is wrong, and leaves either the whole model or none.
echo none >"$home/fault"
python3 "$here/faulty_proxy.py" "$port" "$home/fault" >"$home/proxied" 2>"$home/proxy_log" &
proxy=$!
for _ in $(seq 600); do
  [ -s "$home/proxied" ] && break
  sleep 0.1
done
through=ollama:http://127.0.0.1:$(head -1 "$home/proxied")/birds/wren:small
export MYNAH_HOME=$home/faults
faulty() {  # FAULT CODE [NUMBER OF RANGES ASKED FOR, at least]
  rm -rf "$MYNAH_HOME"
  echo "$1" >"$home/fault"
  : >"$home/proxied"
  expect "pull with fault: $1" "$2" "$program" pull --insecure --quiet "$through"
  listed=$("$program" list --json | grep -c '"name"')
  [ "$listed" = "$([ "$2" = 0 ] && echo 1 || echo 0)" ] || { echo "FAILED fault $1: $listed models are listed"; failed=1; }
  [ "$(grep -c 'bytes=' "$home/proxied")" -ge "${3:-0}" ] || { echo "FAILED fault $1: nothing was resumed"; cat "$home/proxied"; failed=1; }
  [ "$2" != 0 ] || [ "$(sha256sum <"$("$program" show "$through" | awk '$1 == "path" {print $2}')")" = "$(sha256sum <"$model")" ] || { echo "FAILED fault $1: other bytes"; failed=1; }
  if [ "$2" != 0 ]; then
    [ "$(grep -c '^mynah: ' "$home/out")" = 1 ] && [ "$(wc -l <"$home/out")" = 1 ] || { echo "FAILED fault $1: not one line"; cat "$home/out"; failed=1; }
    # What was kept does no harm to the next pull.
    echo none >"$home/fault"
    expect "pull after fault: $1" 0 "$program" pull --insecure --quiet "$through"
  fi
}
faulty none 0
faulty "cut-once 10000" 0 1
faulty "cut 20000" 0 2
faulty "cut 0" 4
faulty "status 503 2" 0
faulty "status 429 2" 0
faulty "status 500 2" 0
faulty "status 404 9" 3
faulty "status 401 9" 7
faulty "status 403 9" 7
faulty "flip 30000" 5
faulty short 0 1
faulty redirect 0
faulty redirect-loop 4
faulty garbage 4
faulty "stall 30000" 0 1  # noticed after 30 seconds
# A broken pull is gone on with by a server that does not know ranges, or answers with others than were asked for.
for fault in ranges-ignored wrong-range; do
  rm -rf "$MYNAH_HOME"
  echo "stall 25000" >"$home/fault"
  "$program" pull --insecure --quiet "$through" 2>/dev/null &
  puller=$!
  while kill -0 "$puller" && [ -z "$(find "$MYNAH_HOME/blobs/partial" -type f -size +20k 2>/dev/null)" ]; do sleep 0.05; done  # a part is here
  kill -9 "$puller"
  wait "$puller" 2>/dev/null
  echo "$fault" >"$home/fault"
  expect "broken pull, then $fault" "$([ "$fault" = wrong-range ] && echo 4 || echo 0)" "$program" pull --insecure --quiet "$through"
done
kill "$proxy"
# A blob that has changed in the registry is not taken.
blob=$(find "$home/registry" -name data -size +100k | head -1)
[ -n "$blob" ] || blob=$(find "$home/registry" -name data -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2)
printf 'X' | dd of="$blob" bs=1 seek=64 conv=notrunc 2>/dev/null
export MYNAH_HOME=$home/three
expect "damaged blob" 5 "$program" pull --insecure --quiet "ollama:http://$name"
[ "$("$program" list --json | tr -d ' \n')" = '{"models":[]}' ] || { echo "FAILED a damaged model is listed"; failed=1; }
exit $failed
