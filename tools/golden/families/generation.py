"""generate() itself: every processor, beams, batches and lengths, on tiny decoders and encoder-decoders. See common.py.

Most runs end before their limit in some rows and not in others, because the end token is one that these models like.
"""
import torch

from common import case, main

GPT2 = dict(vocab_size=41, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=1, eos_token_id=14, pad_token_id=0)
LLAMA = dict(vocab_size=43, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128, bos_token_id=1, eos_token_id=41, pad_token_id=None)
T5 = dict(eos_token_id=34, vocab_size=45, d_model=12, d_kv=6, d_ff=16, num_layers=1, num_heads=2, relative_attention_num_buckets=8,
          relative_attention_max_distance=10, decoder_start_token_id=0)
BART = dict(vocab_size=47, d_model=12, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=48, scale_embedding=True)

MARK = dict(watermarking_config=dict(bias=1.5, greenlist_ratio=0.3))
SELF = dict(watermarking_config=dict(bias=2.0, seeding_scheme="selfhash", context_width=3))

PROCESSORS = [
    dict(repetition_penalty=1.7),
    dict(repetition_penalty=0.6, renormalize_logits=True),
    dict(no_repeat_ngram_size=2),
    dict(no_repeat_ngram_size=3, min_new_tokens=9),
    dict(encoder_repetition_penalty=1.6),
    dict(encoder_no_repeat_ngram_size=1),
    dict(encoder_no_repeat_ngram_size=2, repetition_penalty=0.7),
    dict(bad_words_ids=[[5], [7, 9], [2], [11, 12, 13]]),
    dict(sequence_bias=[[[4], 3.0], [[8, 8], -20.0], [[6], -9.0], [[4, 4], -6.5]]),
    dict(min_length=14),
    dict(min_new_tokens=6),
    dict(forced_eos_token_id=3),
    dict(suppress_tokens=[3, 6, 9, 12, 15, 18]),
    dict(begin_suppress_tokens=list(range(3, 20))),
    dict(exponential_decay_length_penalty=(3, 1.4)),
    dict(remove_invalid_values=True, suppress_tokens=[4, 5]),
    MARK,
    SELF,
]
DECODERS = PROCESSORS + [dict(guidance_scale=1.6), dict(guidance_scale=2.5, repetition_penalty=1.2), dict(eos_token_id=[2, 5, 8, 9])]
BEAMS = [
    dict(num_beams=2),
    dict(num_beams=3, num_return_sequences=3),
    dict(num_beams=5, num_return_sequences=4, length_penalty=2.0),
    dict(num_beams=4, num_return_sequences=2, length_penalty=-1.5),
    dict(num_beams=3, length_penalty=0.0, early_stopping="never"),
    dict(num_beams=4, early_stopping=True, num_return_sequences=4),
    dict(num_beams=4, early_stopping="never", length_penalty=1.3, num_return_sequences=2),
    dict(num_beams=4, early_stopping=True, length_penalty=-0.5, num_return_sequences=3),
    dict(num_beams=3, repetition_penalty=1.5, num_return_sequences=2),
    dict(num_beams=3, no_repeat_ngram_size=2, min_new_tokens=5, num_return_sequences=2),
    dict(num_beams=5, eos_token_id=[2, 4, 6, 8], early_stopping=True, num_return_sequences=5),
    dict(num_beams=3, encoder_no_repeat_ngram_size=2, renormalize_logits=True, num_return_sequences=2),
    dict(num_beams=2, bad_words_ids=[[5], [7, 9]], sequence_bias=[[[10], 2.5]]),
    dict(num_beams=4, exponential_decay_length_penalty=(2, 1.2), forced_eos_token_id=2),
    dict(num_beams=3, suppress_tokens=[3, 4, 5, 6], begin_suppress_tokens=[7, 8, 9]),
    dict(num_beams=2, num_return_sequences=2, **MARK),
]


def runs(args, lengths=(10, 7, 16, 12)):
    return [dict(max_new_tokens=lengths[i % len(lengths)]) | a for i, a in enumerate(args)]


def prompts(model, spec, generator):
    """Three rows of 5 to 9 tokens: decoders' padded on the left, encoders' on the right, often with a decoder's prompt."""
    config, below = model.config, model.config.vocab_size
    length = int(torch.randint(5, 10, (), generator=generator))
    ids = torch.randint(3, below, (3, length), generator=generator)
    mask = torch.ones_like(ids)
    for row, hidden in ((1, 2), (2, length - 2)):
        part = slice(length - hidden, None) if config.is_encoder_decoder else slice(0, hidden)
        mask[row, part] = 0
    ids[mask == 0] = config.pad_token_id or 0
    entry = dict(input_ids=ids.tolist(), attention_mask=mask.tolist())
    if config.is_encoder_decoder and torch.rand((), generator=generator) < 0.4:
        entry["decoder_input_ids"] = torch.randint(3, below, (3, 3), generator=generator).tolist()
        if torch.rand((), generator=generator) < 0.5:
            entry["decoder_input_ids"][1][0] = config.decoder_start_token_id
    return entry


def generation(kind, config, runs):
    return case(kind, config, "", runs, prompts=prompts, spread=0.5)


CASES = {
    "generation_gpt2": generation("GPT2LMHeadModel", GPT2, runs(DECODERS + BEAMS) + [dict(max_new_tokens=58), dict(max_length=30, num_beams=2)]),
    "generation_llama": generation("LlamaForCausalLM", LLAMA, runs(DECODERS + BEAMS) + [dict(max_new_tokens=90, num_beams=2, eos_token_id=3)]),
    "generation_t5": generation("T5ForConditionalGeneration", T5, runs(PROCESSORS + BEAMS) + [dict(max_new_tokens=9, forced_bos_token_id=7), dict(max_new_tokens=9, forced_bos_token_id=7, begin_suppress_tokens=[9, 10, 11], num_beams=3)]),
    "generation_bart": generation("BartForConditionalGeneration", BART, runs(PROCESSORS + BEAMS)),
}

if __name__ == "__main__":
    main(CASES)
