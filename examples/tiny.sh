#!/bin/sh
# Makes models/tiny.gguf, the model that `mynah run tiny` answers with, from the text in this folder: some minutes on two cores.
#   examples/tiny.sh OUT [STEPS]
# STEPS ends the training early: the losses of the first steps are those of the whole run (models/tiny.jsonl).
# A speech of the plays is a turn that ends with <|endoftext|>; the model sees the turns before it, so that it answers them.
set -e
out=$1 steps=${2:-1000}
here=$(dirname "$0")
mynah=${MYNAH:-./mynah}
[ -n "$out" ] || { echo "usage: examples/tiny.sh OUT [STEPS]" >&2; exit 2; }
mkdir -p "$out"

$mynah tokenizer train --type bpe --byte-level --vocab-size 1024 --special-tokens '<|endoftext|>' --output "$out/tokenizer" "$here/tinyshakespeare.txt.gz"
cat > "$out/tokenizer/chat_template.jinja" <<'TEMPLATE'
{%- for m in messages %}{% if m['role'] == 'user' %}First Citizen:
{% endif %}{{ m['content'] }}<|endoftext|>{% endfor %}
TEMPLATE
gzip -dc "$here/tinyshakespeare.txt.gz" | awk 'BEGIN { RS = ""; ORS = "<|endoftext|>" } { print }' > "$out/turns.txt"

cat > "$out/config.json" <<'JSON'
{"model_type": "gpt2", "n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 256, "attn_pdrop": 0, "resid_pdrop": 0, "embd_pdrop": 0}
JSON
$mynah pretrain --config "$out/config.json" --tokenizer "$out/tokenizer" --train-file "$out/turns.txt" --validation-fraction 0.1 --output-dir "$out/model" \
  --max-steps "$steps" --per-device-train-batch-size 4 --learning-rate 3e-3 --warmup-steps 100 --lr-scheduler-type cosine --weight-decay 0.1 \
  --adam-beta2 0.95 --seed 1 --logging-steps 10 --eval-steps 250 --save-steps 100 --save-total-limit 1 --resume-from-checkpoint
$mynah quantize "$out/model" "$out/tiny.gguf" --type q8_0
