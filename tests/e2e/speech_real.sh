#!/bin/bash
# Real voices: sentences that Piper speaks are written down by Whisper with at most 10 % of their words wrong; with MYNAH_JFK, a
# recording of President Kennedy's sentence (jfk.wav of the Whisper repository), that sentence word for word.
#   speech_real.sh MYNAH
# Exit code 77: a model or espeak-ng is not here (mynah pull whisper-base, piper-joe).
set -e
mynah=$1
export MYNAH_OFFLINE=1
for model in whisper-base piper-joe; do
  "$mynah" list | grep -q "^$model " || { echo "$model is not stored: skipped"; exit 77; }
done
command -v espeak-ng >/dev/null || { echo "espeak-ng is not installed: skipped"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if [ -n "$MYNAH_JFK" ]; then
  said=$("$mynah" transcribe whisper-base "$MYNAH_JFK" --language en)
  echo "$said"
  [ "$said" = "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your country." ] || { echo "other words were expected"; exit 1; }
fi

subjects=("The old sailor" "My younger sister" "A tired doctor" "The village teacher" "Our neighbour")
verbs=("found a letter" "lost the key" "painted a picture" "read the newspaper" "bought some bread")
places=("in the kitchen" "near the river" "behind the church" "at the station" "under the bridge")
times=("on a cold morning." "before the rain began." "after a long journey." "while the children slept." "when the bell rang.")
sentences=()
for i in $(seq 0 49); do
  sentences+=("${subjects[i % 5]} ${verbs[(i / 5) % 5]} ${places[(i + i / 5) % 5]} ${times[(i * 2 + i / 25) % 5]}")
done
plain() { tr 'A-Z' 'a-z' | tr -d '.,?!-'; }
files=()
for i in "${!sentences[@]}"; do
  "$mynah" speak piper-joe "${sentences[i]}" --seed "$i" -o "$folder/$i.wav"
  files+=("$folder/$i.wav")
done
"$mynah" transcribe whisper-base "${files[@]}" --language en --output-format txt --output-dir "$folder/texts"
for i in "${!sentences[@]}"; do
  printf '{"prediction": "%s", "references": ["%s"]}\n' "$(tr '\n' ' ' < "$folder/texts/$i.txt" | plain)" "$(echo "${sentences[i]}" | plain)"
done > "$folder/rows.jsonl"
scores=$("$mynah" eval --predictions "$folder/rows.jsonl" --metric wer --json)
echo "$scores"
echo "$scores" | awk -F'[:,}]' '{ exit !($2 <= 0.1) }' || { echo "more than a tenth of the words is wrong"; exit 1; }
