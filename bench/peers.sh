#!/bin/bash
# mynah beside llama.cpp on the same files in the same run: bench/peers.sh MODEL.gguf LLAMA_BIN [rounds]
# LLAMA_BIN is the folder with llama-bench and llama-completion, built natively (the source package of llama-cpp-python
# carries llama.cpp in vendor/llama.cpp). Rounds are interleaved and the best counts; other formats are made with `mynah quantize`.
set -eu
root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
model=$1 peer=$2 rounds=${3:-3}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
mynah=$root/build/release/apps/mynah/mynah
threads=${MYNAH_THREADS:-$(nproc)}

# best TEST < lines of "TEST rate"
best() { awk -v t="$1" '$1 == t && $2 > m { m = $2 } END { printf "%.1f", m }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", (b > 0 ? a / b : 0) }'; }

ours_once() {
  "$mynah" bench "$1" --prompt 128,512,2048 --generate 128 --repeat 1 --threads "$threads" --json |
    tr '{' '\n' | sed -n 's/.*"test":"\([a-z0-9]*\)","tokens_per_second":\[\([0-9.]*\).*/\1 \2/p'
}
theirs_once() {
  "$peer/llama-bench" -m "$1" -t "$threads" -p 128,512,2048 -n 128 -r 1 -o jsonl 2>/dev/null |
    sed -n 's/.*"n_prompt": \([0-9]*\), "n_gen": \([0-9]*\).*"avg_ts": \([0-9.]*\).*/\1 \2 \3/p' | awk '{ print ($1 > 0 ? "pp" $1 : "tg" $2), $3 }'
}

"$mynah" bench --json --threads "$threads"
printf '\n| weights | test | mynah tokens/s | llama.cpp tokens/s | ratio |\n|---|---|---|---|---|\n'
for type in shipped q8_0 q4_0 bf16 f32; do
  file=$work/$type.gguf
  if [ "$type" = shipped ]; then file=$model; else "$mynah" quantize "$model" "$file" --type $type 2>/dev/null; fi
  : >"$work/ours"; : >"$work/theirs"
  for ((r = 0; r < rounds; ++r)); do
    ours_once "$file" >>"$work/ours"
    theirs_once "$file" >>"$work/theirs"
  done
  for t in pp128 pp512 pp2048 tg128; do
    a=$(best $t <"$work/ours") b=$(best $t <"$work/theirs")
    printf '| %s | %s | %s | %s | %s |\n' $type $t "$a" "$b" "$(ratio "$a" "$b")"
  done
  [ "$type" = shipped ] || rm "$file"
done

# Whole process: start, load, a prompt of 20 tokens, 32 tokens, exit.
prompt="The quick brown fox jumps over the lazy dog and then runs through the forest to find its way home"
once() { /usr/bin/time -f '%e %M' -o "$work/time" "$@" </dev/null >/dev/null 2>&1; cat "$work/time" >>"$work/$name"; }
for ((r = 0; r < rounds; ++r)); do
  name=process_ours once "$mynah" generate "$model" --prompt "$prompt" --max-new-tokens 32 --min-new-tokens 32
  name=process_theirs once "$peer/llama-completion" -m "$model" -p "$prompt" -n 32 -no-cnv --temp 0 -t "$threads" -c 512 --ignore-eos
done
for who in ours theirs; do
  printf 'whole process, %s: ' $who
  sort -n "$work/process_$who" | head -n 1 | awk '{ printf "%s s, %.0f MB\n", $1, $2 / 1024 }'
done
