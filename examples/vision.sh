#!/bin/sh
# Three models that see, trained from nothing on pictures of shapes: a ResNet that names one, a YOLO that finds several, a CLIP that
# matches pictures with words. Ten minutes on two cores.
#   examples/vision.sh OUT [short]
# "short" makes every training a few steps long: a check that the stages fit together. Scores of pictures that none of them saw go to
# OUT/scores.jsonl; OUT/boxes.png shows what the detector finds.
set -e
out=$1 mode=$2
mynah=${MYNAH:-./mynah} render=${RENDER:-build/release/examples/render_shapes}
[ -n "$out" ] || { echo "usage: examples/vision.sh OUT [short]" >&2; exit 2; }
if [ "$mode" = short ]; then pictures=48 held=16 resnet=12 yolo=6 clip=8; else pictures=2000 held=200 resnet=400 yolo=1800 clip=2800; fi
mkdir -p "$out/resnet" "$out/yolo" "$out/clip"

echo "== pictures" >&2
"$render" "$out/train" $pictures 1 64
"$render" "$out/held" $held 2 64
names='"id2label": {"0": "circle", "1": "cross", "2": "square", "3": "triangle"}, "label2id": {"circle": 0, "cross": 1, "square": 2, "triangle": 3}'

# train MODEL TASK ROWS STEPS BATCH RATE [...]
train() {
  model=$1 task=$2 rows=$3 steps=$4 batch=$5 rate=$6
  shift 6
  $mynah finetune "$out/$model" --from-scratch --task "$task" --train-file "$rows" --output-dir "$out/$model/trained" --max-steps "$steps" \
    --per-device-train-batch-size "$batch" --learning-rate "$rate" --lr-scheduler-type cosine --warmup-steps $((steps / 20)) --seed 1 --save-steps 0 --logging-steps 10 "$@"
}

echo "== a ResNet names a shape" >&2
cat > "$out/resnet/config.json" <<JSON
{"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "embedding_size": 16, "hidden_sizes": [16, 32, 64], "depths": [1, 1, 1], "layer_type": "basic", $names}
JSON
echo '{"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}' > "$out/resnet/preprocessor_config.json"
train resnet image-classification "$out/train/shapes" $resnet 16 3e-3 --augment flip,color

echo "== a YOLO finds shapes" >&2
cat > "$out/yolo/config.json" <<JSON
{"model_type": "yolov8", "architectures": ["Yolov8ForObjectDetection"], "channels": [8, 16, 32, 48, 64], "depths": [1, 1, 1, 1], "neck_depth": 1, "box_channels": 32,
 "class_channels": 32, "stem_kernel": 3, "score_threshold": 0.25, "iou_threshold": 0.5, $names,
 "image_processor": {"image_processor_type": "YoloImageProcessor", "size": {"height": 64, "width": 64}}}
JSON
train yolo object-detection "$out/train/objects.jsonl" $yolo 16 2e-3 --augment flip,color

echo "== a CLIP matches words" >&2
for part in train held; do sed 's/"}$/<|end|>"}/' "$out/$part/captions.jsonl" > "$out/$part/pairs.jsonl"; done
sed 's/.*"text": "\(.*\)"}/\1/' "$out/train/captions.jsonl" > "$out/words.txt"
$mynah tokenizer train --type wordpiece --vocab-size 200 --special-tokens '<|end|>' --output "$out/clip" "$out/words.txt"
end=$(echo '<|end|>' | $mynah tokenize "$out/clip" --no-special-tokens | sed 's/.*"ids":\[\([0-9]*\).*/\1/')
tower='"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128'
cat > "$out/clip/config.json" <<JSON
{"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 32,
 "text_config": {$tower, "vocab_size": 200, "max_position_embeddings": 16, "bos_token_id": $end, "eos_token_id": $end, "pad_token_id": 0},
 "vision_config": {$tower, "image_size": 32, "patch_size": 8}}
JSON
echo '{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}' > "$out/clip/preprocessor_config.json"
train clip contrastive "$out/train/pairs.jsonl" $clip 64 1e-3 --weight-decay 0.1 --warmup-steps $((clip / 10))

echo "== scores" >&2
$mynah eval "$out/resnet/trained" --file "$out/held/shapes" --metric accuracy --json > "$out/scores.jsonl"
$mynah eval "$out/yolo/trained" --file "$out/held/objects.jsonl" --metric map --json >> "$out/scores.jsonl"
$mynah eval "$out/clip/trained" --file "$out/held/pairs.jsonl" --metric accuracy --json >> "$out/scores.jsonl"
$mynah pipeline object-detection --model "$out/yolo/trained" --threshold 0.3 --save "$out/boxes.png" "$out/held/scenes/00000.png" >&2
cat "$out/scores.jsonl"
