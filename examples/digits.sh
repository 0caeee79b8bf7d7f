#!/bin/sh
# A model that hears: a small wav2vec 2.0 learns from nothing to write down digits that the voices of espeak-ng say. Ten minutes on two cores.
#   examples/digits.sh OUT [short]
# First from plain voices, then from voices of other pitches and speeds. The word error rate of voices that it never heard goes to
# OUT/scores.jsonl. "short": a few steps, which only check that the stages fit together.
set -e
out=$1 mode=$2
mynah=${MYNAH:-./mynah}
[ -n "$out" ] || { echo "usage: examples/digits.sh OUT [short]" >&2; exit 2; }
command -v espeak-ng >/dev/null || { echo "examples/digits.sh: espeak-ng is missing (Debian: apt-get install espeak-ng)" >&2; exit 77; }
if [ "$mode" = short ]; then plain=12 varied=8 held=4 first=3 second=2; else plain=2400 varied=3200 held=200 first=1050 second=2000; fi
mkdir -p "$out/model"

# said FOLDER COUNT SEED SLOWEST FASTEST LOWEST HIGHEST VOICE...: clips of one to five digits at speeds (words a minute) and pitches (0 to 99)
# between these, and their rows
said() {
  folder=$1 count=$2 seed=$3 slowest=$4 fastest=$5 lowest=$6 highest=$7
  shift 7
  mkdir -p "$folder"
  awk -v count="$count" -v seed="$seed" -v slowest="$slowest" -v fastest="$fastest" -v lowest="$lowest" -v highest="$highest" -v voices="$*" 'BEGIN {
    srand(seed); n = split(voices, voice, " "); split("zero one two three four five six seven eight nine", word, " ")
    for (i = 0; i < count; ++i) {
      text = ""
      for (k = 1 + int(5 * rand()); k > 0; --k) text = text " " word[1 + int(10 * rand())]
      printf "%05d %s %d %d%s\n", i, voice[1 + i % n], slowest + (fastest - slowest) * rand(), lowest + (highest - lowest) * rand(), text
    } }' | while read -r number voice speed pitch text; do
    espeak-ng -v "en-us+$voice" -s "$speed" -p "$pitch" -w "$folder/$number.wav" "$text" </dev/null
    echo "{\"audio\": \"$number.wav\", \"text\": \"$text\"}"
  done > "$folder/speech.jsonl"
}

echo "== voices" >&2
heard="m1 m2 m3 m4 m5 m6 f1 f2 f4 f5 Adam Alex Alicia Andrea Andy Annie antonio belinda benjamin boris caleb david Denis Diogo Ed edward Gene gustave Henrique Hugo
  Iven Iven2 Jacky john Lee linda marcelo marco Mario Max"
said "$out/plain" $plain 1 120 210 50 50 $heard
said "$out/varied" $varied 11 100 235 25 75 $heard
said "$out/held" $held 2 120 210 50 50 m7 m8 f3 michel miguel mike paul pedro quincy rob robert steph2 travis victor Michael

echo "== a model learns to hear" >&2
cat > "$out/model/config.json" <<JSON
{"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "conv_dim": [32, 48, 64, 96], "conv_kernel": [10, 8, 8, 8], "conv_stride": [5, 4, 4, 4],
 "num_feat_extract_layers": 4, "conv_bias": true, "feat_extract_norm": "layer", "do_stable_layer_norm": true, "hidden_size": 96, "num_hidden_layers": 3,
 "num_attention_heads": 4, "intermediate_size": 192, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "feat_proj_dropout": 0.0,
 "layerdrop": 0.0, "apply_spec_augment": false, "ctc_loss_reduction": "mean", "ctc_zero_infinity": true, "pad_token_id": 0, "vocab_size": 18}
JSON
echo '{"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": true, "return_attention_mask": true, "sampling_rate": 16000}' > "$out/model/preprocessor_config.json"
echo '{"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "unk_token": "<unk>", "word_delimiter_token": "|"}' > "$out/model/tokenizer_config.json"
echo '{"<pad>": 0, "<unk>": 1, "|": 2, "e": 3, "f": 4, "g": 5, "h": 6, "i": 7, "n": 8, "o": 9, "r": 10, "s": 11, "t": 12, "u": 13, "v": 14, "w": 15, "x": 16, "z": 17}' > "$out/model/vocab.json"
# train MODEL ROWS TO STEPS RATE WARMUP [...]
train() {
  model=$1 rows=$2 to=$3 steps=$4 rate=$5 warmup=$6
  shift 6
  $mynah finetune "$model" --task automatic-speech-recognition --train-file "$rows" --output-dir "$to" --max-steps "$steps" --per-device-train-batch-size 8 --learning-rate "$rate" \
    --lr-scheduler-type cosine --warmup-steps "$warmup" --seed 1 --save-steps 0 --logging-steps 20 "$@"
}
train "$out/model" "$out/plain/speech.jsonl" "$out/first" $first 1e-3 100 --from-scratch
train "$out/first" "$out/varied/speech.jsonl" "$out/trained" $second 1e-3 20 --weight-decay 0.05

echo "== word error rate" >&2
$mynah eval "$out/trained" --file "$out/held/speech.jsonl" --metric wer --json > "$out/scores.jsonl"
cat "$out/scores.jsonl"
