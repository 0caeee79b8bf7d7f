#!/bin/sh
# A ResNet and a ViT learn Fashion-MNIST from nothing: 60,000 grey pictures of clothes, 10,000 to judge by (arXiv:1708.07747, MIT licence). The data
# comes with Debian: installed (apt-get install dataset-fashion-mnist) or fetched by `apt-get download`. An hour on two cores.
#   examples/fashion.sh OUT [short]
# Accuracies on the pictures to judge by go to OUT/scores.jsonl. "short": few pictures of nothing, which only check that the stages fit together.
set -e
out=$1 mode=$2
mynah=${MYNAH:-./mynah} convert=${CONVERT:-build/release/examples/idx_pictures} data=${DATA:-/usr/share/datasets/fashion-mnist}
[ -n "$out" ] || { echo "usage: examples/fashion.sh OUT [short]" >&2; exit 2; }
if [ "$mode" = short ]; then most=48 held=48 resnet=2 vit=2; else most=60000 held=10000 resnet=3800 vit=14000; fi
mkdir -p "$out/resnet" "$out/vit"

echo "== pictures" >&2
if [ "$mode" = short ]; then
  data=$out
  for part in train t10k; do
    { printf '\0\0\10\3\0\0\0\60\0\0\0\34\0\0\0\34'; awk -v n=$most 'BEGIN { srand(1); for (i = 0; i < n * 784; ++i) printf "%c", 32 + int(90 * rand()) }'; } |
      gzip > "$out/$part-images-idx3-ubyte.gz"
    { printf '\0\0\10\1\0\0\0\60'; awk -v n=$most 'BEGIN { for (i = 0; i < n; ++i) printf "%c", 1 + i % 9 }'; } | gzip > "$out/$part-labels-idx1-ubyte.gz"
  done
elif [ ! -e "$data/train-images-idx3-ubyte.gz" ]; then
  data=$out/data/usr/share/datasets/fashion-mnist
  if [ ! -e "$data/train-images-idx3-ubyte.gz" ]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "examples/fashion.sh: give the data's folder as DATA" >&2; exit 77; }
    (cd "$out" && apt-get download dataset-fashion-mnist >&2) || { echo "examples/fashion.sh: the package dataset-fashion-mnist cannot be fetched; give the data's folder as DATA" >&2; exit 77; }
    dpkg-deb -x "$out"/dataset-fashion-mnist_*.deb "$out/data"
  fi
fi
names=t-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot
for part in train t10k; do
  for kind in images-idx3 labels-idx1; do gunzip -c "$data/$part-$kind-ubyte.gz" > "$out/$part-$kind"; done
done
rm -rf "$out/train" "$out/held"
"$convert" "$out/train-images-idx3" "$out/train-labels-idx1" "$out/train" $names $most
"$convert" "$out/t10k-images-idx3" "$out/t10k-labels-idx1" "$out/held" $names $held
rm "$out"/t*-idx[13]
labels=$(echo $names | awk -F, '{
  for (i = 1; i <= NF; ++i) { to = to (i > 1 ? ", " : "") "\"" i - 1 "\": \"" $i "\""; from = from (i > 1 ? ", " : "") "\"" $i "\": " i - 1 }
  print "\"id2label\": {" to "}, \"label2id\": {" from "}" }')

# train MODEL STEPS RATE [...]
train() {
  model=$1 steps=$2 rate=$3
  shift 3
  $mynah finetune "$out/$model" --from-scratch --task image-classification --train-file "$out/train" --output-dir "$out/$model/trained" --max-steps "$steps" \
    --per-device-train-batch-size 64 --learning-rate "$rate" --lr-scheduler-type cosine --warmup-steps $((steps / 20)) --weight-decay 0.05 --seed 1 --save-steps 0 \
    --logging-steps 50 --augment flip "$@"
  $mynah eval "$out/$model/trained" --file "$out/held" --metric accuracy --json >> "$out/scores.jsonl"
}
: > "$out/scores.jsonl"

echo "== ResNet" >&2
cat > "$out/resnet/config.json" <<JSON
{"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "embedding_size": 32, "hidden_sizes": [32, 64, 128], "depths": [1, 1, 1], "layer_type": "basic", $labels}
JSON
echo '{"image_processor_type": "ViTImageProcessor", "size": {"height": 56, "width": 56}}' > "$out/resnet/preprocessor_config.json"
train resnet $resnet 3e-3

echo "== ViT" >&2
cat > "$out/vit/config.json" <<JSON
{"model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 28, "patch_size": 4, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
 "intermediate_size": 128, "initializer_range": 0.1, $labels}
JSON
echo '{"image_processor_type": "ViTImageProcessor", "size": {"height": 28, "width": 28}}' > "$out/vit/preprocessor_config.json"
train vit $vit 2e-3
cat "$out/scores.jsonl"
