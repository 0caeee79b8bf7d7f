#!/bin/sh
# The voice assistant with real models: a spoken question is heard, answered and spoken, and what was spoken is heard again.
#   talk_real.sh MYNAH
# Exit code 77: a model or espeak-ng is not here (mynah pull smollm2, whisper-base, piper-joe).
set -e
mynah=$1
export MYNAH_OFFLINE=1
for model in smollm2 whisper-base piper-joe; do
  "$mynah" list | grep -q "^$model " || { echo "$model is not stored: skipped"; exit 77; }
done
command -v espeak-ng >/dev/null || { echo "espeak-ng is not installed: skipped"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# heard FILE WORDS...: whether Whisper hears all of these words.
heard() {
  text=$("$mynah" transcribe whisper-base "$1" --language en | tr 'A-Z\n' 'a-z ' | tr -d '.,?!')
  echo "$1: $text"
  shift
  for word; do case " $text " in *" $word "*) ;; *) echo "\"$word\" is not heard"; exit 1 ;; esac; done
}

"$mynah" speak piper-joe "What is the capital of France?" --seed 1 -o question.wav
heard question.wav what is the capital of france
"$mynah" talk question.wav -o answer.wav --json --temperature 0 --max-tokens 40 --notes notes.txt > turns.jsonl
cat turns.jsonl
[ "$(wc -l < turns.jsonl)" = 1 ] || { echo "one turn was expected"; exit 1; }
grep -qi '"text":"[^"]*capital of france' turns.jsonl || { echo "the question was not heard"; exit 1; }
grep -q '"text":"[^"]*Paris' turns.jsonl || { echo "the answer is not Paris"; exit 1; }
heard answer.wav paris

# A question for a tool.
"$mynah" speak piper-joe "What is twelve times seven?" --seed 1 -o sum.wav
"$mynah" talk sum.wav -o product.wav --json --notes notes.txt > turns.jsonl
cat turns.jsonl
grep -q '"That is 84."' turns.jsonl || { echo "the calculator did not answer"; exit 1; }
heard product.wav that is

# Silence is nothing that was said.
"$mynah" speak piper-joe "One." -o one.wav
head -c 44 one.wav > silence.wav && head -c 200000 /dev/zero >> silence.wav
[ -z "$("$mynah" transcribe whisper-base silence.wav --language en)" ] || { echo "words are heard in silence"; exit 1; }
echo "the conversation was understood"
