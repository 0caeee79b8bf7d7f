#!/bin/sh
# Runs that are killed with SIGKILL at ten random moments each and resumed end with the bytes of a run that nobody disturbed.
#   killed.sh MYNAH GOLDEN [SEED]
set -eu
mynah=$1 golden=$2 seed=${3:-$(date +%s)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export MYNAH_HOME="$work/home" MYNAH_OFFLINE=1
echo "seed $seed"

# A fraction of $2 seconds, the $1-th of this seed.
moment() { awk -v seed="$seed" -v n="$1" -v most="$2" 'BEGIN { srand(seed + n * 7919); rand(); printf "%.3f", 0.02 + rand() * most }'; }

# check NAME FILE WORD...: the run of these words, whole and killed; FILE is what they leave.
check() {
  name=$1 file=$2
  shift 2
  begun=$(date +%s.%N)
  "$mynah" "$@" --save-steps 7 --save-total-limit 2 --output-dir "$work/$name" 2> "$work/log" || { cat "$work/log"; exit 1; }
  # A kill comes within a fifth of the time that a whole run takes, so that ten of them meet every part of it.
  most=$(echo "$begun $(date +%s.%N)" | awk '{ print ($2 - $1) / 5 }')
  kills=0 try=0
  while [ "$kills" -lt 10 ]; do
    try=$((try + 1))
    "$mynah" "$@" --save-steps 7 --save-total-limit 2 --output-dir "$work/$name.killed" --resume-from-checkpoint 2> "$work/log" &
    process=$!
    sleep "$(moment $try "$most")"
    if kill -9 $process 2> /dev/null; then kills=$((kills + 1)); fi
    wait $process 2> /dev/null || true
    if [ -f "$work/$name.killed/$file" ]; then rm -rf "$work/$name.killed"; fi  # ended before ten kills: again from the start
  done
  "$mynah" "$@" --save-steps 7 --save-total-limit 2 --output-dir "$work/$name.killed" --resume-from-checkpoint 2> "$work/log" || { cat "$work/log"; exit 1; }
  cmp "$work/$name/$file" "$work/$name.killed/$file"
  steps() { sed 's/"seconds":[^,}]*//' "$1/log.jsonl"; }
  steps "$work/$name" > "$work/a"
  steps "$work/$name.killed" > "$work/b"
  cmp "$work/a" "$work/b"
  echo "$name: killed $kills times, the same $(wc -c < "$work/$name/$file") bytes of $file and the same $(wc -l < "$work/a") rows of the log"
}

model="$golden/train/models/llama"
check pretrain model.safetensors pretrain --config "$model/config.json" --tokenizer "$model" --train-file "$golden/train/data/prose.txt" --validation-fraction 0.2 --eval-steps 50 \
  --max-steps 1500 --block-size 32 --per-device-train-batch-size 8 --logging-steps 10
check adapter adapter_model.safetensors finetune "$model" --train-file "$golden/train/data/text.jsonl" --lora-r 4 --lora-dropout 0.1 --max-steps 800 --logging-steps 10
check grpo model.safetensors align grpo "$model" --train-file "$golden/train/data/completion.jsonl" --reward length:5 --num-generations 4 --num-iterations 2 --max-completion-length 12 \
  --max-steps 120 --logging-steps 10
check ppo model.safetensors align ppo "$model" --train-file "$golden/train/data/completion.jsonl" --reward length:5 --response-length 8 --max-steps 60 --logging-steps 5
