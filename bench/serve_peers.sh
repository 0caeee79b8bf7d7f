#!/bin/bash
# mynah serve beside llama-server on the same file in the same run, two threads each: bench/serve_peers.sh MODEL.gguf LLAMA_BIN [rounds] [parts]
# LLAMA_BIN is the folder with llama-server (see bench/peers.sh). Both get 16 slots, two keys and the model's context of 8,192 for each slot;
# bench/serve.py runs the loads on one after the other. Then embeddings, which llama-server wants a start of its own for, and what the
# server costs beside the bare engine. Parts: a comma list of streams, shared, queued, turns, fairness, cancellation, idle, embeddings, bare; all without.
# MYNAH_CLIENTS_AT_ONCE (1,4,8,16,64) chooses the numbers of streams.
set -eu
root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
model=$(realpath "$1") peer=$2 rounds=${3:-3} parts=${4:-streams,shared,queued,turns,fairness,cancellation,idle,embeddings,bare}
mynah=${MYNAH:-$root/build/release/apps/mynah/mynah}
[ -x "$peer/llama-server" ] || { echo "no llama-server in $peer" >&2; exit 1; }
wants() { case ",$parts," in *",$1,"*) ;; *) return 1 ;; esac; }
threads=${MYNAH_THREADS:-2}
work=$(mktemp -d)
pids=
trap '[ -z "$pids" ] || kill $pids 2>/dev/null || true; wait; rm -r "$work"' EXIT
export MYNAH_HOME=$work/store MYNAH_OFFLINE=1 MYNAH_THREADS=$threads
printf 'first-key\nsecond-key\n' >"$work/keys"
printf 'FROM %s\n' "$model" >"$work/Modelfile"
"$mynah" create peer-test -f "$work/Modelfile" 2>/dev/null

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ready() { for _ in $(seq 300); do curl -sf "http://127.0.0.1:$1/health" >/dev/null && return; sleep 0.1; done; echo "no server on $1" >&2; exit 1; }
theirs_with() {  # PORT FLAGS...
  local port=$1
  shift
  "$peer/llama-server" -m "$model" -t "$threads" --host 127.0.0.1 --port "$port" "$@" >"$work/peer.log" 2>&1 &
  theirs=$!
  pids="$pids $theirs"
  ready "$port"
}
end_theirs() {
  kill "$theirs"
  wait "$theirs" 2>/dev/null || true
}
port=$(free_port)
"$mynah" serve --port "$port" --model peer-test --api-key-file "$work/keys" 2>"$work/log" &
ours=$!
pids=$ours
ready "$port"
beside=$(printf %s "$parts" | tr , '\n' | grep -vx -e embeddings -e bare | paste -sd,)
if [ -n "$beside" ]; then
  peer_port=$(free_port)
  theirs_with "$peer_port" -np 16 -c $((16 * 8192)) --metrics --api-key first-key,second-key
  "$root/bench/serve.py" "mynah=http://127.0.0.1:$port" "llama-server=http://127.0.0.1:$peer_port" --model peer-test --keys first-key,second-key \
    --pids "$ours,$theirs" --rounds "$rounds" --clients "${MYNAH_CLIENTS_AT_ONCE:-1,4,8,16,64}" --only "$beside"
  end_theirs
fi
if wants embeddings; then
  peer_port=$(free_port)
  theirs_with "$peer_port" -c 32768 -np 16 -b 2048 -ub 2048 --embeddings --pooling last --api-key first-key
  "$root/bench/serve.py" "mynah=http://127.0.0.1:$port" "llama-server=http://127.0.0.1:$peer_port" --model peer-test --keys first-key --rounds "$rounds" --only embeddings
  end_theirs
fi
wants bare || exit 0

# Decoding of one stream as its client sees it, beside the engine alone (`mynah bench`).
prompt="Tell a long story about a bird."
rate() { python3 -c 'import json, sys; print([r["tokens_per_second"][0] for r in json.load(sys.stdin)["rows"] if r["test"] == "tg128"][0])'; }
outside() {
  python3 - "$port" "$prompt" <<'PYTHON'
import json, sys, time, urllib.request
body = {"model": "peer-test", "prompt": sys.argv[2], "options": {"temperature": 0, "num_predict": 128}}
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/api/generate", json.dumps(body).encode(), {"Authorization": "Bearer first-key"})
first, received = None, b""
with urllib.request.urlopen(request) as answer:
    while piece := answer.read1():  # looked at behind the end: the client wants the same processors
        first = first or time.perf_counter()
        received += piece
seconds = time.perf_counter() - first
print((json.loads(received.splitlines()[-1])["eval_count"] - 1) / seconds)
PYTHON
}
for _ in $(seq $((4 * rounds))); do  # short ones, for the best of them to find the machine at rest
  "$mynah" bench "$model" --prompt 32 --generate 128 --repeat 1 --threads "$threads" --json 2>/dev/null | rate >>"$work/bare"
  outside >>"$work/outside"
done
best() { sort -n "$1" | tail -n 1; }
awk -v a="$(best "$work/bare")" -v b="$(best "$work/outside")" 'BEGIN { printf "\none stream of 128: %.1f tokens/s of the engine alone, %.1f from the server as its client sees them, %.1f %% less\n", a, b, (1 - b / a) * 100 }'
