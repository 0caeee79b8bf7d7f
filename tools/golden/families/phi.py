"""Phi (1, 1.5, 2) and Phi-3. See common.py."""
from common import GENERATION, case, main, sizes

BASE = sizes(num_hidden_layers=2)
ONE = sizes(num_hidden_layers=1, pad_token_id=0)
LONG = dict(type="longrope", short_factor=[1.0, 1.3], long_factor=[2.0, 7.0])


# Prompts of 6 that cross the length where the factors change, by themselves and with beams; and one that is longer from the start.
CROSSING = dict(max_position_embeddings=64, original_max_position_embeddings=9)
ACROSS = [dict(max_new_tokens=12), dict(max_new_tokens=9, num_beams=3, num_return_sequences=2), dict(max_new_tokens=3)]


def of_length(length):
    def inputs(model):
        import torch
        generator = torch.Generator().manual_seed(length)
        return dict(input_ids=torch.randint(3, model.config.vocab_size, (2, length), generator=generator))
    return inputs


CASES = {
    "phi_base": case("PhiForCausalLM", dict(BASE, partial_rotary_factor=0.5), "plain right grad", GENERATION),
    "phi_normed": case("PhiForCausalLM", dict(ONE, qk_layernorm=True, num_key_value_heads=4, partial_rotary_factor=1.0), "plain grad"),
    "phi_classify": case("PhiForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "phi3_base": case("Phi3ForCausalLM", dict(BASE, pad_token_id=0, sliding_window=4), "plain right grad", GENERATION),
    "phi3_long": case("Phi3ForCausalLM", dict(BASE, pad_token_id=0, rope_scaling=LONG, original_max_position_embeddings=6, max_position_embeddings=24),
                      "long short", inputs=dict(long=of_length(9), short=of_length(5)), fresh=True),
    "phi3_crossing": case("Phi3ForCausalLM", dict(sizes(num_hidden_layers=2), pad_token_id=0, rope_scaling=LONG, **CROSSING), "", ACROSS, padded=False, attention="sdpa"),
    "phi3_beyond": case("Phi3ForCausalLM", dict(sizes(num_hidden_layers=1), pad_token_id=0, rope_scaling=LONG, max_position_embeddings=64, original_max_position_embeddings=4), "",
                        ACROSS[:2], padded=False, attention="sdpa"),
    # A family that keeps what it has read with the short factors.
    "llama_crossing": case("LlamaForCausalLM", dict(sizes(num_hidden_layers=2), pad_token_id=0, rope_scaling=dict(LONG, rope_type="longrope"), **CROSSING), "", ACROSS, padded=False,
                           attention="sdpa"),
    "phi3_partial": case("Phi3ForCausalLM", dict(sizes(num_hidden_layers=1, hidden_size=32), pad_token_id=0, partial_rotary_factor=0.5, rope_scaling=LONG,
                                                 original_max_position_embeddings=32, max_position_embeddings=64, tie_word_embeddings=True), "plain grad"),
    "phi3_classify": case("Phi3ForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "phi3_tokens": case("Phi3ForTokenClassification", dict(ONE, num_labels=3), "right grad"),
}

if __name__ == "__main__":
    main(CASES)
