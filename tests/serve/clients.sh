#!/usr/bin/env bash
# Unmodified clients against a running server: Python (ollama, openai, huggingface_hub, anthropic, requests, LangChain, LiteLLM), JavaScript
# (ollama, openai, @huggingface/inference) and curl. Slow: installs them into a cache outside the tree (MYNAH_CLIENTS, default
# ~/.cache/mynah-clients). Arguments: the program, SmolLM2 as a .gguf file (MYNAH_SMOLLM2), and the folder of a sentence-transformers
# model (MYNAH_MINILM; may be missing). Exit code 77: the model is not named, or the clients cannot be installed here.
set -eu
program=$1 model=${2:-${MYNAH_SMOLLM2:-}} vectors=${3:-${MYNAH_MINILM:-}}
[ -n "$model" ] || exit 77
here=$(cd "$(dirname "$0")" && pwd)
cache=${MYNAH_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/mynah-clients}
mkdir -p "$cache"
python=$cache/venv/bin/python
if ! [ -x "$python" ]; then python3 -m venv "$cache/venv" || exit 77; fi
"$python" -c 'import ollama, openai, huggingface_hub, anthropic, requests, jsonschema, numpy, PIL' 2>/dev/null ||
  "$cache/venv/bin/pip" install -q ollama openai huggingface_hub anthropic requests jsonschema numpy pillow langchain-ollama langchain-openai litellm || exit 77
js=
if command -v npm >/dev/null; then
  [ -d "$cache/node_modules/@huggingface/inference" ] || (cd "$cache" && npm install --silent --no-audit --no-fund ollama openai @huggingface/inference) && js=1 || js=
fi
home=$(mktemp -d)
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$home"
}
trap finish EXIT
export MYNAH_HOME=$home/store MYNAH_OFFLINE=1 HF_HUB_OFFLINE=0 LITELLM_LOCAL_MODEL_COST_MAP=True
for name in smollm2 minilm; do
  from=$model
  [ "$name" = smollm2 ] || from=$vectors
  [ -n "$from" ] || continue
  printf 'FROM %s\n' "$from" >"$home/Modelfile"
  "$program" create "$name" -f "$home/Modelfile"
done
golden=$here/../golden
for folder in "$golden"/tasks/*/; do
  printf 'FROM %s\n' "$folder" >"$home/Modelfile"
  "$program" create "$(basename "$folder")" -f "$home/Modelfile" 2>/dev/null
done
"$program" serve --port 0 --model smollm2 2>"$home/log" &
server=$!
for _ in $(seq 600); do
  grep -q 'listening on' "$home/log" && break
  sleep 0.1
done
url=$(sed -n 's/.*listening on //p' "$home/log")
[ -n "$url" ] || { cat "$home/log"; exit 1; }
failed=0
timeout 1500 "$python" "$here/clients.py" "$url" ${vectors:+minilm} || failed=1
if [ -n "$js" ]; then NODE_PATH=$cache/node_modules timeout 900 node "$here/clients.cjs" "$url" ${vectors:+minilm} || failed=1; else echo "npm is missing: JavaScript clients are skipped"; fi
# Every task, with tiny models: the client checks some answers, the schemas of its makers the others.
if [ -n "$js" ]; then
  timeout 900 "$python" "$here/task_clients.py" "$url" "$cache/node_modules/@huggingface/tasks/src/tasks" "$golden/media" || failed=1
  NODE_PATH=$cache/node_modules timeout 900 node "$here/task_clients.cjs" "$url" "$golden/media" || failed=1
fi
# curl as in the documentation of Ollama: no content type of its own.
curl -sf "$url/api/generate" -d '{"model":"smollm2","prompt":"Hi","stream":false,"options":{"num_predict":4}}' | grep -q '"done":true' && echo "ok curl" || failed=1
# The snippets of the documentation.
snippets=$home/snippets
mkdir "$snippets"
awk -v out="$snippets" '/^```(sh|python)$/ {kind = substr($0, 4); file = out "/" ++n "." kind; next} /^```$/ {file = ""} file {print > file}' "$here/../../docs/server.md"
for file in "$snippets"/*; do
  sed -i "s|http://localhost:11434|$url|g" "$file"
  case $file in
    *.sh) timeout 600 bash "$file" ;;
    *.python) timeout 600 "$python" "$file" ;;
  esac >"$home/out" && [ -s "$home/out" ] && echo "ok docs ${file##*/}" || { echo "FAILED docs ${file##*/}"; failed=1; }
done
kill -TERM "$server"
wait "$server" || failed=1
server=
exit $failed
