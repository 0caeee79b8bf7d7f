#!/bin/sh
# The whole way on one machine: tokenizer, pretraining, fine-tuning, a reward model, PPO and DPO, and curves of all of it.
#   examples/rlhf.sh TEXT.txt OUT [short]
# TEXT is any plain text (tinyshakespeare serves). "short" makes every stage a few steps long: a check that the stages fit together.
# The task is one that can be verified: say "yes" as often as possible in an answer.
set -e
text=$1 out=$2 mode=$3
mynah=${MYNAH:-./mynah}
[ -n "$text" ] && [ -n "$out" ] || { echo "usage: examples/rlhf.sh TEXT.txt OUT [short]" >&2; exit 2; }
if [ "$mode" = short ]; then pretrain=30 sft=20 reward=20 ppo=6 dpo=10 width=32; else pretrain=1500 sft=200 reward=150 ppo=60 dpo=120 width=128; fi
mkdir -p "$out"

echo "== tokenizer" >&2
$mynah tokenizer train --type bpe --byte-level --vocab-size 512 --special-tokens '<|endoftext|>' --output "$out/tokenizer" "$text"

echo "== pretraining" >&2
cat > "$out/config.json" <<JSON
{"model_type": "gpt2", "n_embd": $width, "n_layer": 3, "n_head": 4, "n_positions": 96, "attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0}
JSON
$mynah pretrain --config "$out/config.json" --tokenizer "$out/tokenizer" --train-file "$text" --validation-fraction 0.05 --output-dir "$out/base" \
  --max-steps $pretrain --per-device-train-batch-size 12 --block-size 64 --learning-rate 1e-3 --warmup-steps 20 --lr-scheduler-type cosine \
  --logging-steps 10 --eval-steps $((pretrain / 6)) --save-steps 0

echo "== demonstrations, preferences and prompts" >&2
awk -v out="$out" 'BEGIN {
  srand(7); n = split("king queen lord lady friend father mother sister brother master servant soldier", who, " ");
  m = split("come speak go stay sing fight rest wait", what, " ");
  for (i = 0; i < 400; i++) {
    prompt = "Will the " who[int(rand() * n) + 1] " " what[int(rand() * m) + 1] "?";
    good = int(rand() * 3) + 2; chosen = ""; for (k = 0; k < good; k++) chosen = chosen " yes";
    rejected = int(rand() * 2) ? " no" : " yes no no";
    printf "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", prompt, int(rand() * 2) ? chosen : rejected > (out "/sft.jsonl");
    printf "{\"prompt\": \"%s\", \"chosen\": \"%s\", \"rejected\": \"%s\"}\n", prompt, chosen, rejected > (out "/pairs.jsonl");
    printf "{\"prompt\": \"%s\"}\n", prompt > (out "/prompts.jsonl");
  }
}'

echo "== supervised fine-tuning" >&2
$mynah align sft "$out/base" --train-file "$out/sft.jsonl" --output-dir "$out/sft" --max-steps $sft --learning-rate 5e-4 --save-steps 0 --logging-steps 5

echo "== reward model" >&2
$mynah align reward "$out/sft" --train-file "$out/pairs.jsonl" --output-dir "$out/reward" --max-steps $reward --learning-rate 3e-4 --save-steps 0 --logging-steps 5

echo "== PPO" >&2
$mynah align ppo "$out/sft" --train-file "$out/prompts.jsonl" --reward-model "$out/reward" --output-dir "$out/ppo" --max-steps $ppo \
  --per-device-train-batch-size 16 --response-length 12 --learning-rate 1e-4 --temperature 1 --save-steps 0 --logging-steps 1 --missing-eos-penalty 1

echo "== DPO" >&2
$mynah align dpo "$out/sft" --train-file "$out/pairs.jsonl" --output-dir "$out/dpo" --max-steps $dpo --learning-rate 1e-4 --save-steps 0 --logging-steps 5

for picture in curves.svg curves.png; do
  $mynah plot "$out/base" "$out/sft" "$out/reward" "$out/ppo" "$out/dpo" --output "$out/$picture"
done
for model in sft ppo dpo; do
  printf '%s: ' "$model"
  $mynah run "$out/$model" "Will the king sing?" --raw --temperature 0 --max-tokens 12
done
