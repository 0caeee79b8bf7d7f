#!/usr/bin/env bash
# The built server from outside: TLS, Unix sockets, sockets of a service manager, and the program as a client of it. Arguments: the
# program, the folder of golden models. Exit code 77: curl or openssl is missing.
set -u
program=$1 golden=$2
command -v curl >/dev/null && command -v openssl >/dev/null || exit 77
home=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$home"' EXIT
export MYNAH_HOME=$home/store
unset OLLAMA_HOST MYNAH_OFFLINE HF_TOKEN
failed=0
start() {
  : >"$home/log"
  "$program" serve "$@" 2>"$home/log" &
  server=$!
  for _ in $(seq 1200); do  # machines may be busy
    grep -q 'listening on' "$home/log" && return
    sleep 0.05
  done
  cat "$home/log"
  exit 1
}
stop() {
  kill -TERM "$server"
  wait "$server"
  holds "the server ends with 0" $? 0
  server=
}
holds() {  # WHAT GOT EXPECTED
  if [ "$2" = "$3" ]; then echo "ok $1"; else
    echo "FAILED $1: $2, expected $3"
    failed=1
  fi
}
printf 'FROM %s\n' "$golden/models/gguf_llama_f32/model.gguf" >"$home/Modelfile"
"$program" create tiny -f "$home/Modelfile" 2>/dev/null
printf 'FROM %s\n' "$golden/tasks/bert_classifier" >"$home/Modelfile"
"$program" create classifier -f "$home/Modelfile" 2>/dev/null

# What a Modelfile says holds in the program as in the server.
printf 'FROM tiny\nSYSTEM Sing.\nTEMPLATE """{{ .System }}{{ .Prompt }}"""\nPARAMETER temperature 0\nPARAMETER num_predict 6\n' >"$home/Modelfile"
"$program" create singer -f "$home/Modelfile" 2>/dev/null
holds "run reads the Modelfile" "$("$program" run singer a </dev/null 2>/dev/null)" "$("$program" run tiny "Sing.a" --raw --temperature 0 --max-tokens 6 </dev/null 2>/dev/null)"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
  -keyout "$home/key.pem" -out "$home/cert.pem" 2>/dev/null
start --port 0 --tls-cert "$home/cert.pem" --tls-key "$home/key.pem"
url=$(sed -n 's/.*listening on //p' "$home/log")
port=${url##*:}
holds "TLS" "$(curl -s --cacert "$home/cert.pem" "https://localhost:$port/health")" '{"status":"ok"}'
holds "several requests on one TLS connection" "$(curl -s --cacert "$home/cert.pem" "https://localhost:$port/health" "https://localhost:$port/health" -w '%{num_connects}')" '{"status":"ok"}1{"status":"ok"}0'
holds "a stream in TLS" "$(curl -s --cacert "$home/cert.pem" "https://localhost:$port/api/generate" -d '{"model":"tiny","prompt":"a","options":{"num_predict":3}}' | tail -1 | grep -c '"done":true')" 1
holds "a large body in TLS" "$(head -c 3000000 /dev/zero | tr '\0' a | curl -s --cacert "$home/cert.pem" -o /dev/null -w '%{http_code}' "https://localhost:$port/api/show" --data-binary @-)" 400
holds "pipelined requests in TLS" "$(printf 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' | timeout 60 openssl s_client -quiet -CAfile "$home/cert.pem" -connect "localhost:$port" 2>/dev/null | grep -c '"ok"')" 2
holds "plain http on a TLS port" "$(curl -s -o /dev/null -m 60 -w '%{http_code}' "http://localhost:$port/health")" 000
stop
"$program" serve --port 0 --tls-cert "$home/Modelfile" 2>/dev/null
holds "a certificate that is none" $? 2

start --unix "$home/socket"
holds "Unix socket" "$(curl -s --unix-socket "$home/socket" http://localhost/health)" '{"status":"ok"}'
"$program" serve --unix "$home/socket" 2>/dev/null
holds "a Unix socket that is taken" $? 8
kill -9 "$server"
wait "$server" 2>/dev/null
start --unix "$home/socket"
holds "a Unix socket that was left over" "$(curl -s --unix-socket "$home/socket" http://localhost/health)" '{"status":"ok"}'
stop
holds "the Unix socket is gone" "$(ls "$home/socket" 2>/dev/null)" ""

# More connections than the shell's limit of open files: the server raises it.
limit=$(ulimit -Sn)
ulimit -Sn 64
start --port 0
ulimit -Sn "$limit"
port=$(sed -n 's/.*listening on .*://p' "$home/log")
idle=()
for _ in $(seq 100); do
  exec {socket}<>"/dev/tcp/127.0.0.1/$port"
  idle+=("$socket")
done
holds "100 idle connections under a limit of 64 files" "$(curl -s -m 60 "http://127.0.0.1:$port/health")" '{"status":"ok"}'
for socket in "${idle[@]}"; do exec {socket}>&-; done
stop

if command -v systemd-socket-activate >/dev/null; then
  # It has no port 0 that tells what it got; ports below the range of outgoing connections are tried until one is free.
  for _ in $(seq 20); do
    socket_port=$((10000 + RANDOM % 20000))
    systemd-socket-activate -l "127.0.0.1:$socket_port" "$program" serve 2>"$home/log" &
    server=$!
    while kill -0 "$server" 2>/dev/null; do
      grep -q 'Listening on' "$home/log" && break 2
      sleep 0.05
    done
  done
  answer=$(curl -s -m 60 "http://127.0.0.1:$socket_port/health")
  holds "sockets of a service manager" "$answer" '{"status":"ok"}'
  [ -n "$answer" ] || cat "$home/log"
  stop
fi

start --port 0 --model tiny
url=$(sed -n 's/.*listening on //p' "$home/log")
local_answer=$("$program" run tiny a --raw --temperature 0 --max-tokens 6 </dev/null)
holds "run --remote" "$("$program" run tiny a --raw --temperature 0 --max-tokens 6 --remote "$url" </dev/null)" "$local_answer"
holds "run with OLLAMA_HOST" "$(OLLAMA_HOST=$url "$program" run tiny a --raw --temperature 0 --max-tokens 6 </dev/null)" "$local_answer"
whole=$(curl -s "$url/v1/chat/completions" -d '{"model":"tiny","messages":[{"role":"user","content":"a"}],"temperature":0,"max_tokens":6}' | sed 's/.*"content":"\(.*\)","refusal.*/\1/')
holds "run --endpoint --json" "$("$program" run tiny a --temperature 0 --max-tokens 6 --endpoint "$url" --json </dev/null | tr -d '\n' | sed 's/.*"response": *"\([^"]*\)".*/\1/')" "$whole"
"$program" run tiny a --temperature 0 --max-tokens 6 --endpoint "$url/v1" </dev/null >"$home/out"
holds "run --endpoint streams" $? 0
HF_INFERENCE_ENDPOINT=$url "$program" run hf:tiny a --temperature 0 --max-tokens 6 </dev/null >"$home/hosted"
holds "run hf:" $? 0
holds "both say the same" "$(cat "$home/hosted")" "$(cat "$home/out")"
"$program" run hf:none a --endpoint "$url" </dev/null 2>"$home/error" >/dev/null
holds "a model that the endpoint has not" $? 3
holds "its error is one line" "$(wc -l <"$home/error")" 1
score() { grep -o '"score": *[0-9.]*' | head -1 | grep -o '[0-9]\.[0-9]\{4\}'; }
ours=$("$program" pipeline text-classification --model classifier "I love the bird" --json | tr -d '\n' | score)
holds "pipeline --endpoint" "$("$program" pipeline text-classification --model classifier "I love the bird" --endpoint "$url" --json | tr -d '\n ' | score)" "$ours"
holds "pipeline hf:" "$(HF_INFERENCE_ENDPOINT=$url/ "$program" pipeline text-classification --model hf:classifier "I love the bird" --json | tr -d '\n ' | wc -c | grep -c '[1-9]')" 1
holds "MYNAH_OFFLINE asks nobody" "$(MYNAH_OFFLINE=1 "$program" run hf:tiny a </dev/null 2>/dev/null; echo $?)" 4
stop
exit $failed
