#!/bin/sh
# A model that hears: a small wav2vec 2.0 learns from nothing to write down digits that synthesised voices say. Half an hour on two cores.
#   examples/digits.sh OUT [short]
# Needs espeak-ng, whose voices it hears, and, where VOICE is a voice for `mynah speak` (VOICE=piper-joe), that too. Word error rates of
# voices that it never heard, and of VOICE at speeds that it never heard, go to OUT/scores.jsonl. "short": a few steps, which only check that
# the stages fit together.
set -e
out=$1 mode=$2
mynah=${MYNAH:-./mynah}
[ -n "$out" ] || { echo "usage: examples/digits.sh OUT [short]" >&2; exit 2; }
command -v espeak-ng >/dev/null || { echo "examples/digits.sh: espeak-ng is missing (Debian: apt-get install espeak-ng)" >&2; exit 77; }
if [ "$mode" = short ]; then clips=12 held=4 own=0 own_held=0 steps=4; else clips=4000 held=200 own=300 own_held=60 steps=700; fi
[ -n "$VOICE" ] || own=0 own_held=0
mkdir -p "$out/model"

# rows COUNT SEED SLOWEST FASTEST LOWEST HIGHEST VOICE...: lines "NUMBER VOICE SPEED PITCH:DIGITS:WORDS", one to five digits each
rows() {
  count=$1 seed=$2 slowest=$3 fastest=$4 lowest=$5 highest=$6
  shift 6
  awk -v count="$count" -v seed="$seed" -v slowest="$slowest" -v fastest="$fastest" -v lowest="$lowest" -v highest="$highest" -v voices="$*" 'BEGIN {
    srand(seed); n = split(voices, voice, " "); split("zero one two three four five six seven eight nine", word, " ")
    for (i = 0; i < count; ++i) {
      digits = said = ""
      for (k = 1 + int(5 * rand()); k > 0; --k) { d = int(10 * rand()); digits = digits " " d; said = said " " word[1 + d] }
      printf "%05d %s %.2f %d:%s:%s\n", i, voice[1 + i % n], slowest + (fastest - slowest) * rand(), lowest + (highest - lowest) * rand(), substr(digits, 2), substr(said, 2)
    } }'
}
# said FOLDER: speaks the rows of standard input by espeak-ng, or by `mynah speak` where the voice is "own"
said() {
  mkdir -p "$1"
  while IFS=: read -r head digits words; do
    set -- "$1" $head
    if [ "$3" = own ]; then name=own$2; $mynah speak "$VOICE" "$words" --speed "$4" --seed "1$2" -o "$1/$name.wav" </dev/null 2>/dev/null
    else name=$2; espeak-ng -v "en-us+$3" -s "${4%.*}" -p "$5" -w "$1/$name.wav" "$words" </dev/null; fi
    echo "{\"audio\": \"$name.wav\", \"text\": \"$digits\"}" >> "$1/speech.jsonl"
  done
}

echo "== voices" >&2
rm -f "$out"/train/speech.jsonl "$out"/held/speech.jsonl "$out"/own/speech.jsonl
rows $clips 1 120 210 25 75 m1 m2 m3 m4 m5 m6 f1 f2 f4 f5 Adam Alex Alicia Andrea Andy Annie antonio belinda benjamin boris caleb david Denis Diogo Ed \
  edward Gene gustave Henrique Hugo Iven Iven2 Jacky john Lee linda marcelo marco Mario Max | said "$out/train"
rows $held 2 120 210 50 50 m7 m8 f3 michel miguel mike paul pedro quincy rob robert steph2 travis victor Michael | said "$out/held"
if [ $own != 0 ]; then
  rows $own 3 0.75 1.0 50 50 own | said "$out/train"
  rows $own_held 4 1.05 1.3 50 50 own | said "$out/own"
fi

echo "== a model learns to hear" >&2
cat > "$out/model/config.json" <<JSON
{"model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "conv_dim": [32, 48, 64, 64], "conv_kernel": [10, 8, 8, 8], "conv_stride": [5, 4, 4, 4],
 "num_feat_extract_layers": 4, "conv_bias": true, "feat_extract_norm": "layer", "do_stable_layer_norm": true, "hidden_size": 64, "num_hidden_layers": 2,
 "num_attention_heads": 4, "intermediate_size": 128, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "feat_proj_dropout": 0.0,
 "layerdrop": 0.0, "apply_spec_augment": false, "ctc_loss_reduction": "mean", "ctc_zero_infinity": true, "pad_token_id": 0, "vocab_size": 13}
JSON
echo '{"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": true, "return_attention_mask": true, "sampling_rate": 16000}' > "$out/model/preprocessor_config.json"
echo '{"tokenizer_class": "Wav2Vec2CTCTokenizer", "pad_token": "<pad>", "unk_token": "<unk>", "word_delimiter_token": "|"}' > "$out/model/tokenizer_config.json"
echo '{"<pad>": 0, "<unk>": 1, "|": 2, "0": 3, "1": 4, "2": 5, "3": 6, "4": 7, "5": 8, "6": 9, "7": 10, "8": 11, "9": 12}' > "$out/model/vocab.json"
$mynah finetune "$out/model" --from-scratch --task automatic-speech-recognition --train-file "$out/train/speech.jsonl" --output-dir "$out/trained" --max-steps $steps \
  --per-device-train-batch-size 8 --learning-rate 1e-3 --lr-scheduler-type cosine --warmup-steps $((steps / 15)) --seed 1 --save-steps 0 --logging-steps 20

echo "== word error rates" >&2
$mynah eval "$out/trained" --file "$out/held/speech.jsonl" --metric wer --json > "$out/scores.jsonl"
[ $own = 0 ] || $mynah eval "$out/trained" --file "$out/own/speech.jsonl" --metric wer --json >> "$out/scores.jsonl"
cat "$out/scores.jsonl"
