"""Writes models that hear and speech_cases.json into tests/golden/tasks, and a sound into tests/golden/media: what the reference's pipelines
answer. See tasks.py.

    python tools/golden/speech_tasks.py
"""
import json
import os
import shutil
import sys
import warnings

import numpy as np
import soundfile
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "families"))
from common import randomise  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
GOLDEN = os.path.join(HERE, "../../tests/golden")
OUT = os.path.join(GOLDEN, "tasks")


def sound():
    """2.6 seconds of notes, in which a random model hears something."""
    t = np.arange(41600) / 16000
    notes = [440, 330, 550, 220, 660, 495]
    x = sum(0.2 * np.sin(2 * np.pi * f * t) * ((t * 4).astype(int) % (i + 2) == 0) for i, f in enumerate(notes))
    soundfile.write(os.path.join(GOLDEN, "media/notes.flac"), (x * 3000).astype(np.int16), 16000)
    return soundfile.read(os.path.join(GOLDEN, "media/notes.flac"), dtype="float32")[0]


def save(model, folder, *more):
    shutil.rmtree(folder, ignore_errors=True)
    for part in (model, *more):
        part.save_pretrained(folder)
    for name in os.listdir(folder):
        if name in ("special_tokens_map.json", "normalizer.json", "vocab.json", "merges.txt") and os.path.exists(os.path.join(folder, "tokenizer.json")):
            os.remove(os.path.join(folder, name))
        else:
            os.chmod(os.path.join(folder, name), 0o644)


def whisper():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator([" so the bird sings, and we hear it. Is it you? we are here! the song"] * 3,
                            trainers.BpeTrainer(vocab_size=290, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|fr|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nocaptions|>",
             "<|notimestamps|>"]
    tok.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    tok.add_tokens([AddedToken("<|%.2f|>" % (i * 0.02), normalized=False) for i in range(51)])
    fast = transformers.WhisperTokenizerFast(tokenizer_object=tok, bos_token=names[0], eos_token=names[0], unk_token=names[0], pad_token=names[0],
                                             additional_special_tokens=names[1:])
    id = fast.convert_tokens_to_ids
    end = id(names[0])
    extractor = transformers.WhisperFeatureExtractor(feature_size=6, chunk_length=1, n_fft=400)
    config = transformers.WhisperConfig(vocab_size=len(fast), num_mel_bins=6, d_model=12, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=3,
                                        encoder_ffn_dim=9, decoder_ffn_dim=11, max_source_positions=50, max_target_positions=40, pad_token_id=end, bos_token_id=end,
                                        eos_token_id=end, decoder_start_token_id=id(names[1]), suppress_tokens=None, begin_suppress_tokens=None, median_filter_width=3)
    model = randomise(transformers.WhisperForConditionalGeneration(config), "whisper of tasks", 0.6)
    bytes_alone = [i for i in range(end) if len(fast.convert_ids_to_tokens(i)) == 1]
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=id(names[1]), max_length=24, max_initial_timestamp_index=50,
        no_timestamps_token_id=id(names[9]), prev_sot_token_id=id(names[7]), return_timestamps=False, is_multilingual=True,
        suppress_tokens=[i for i in bytes_alone if fast.convert_ids_to_tokens(i) not in ",.?!"] + [id(n) for n in names[1:]],
        begin_suppress_tokens=[end], lang_to_id={"<|en|>": id("<|en|>"), "<|fr|>": id("<|fr|>")}, task_to_id={"transcribe": id(names[5]), "translate": id(names[4])},
        alignment_heads=[[1, 0], [1, 2], [0, 1]])
    save(model, os.path.join(OUT, "whisper"), fast, extractor)
    return transformers.pipeline("automatic-speech-recognition", model=model, tokenizer=fast, feature_extractor=extractor)


# What is trained in tools/golden/train_media.py is compared step by step.
WITHOUT_DROPOUT = {"activation_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0, "final_dropout": 0.0, "hidden_dropout": 0.0, "layerdrop": 0.0}
SMALL = dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17, conv_dim=[6, 5, 4], conv_kernel=[20, 12, 8], conv_stride=[10, 8, 4],
             num_feat_extract_layers=3, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, apply_spec_augment=False)


def ctc():
    folder = os.path.join(OUT, "wav2vec2_ctc")
    os.makedirs(folder, exist_ok=True)
    words = ["<pad>", "<s>", "</s>", "<unk>", "|"] + list("ABCDE'")
    with open(os.path.join(folder, "vocab.json"), "w") as f:
        json.dump({w: i for i, w in enumerate(words)}, f)
    tokenizer = transformers.Wav2Vec2CTCTokenizer(os.path.join(folder, "vocab.json"))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    model = randomise(transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(vocab_size=len(words), pad_token_id=0, **WITHOUT_DROPOUT, **SMALL)), "ctc of tasks", 0.5)
    with torch.no_grad():  # what is heard shall decide, not what is always there
        model.lm_head.bias.zero_()
        model.wav2vec2.encoder.layer_norm.bias.zero_()
        model.wav2vec2.encoder.layers[0].final_layer_norm.bias.zero_()
        model.wav2vec2.encoder.layers[0].layer_norm.bias.zero_()
        model.wav2vec2.feature_projection.layer_norm.bias.zero_()
    save(model, folder, tokenizer, extractor)
    return transformers.pipeline("automatic-speech-recognition", model=model, tokenizer=tokenizer, feature_extractor=extractor)


def keywords():
    names = {i: n for i, n in enumerate(("yes", "no", "up", "down", "left", "right"))}
    config = transformers.Wav2Vec2Config(vocab_size=9, classifier_proj_size=7, num_labels=6, id2label=names, label2id={n: i for i, n in names.items()}, **SMALL)
    model = randomise(transformers.Wav2Vec2ForSequenceClassification(config), "keywords of tasks", 0.5)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)
    save(model, os.path.join(OUT, "wav2vec2_keywords"), extractor)
    return transformers.pipeline("audio-classification", model=model, feature_extractor=extractor)


def clap(fused=False):
    names = ["<s>", "<pad>", "</s>", "<unk>"] + "this is a sound of the bird that sings bell music dog in quiet ##s . { }".split()
    tok = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.normalizer = normalizers.Lowercase()
    tok.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
                                                model_input_names=["input_ids", "attention_mask"])
    text = dict(vocab_size=len(fast), hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=9, max_position_embeddings=20, pad_token_id=1)
    audio = dict(num_mel_bins=8, spec_size=16, patch_size=2, patch_stride=[2, 2], window_size=4, patch_embeds_hidden_size=4, depths=[2, 1], num_attention_heads=[2, 2],
                 hidden_size=8, mlp_ratio=1.5, aff_block_r=2, enable_fusion=fused, fusion_type="aff_2d" if fused else None)
    both = dict(projection_dim=10)
    model = randomise(transformers.ClapModel(transformers.ClapConfig(text_config={**text, **both}, audio_config={**audio, **both}, **both)), f"clap {fused}", 0.5)
    extractor = transformers.ClapFeatureExtractor(feature_size=8, sampling_rate=16000, hop_length=1600, fft_window_size=1024, max_length_s=3, frequency_max=7000,
                                                  truncation="fusion" if fused else "rand_trunc", padding="repeatpad")
    save(model, os.path.join(OUT, "clap_fused" if fused else "clap"), fast, extractor)
    return transformers.pipeline("zero-shot-audio-classification", model=model, tokenizer=fast, feature_extractor=extractor)


VARIED = dict(no_repeat_ngram_size=2, repetition_penalty=1.5)
ASR = "automatic-speech-recognition"
RUNS = {
    ("whisper", ASR, whisper): [dict(language="en", return_timestamps=True, **VARIED), dict(language="fr", return_timestamps="word", **VARIED),
                                dict(language="en", return_timestamps="word", num_beams=2, **VARIED),
                                dict(chunk_length_s=0.8, language="en", **VARIED),
                                dict(chunk_length_s=0.9, stride_length_s=[0.2, 0.1], return_timestamps=True, language="en", **VARIED),
                                dict(chunk_length_s=0.9, return_timestamps="word", task="translate", **VARIED)],
    ("wav2vec2_ctc", ASR, ctc): [dict(), dict(return_timestamps="word"), dict(return_timestamps="char"), dict(chunk_length_s=1.0), dict(chunk_length_s=0.9, stride_length_s=0.2, return_timestamps="word")],
    ("clap", "zero-shot-audio-classification", clap): [dict(candidate_labels=["a bird", "bell music", "dog"]), dict(candidate_labels=["bird", "bell"], hypothesis_template="{} sings")],
    ("clap_fused", "zero-shot-audio-classification", lambda: clap(True)): [dict(candidate_labels=["bird", "bell music that sings", "quiet"])],
    ("wav2vec2_keywords", "audio-classification", keywords): [dict(), dict(top_k=2), dict(top_k=None, function_to_apply="sigmoid"), dict(function_to_apply="none")],
}


def main():
    samples, cases = sound(), []
    for (name, task, make), runs in RUNS.items():
        pipe = make()
        for options in runs:
            call = dict(options)
            given = {k: call.pop(k) for k in ("language", "task", "num_beams", *VARIED) if k in call}
            if given:
                call["generate_kwargs"] = given
            answer = pipe(samples.copy() if "zero-shot" in task else dict(array=samples.copy(), sampling_rate=16000), **call)
            cases.append(dict(model=name, task=task, inputs="media/notes.flac", options=options, output=json.loads(json.dumps(answer, default=float))))
            print(name, options, answer)
    with open(os.path.join(OUT, "speech_cases.json"), "w") as f:
        json.dump(cases, f, indent=0, ensure_ascii=False)


main()
