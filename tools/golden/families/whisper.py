"""Whisper. See common.py."""
import torch
from common import case, main, seeded

SMALL = dict(vocab_size=41, num_mel_bins=5, d_model=12, encoder_layers=1, decoder_layers=1, encoder_attention_heads=3, decoder_attention_heads=2,
             encoder_ffn_dim=17, decoder_ffn_dim=19, max_source_positions=11, max_target_positions=20, pad_token_id=30, bos_token_id=30, eos_token_id=30,
             decoder_start_token_id=31, suppress_tokens=None, begin_suppress_tokens=None)
CLASSES = dict(SMALL, num_labels=4, classifier_proj_size=7)


def features(model, count=3):
    config = model.config
    return torch.randn(count, config.num_mel_bins, 2 * config.max_source_positions, generator=seeded("mel"))


def plain(model):
    return dict(input_features=features(model), decoder_input_ids=torch.tensor([[31, 3, 4, 30, 9], [31, 7, 8, 9, 2], [31, 0, 1, 2, 3]]))


def right(model):
    mask = torch.ones(3, 5, dtype=torch.long)
    mask[1, 3:] = mask[2, 1:] = 0
    return dict(plain(model), decoder_attention_mask=mask, attention_mask=torch.ones(3, 22, dtype=torch.long))


def taught(model):
    return dict(input_features=features(model), labels=torch.tensor([[3, 30, 5, 6, -100, -100], [7, 8, 9, 10, 11, 30], [1, -100, -100, -100, -100, -100]]))


def heard(model):
    return dict(input_features=features(model))


def classes(model):
    return dict(input_features=features(model), labels=torch.tensor([2, 0, 3]))


# Tokens: 24 words, end 24, start 25, two languages, translate, transcribe, previous text, no speech, no timestamps; timestamps from 33 on.
SPEAKING = dict(SMALL, vocab_size=45, max_target_positions=30, pad_token_id=24, bos_token_id=24, eos_token_id=24, decoder_start_token_id=25)
SETTINGS = dict(bos_token_id=24, eos_token_id=24, pad_token_id=24, decoder_start_token_id=25, max_length=24, max_initial_timestamp_index=3,
                no_timestamps_token_id=32, prev_sot_token_id=30, return_timestamps=False, suppress_tokens=[3, 7, 25, 26, 27, 28, 29, 30, 31, 32],
                begin_suppress_tokens=[2, 24], is_multilingual=True, lang_to_id={"<|en|>": 26, "<|fr|>": 27}, task_to_id={"transcribe": 29, "translate": 28},
                forced_decoder_ids=[[1, None], [2, 29]], alignment_heads=[[0, 1], [0, 0]])


def sounds(model, spec, generator):
    frames = 2 * model.config.max_source_positions
    return dict(input_features=rounded(torch.randn(2, model.config.num_mel_bins, frames, generator=generator)))


def long_sounds(count):
    def made(model, spec, generator):
        frames = 5 * model.config.max_source_positions
        out = dict(input_features=rounded(torch.randn(count, model.config.num_mel_bins, frames, generator=generator)))
        if count > 1:
            out["attention_mask"] = [[1] * frames, [1] * (frames - 19) + [0] * 19]
        return out

    return made


def rounded(x):
    return [[[round(v, 3) for v in row] for row in sound] for sound in x.tolist()]


def answers(model, call):
    call = {k: v for k, v in call.items() if k != "prompt_ids"} | ({"prompt_ids": torch.tensor(call["prompt_ids"])} if "prompt_ids" in call else {})
    return model.generate(**call)


def speaking(runs, prompts, **more):
    return case("WhisperForConditionalGeneration", dict(SPEAKING, **more), "", runs, settings=SETTINGS, answers=answers, prompts=prompts, spread=0.5)


BOTH = dict(plain=plain, right=right, grad=taught)

CASES = {
    "whisper_base": case("WhisperForConditionalGeneration", SMALL, "plain right grad", inputs=BOTH),
    "whisper_untied": case("WhisperForConditionalGeneration", dict(SMALL, tie_word_embeddings=False, scale_embedding=True, activation_function="relu"),
                           "plain grad", inputs=BOTH),
    "whisper_model": case("WhisperModel", dict(SMALL, encoder_layers=2, decoder_layers=2), "plain right", inputs=BOTH),
    "whisper_classify": case("WhisperForAudioClassification", CLASSES, "plain grad", inputs=dict(plain=heard, grad=classes)),
    "whisper_weighted": case("WhisperForAudioClassification", dict(CLASSES, encoder_layers=2, use_weighted_layer_sum=True), "plain grad", inputs=dict(plain=heard, grad=classes)),
    "whisper_speaks": speaking([dict(), dict(language="fr", max_new_tokens=9), dict(task="translate", return_timestamps=True),
                               dict(return_timestamps=True, num_beams=3, length_penalty=0.6, language=["fr", "en"]), dict(num_beams=2, language="english"),
                               dict(prompt_ids=[30, 5, 6, 9], language="en", return_timestamps=True, max_new_tokens=6),
                               dict(no_repeat_ngram_size=2, repetition_penalty=1.3, num_beams=2, num_return_sequences=2)], sounds),
    "whisper_long": speaking([dict(return_timestamps=True), dict(return_timestamps=True, condition_on_prev_tokens=True),
                              dict(return_timestamps=True, num_beams=2, condition_on_prev_tokens=True, prompt_ids=[30, 1, 2], prompt_condition_type="all-segments"),
                              dict(return_timestamps=True, compression_ratio_threshold=1.35, logprob_threshold=-2.5, no_speech_threshold=0.02, temperature=[0.0, 0.0]),
                              dict(return_timestamps=True, prompt_ids=[30, 4], max_new_tokens=8)], long_sounds(1)),
    "whisper_long_batch": speaking([dict(return_timestamps=True), dict(return_timestamps=True, condition_on_prev_tokens=True, language="en", num_beams=2)], long_sounds(2)),
    "whisper_decoder": case("WhisperForCausalLM", dict(SMALL, is_decoder=True, is_encoder_decoder=False), "plain right grad"),
}

if __name__ == "__main__":
    main(CASES)
