"""Writes to tests/golden/tasks: tiny random models of pictures and text with their processors, and what the reference's pipelines answer.

Run: python tools/golden/tasks_multimodal.py   (transformers 4.57.6, tokenizers 0.22.2, torch 2.15.0)
Writes <model>/, processed_multimodal.* (what processors make of pictures and texts) and multimodal_cases.json, in the form of cases.json (tasks.py); inputs and options that begin with "media/" name files of
tests/golden.
"""
import copy
import json
import os
import shutil
import sys

import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import pipeline

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "families"))
from common import made, randomise  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
GOLDEN = os.path.normpath(os.path.join(os.path.dirname(__file__), "../../tests/golden"))
OUT = os.path.join(GOLDEN, "tasks")
WORDS = "a an the bird city tree is in on what who where how many color red blue two three yes no this photo of user assistant describe it sings".split()
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list(",.?!:")
SIDE = 8
VIT = dict(model_type="vit", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=SIDE, patch_size=4)


def word_piece():
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"] + LETTERS + ["##" + c for c in LETTERS[:26]] + [w for w in WORDS if len(w) > 1]
    tok = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece()
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return transformers.BertTokenizerFast(tokenizer_object=tok, model_max_length=40, do_lower_case=True, additional_special_tokens=["[DEC]"],
                                          model_input_names=["input_ids", "attention_mask"])


def pieces(*special):
    """Words and letters behind a blank, as SentencePiece has them; <s> goes first."""
    vocab = ["<unk>", "<s>", "</s>"] + ["\u2581"] + ["\u2581" + w for w in WORDS] + LETTERS + ["\n"]
    tok = Tokenizer(models.Unigram([(t, -0.1 * i - (4 if len(t) == 1 else 0)) for i, t in enumerate(dict.fromkeys(vocab))], unk_id=0))
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = transformers.LlamaTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>", model_max_length=200,
                                           padding_side="left")
    fast.add_special_tokens({"additional_special_tokens": [AddedToken(s, normalized=False, special=True) for s in special]})
    return fast


LLAVA_CHAT = ("{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
              "{{ ' ' if not (loop.last and m['role'] == 'assistant') }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")


def vit_words():
    tok = word_piece()
    decoder = dict(model_type="gpt2", vocab_size=len(tok), n_embd=12, n_layer=1, n_head=3, n_positions=40, add_cross_attention=True, is_decoder=True, bos_token_id=2, eos_token_id=3)
    config = transformers.VisionEncoderDecoderConfig(encoder=copy.deepcopy(VIT), decoder=decoder, decoder_start_token_id=2, pad_token_id=0, eos_token_id=3)
    return transformers.VisionEncoderDecoderModel, config, tok, transformers.ViTImageProcessor(size=dict(height=SIDE, width=SIDE)), None


def blip(kind):
    tok = word_piece()
    text = dict(vocab_size=len(tok), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=40, bos_token_id=5, sep_token_id=3,
                pad_token_id=0, eos_token_id=3)
    vision = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=SIDE, patch_size=4)
    images = transformers.BlipImageProcessor(size=dict(height=SIDE, width=SIDE))
    return getattr(transformers, kind), transformers.BlipConfig(text_config=text, vision_config=vision), tok, images, transformers.BlipProcessor(images, tok)


def llava():
    tok = pieces("<image>")
    tok.chat_template = LLAVA_CHAT
    text = dict(model_type="llama", vocab_size=len(tok), hidden_size=12, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1, intermediate_size=9,
                max_position_embeddings=200, bos_token_id=1, eos_token_id=2)
    vision = dict(model_type="clip_vision_model", hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, image_size=SIDE, patch_size=4)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=tok.convert_tokens_to_ids("<image>"), image_seq_length=4)
    images = transformers.CLIPImageProcessor(size=dict(shortest_edge=SIDE), crop_size=dict(height=SIDE, width=SIDE))
    processor = transformers.LlavaProcessor(images, tok, patch_size=4, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=LLAVA_CHAT)
    return transformers.LlavaForConditionalGeneration, config, tok, images, processor


def idefics():
    tok = pieces("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    config = transformers.IdeficsConfig(vocab_size=len(tok), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=7, pad_token_id=0,
                                        vision_config=dict(embed_dim=6, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7, image_size=SIDE, patch_size=4),
                                        use_resampler=True, perceiver_config=dict(resampler_n_latents=3, resampler_depth=1, resampler_n_heads=2, resampler_head_dim=3))
    images = transformers.IdeficsImageProcessor(image_size=SIDE)
    return transformers.IdeficsForVisionText2Text, config, tok, images, transformers.IdeficsProcessor(images, tok)


QWEN_CHAT = ("{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
             "{% endfor %}{{ ' ' if not (loop.last and m['role'] == 'assistant') }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}")


def qwen2_vl():
    tok = pieces("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tok.chat_template = QWEN_CHAT
    mark = tok.convert_tokens_to_ids
    text = dict(vocab_size=len(tok), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, intermediate_size=9, max_position_embeddings=200,
                bos_token_id=1, eos_token_id=2, rope_scaling=dict(type="mrope", mrope_section=[1, 2, 3]))
    config = transformers.Qwen2VLConfig(text_config=text, vision_config=dict(depth=1, embed_dim=16, num_heads=2, mlp_ratio=1.5, hidden_size=24, patch_size=4),
                                        image_token_id=mark("<|image_pad|>"), video_token_id=mark("<|video_pad|>"), vision_start_token_id=mark("<|vision_start|>"),
                                        vision_end_token_id=mark("<|vision_end|>"), bos_token_id=1, eos_token_id=2)
    images = transformers.Qwen2VLImageProcessor(patch_size=4, min_pixels=16 * 16, max_pixels=24 * 24)
    return transformers.Qwen2VLForConditionalGeneration, config, tok, images, None


class QwenPictures(transformers.Qwen2VLProcessor):
    """The reference's processor without its part for videos, which needs torchvision; pictures as PIL resizes them."""
    attributes = ["image_processor", "tokenizer"]
    tokenizer_class = ("LlamaTokenizer", "LlamaTokenizerFast")

    def __init__(self, image_processor=None, tokenizer=None, **other):
        transformers.ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=tokenizer.chat_template)
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = map(tokenizer.convert_tokens_to_ids, (self.image_token, self.video_token))


def processor_of(name):
    folder = os.path.join(OUT, name)
    if name == "qwen2_vl":
        return QwenPictures(transformers.Qwen2VLImageProcessor.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder))
    return transformers.AutoProcessor.from_pretrained(folder)


MODELS = {"vit_words": vit_words, "blip_captions": lambda: blip("BlipForConditionalGeneration"), "blip_answers": lambda: blip("BlipForQuestionAnswering"),
          "llava": llava, "idefics": idefics, "qwen2_vl": qwen2_vl}


def make(name):
    kind, config, tok, images, processor = MODELS[name]()
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = randomise(made(kind, config), name, 0.5, True)
    model.generation_config.pad_token_id = 0
    if name == "blip_answers":
        model.generation_config.max_length = 9
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    images.save_pretrained(folder)
    if processor:
        processor.save_pretrained(folder)
    for file in os.listdir(folder):
        os.chmod(f"{folder}/{file}", 0o644)
    for extra in ("special_tokens_map.json", "vocab.txt", "tokenizer.model"):
        if os.path.exists(f"{folder}/{extra}"):
            os.remove(f"{folder}/{extra}")
    print(name, sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder)))


A, B, GREY = "media/picture.png", "media/alpha.png", "media/grey.png"
CASES = []


def add(model, task, inputs, **options):
    CASES.append(dict(model=model, task=task, inputs=inputs, options=options))


def chat(*texts, answer=None):
    parts = [{"type": "image"} if t is None else {"type": "text", "text": t} for t in texts]
    return [{"role": "user", "content": parts}] + ([{"role": "assistant", "content": [{"type": "text", "text": answer}]}] if answer else [])


def cases():
    t = "image-to-text"
    add("vit_words", t, A, max_new_tokens=8)
    add("vit_words", t, [A, GREY], max_new_tokens=6, num_beams=3)
    add("vit_words", t, [GREY], max_new_tokens=6, num_beams=3, num_return_sequences=2)
    add("blip_captions", t, A, max_new_tokens=7)
    add("blip_captions", t, A, max_new_tokens=7, prompt="a photo of")
    t = "visual-question-answering"
    add("blip_answers", t, A, question="what color is the bird?")
    add("blip_answers", t, [A, GREY], question="how many?")
    add("blip_answers", t, [A, GREY], question=["how many?", "is it red?"])
    add("blip_answers", t, {"image": A, "question": "where is the bird?"})
    add("blip_answers", t, [{"image": A, "question": "where is the bird?"}])
    t = "image-text-to-text"
    add("blip_captions", t, A, text="a photo of", max_new_tokens=7)
    add("blip_captions", t, [A, GREY], text=["a photo of", "the bird"], max_new_tokens=7, return_full_text=False)
    add("llava", t, A, text="user: <image>\nwhat is it? assistant:", max_new_tokens=9)
    add("llava", t, [A, GREY], text=["<image> the bird", "a city <image> is red"], max_new_tokens=5)
    add("llava", t, [[A, GREY]], text="<image> and <image> is", max_new_tokens=5, return_full_text=False)
    add("llava", t, A, text="user: <image> what", max_new_tokens=5, return_tensors=True)
    add("llava", t, "the bird", max_new_tokens=5)
    add("llava", t, ["the bird", "a city"], max_new_tokens=4)
    add("llava", t, [A], text=chat(None, "what is it?"), max_new_tokens=6)
    add("llava", t, [A, GREY], text=chat(None, "and", None, "who?", answer="the bird"), max_new_tokens=6)
    add("llava", t, [A], text=chat(None, "who?", answer="the bird"), max_new_tokens=6, continue_final_message=False)
    add("llava", t, None, text=chat("who sings?"), max_new_tokens=6, return_full_text=False)
    add("idefics", t, A, text="user: what is it? assistant:", max_new_tokens=7)
    seen = "<|vision_start|><|image_pad|><|vision_end|>"
    add("qwen2_vl", t, A, text=f"user: {seen} what is it? assistant:", max_new_tokens=9)
    add("qwen2_vl", t, [A, GREY], text=[f"{seen} the bird", f"a city {seen} is red"], max_new_tokens=5)
    add("qwen2_vl", t, [[A, GREY]], text=f"{seen} and {seen} is", max_new_tokens=5, return_full_text=False)
    add("qwen2_vl", t, [A], text=chat(None, "what is it?"), max_new_tokens=6)
    add("qwen2_vl", t, None, text=chat("who sings?"), max_new_tokens=6, return_full_text=False)
    add("idefics", t, [A, B], text=["the bird", "what color is the red city?"], max_new_tokens=7, return_full_text=False)


def with_paths(value):
    if isinstance(value, str):
        return os.path.join(GOLDEN, value) if value.startswith("media/") else value
    if isinstance(value, list):
        return [with_paths(v) for v in value]
    return {k: with_paths(v) for k, v in value.items()} if isinstance(value, dict) else value


def plain(x):
    """Paths as the case has them; ids as lists."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, torch.Tensor):
        return x.tolist()
    return x.replace(GOLDEN + "/", "") if isinstance(x, str) else x


PIPES = {}


def answer(case):
    if (case["model"], case["task"]) not in PIPES:
        given = dict(processor=processor_of("qwen2_vl")) if case["model"] == "qwen2_vl" else {}
        PIPES[case["model"], case["task"]] = pipeline(case["task"], model=os.path.join(OUT, case["model"]), device="cpu", **given)
    inputs, options = with_paths(copy.deepcopy(case["inputs"])), copy.deepcopy(case["options"])
    if case["task"] == "image-text-to-text" and "text" not in options:
        return plain(PIPES[case["model"], case["task"]](text=inputs, **options))
    settings = {k: options.pop(k) for k in ("num_beams", "num_return_sequences") if k in options}
    if settings:
        options["generate_kwargs"] = settings
    return plain(PIPES[case["model"], case["task"]](*([] if inputs is None else [inputs]), **options))


# What processors make of pictures and texts: [model, pictures, texts].
PROCESSED = [["blip_captions", [A], ["a photo of the bird"]], ["blip_captions", [A, GREY], ["a photo", "the red bird sings"]],
             ["llava", [A], ["user: <image>\nwhat is it? assistant:"]], ["llava", [A, GREY, B], ["<image> the bird", "a city <image> and <image>"]], ["llava", [], ["the bird", "a"]],
             ["qwen2_vl", [A], ["<|vision_start|><|image_pad|><|vision_end|> what is it?"]], ["qwen2_vl", [A, GREY, B], ["<|image_pad|> the bird", "a city <|image_pad|> and <|image_pad|>"]],
             ["idefics", [B], ["user: what is it?"]], ["idefics", [A, B], [" the bird ", "what color is the red city?"]], ["idefics", [], ["the bird"]]]


def processed():
    out = {}
    for i, (name, images, texts) in enumerate(PROCESSED):
        processor = processor_of(name)
        pictures = [Image.open(os.path.join(GOLDEN, image)) for image in images]
        if name != "idefics":
            pictures = [picture.convert("RGB") for picture in pictures]
        y = processor(images=pictures or None, text=texts, padding=True, return_tensors="pt")
        out.update({f"{i}.{key}": value.contiguous() for key, value in y.items()})
    save_file(out, os.path.join(OUT, "processed_multimodal.safetensors"))
    with open(os.path.join(OUT, "processed_multimodal.json"), "w") as f:
        json.dump(PROCESSED, f)


def main():
    for name in MODELS:
        make(name)
    processed()
    cases()
    for case in CASES:
        try:
            case["output"] = answer(case)
            print(case["model"], case["task"], json.dumps(case["output"])[:150])
        except Exception as error:
            print("FAILS", case, "\n   ", type(error).__name__, error)
    with open(os.path.join(OUT, "multimodal_cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES if "output" in c) + "\n]\n")


if __name__ == "__main__":
    main()
