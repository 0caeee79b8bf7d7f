"""GPT-2's heads, GPT (1), GPT-Neo, OPT. See common.py; GPT-2 as a language model is in ../models.py."""
from common import GENERATION, case, main

GPT2 = dict(vocab_size=21, n_positions=24, n_embd=12, n_layer=1, n_head=3, bos_token_id=1, eos_token_id=2)
GPT1 = dict(vocab_size=21, n_positions=24, n_embd=12, n_layer=2, n_head=3)
NEO = dict(vocab_size=21, max_position_embeddings=24, hidden_size=12, num_layers=1, num_heads=3, attention_types=[[["local"], 1]], window_size=3,
           bos_token_id=1, eos_token_id=2)
OPT = dict(vocab_size=21, max_position_embeddings=24, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, ffn_dim=17, pad_token_id=1, bos_token_id=2,
           eos_token_id=2)


def types(model):
    import torch
    generator = torch.Generator().manual_seed(5)
    draw = lambda below: torch.randint(0, below, (2, 7), generator=generator)
    return dict(input_ids=draw(21), token_type_ids=draw(21))


def positions(model):
    import torch
    generator = torch.Generator().manual_seed(6)
    return dict(input_ids=torch.randint(0, 21, (2, 7), generator=generator), position_ids=torch.randint(0, 20, (2, 7), generator=generator))


TYPES = dict(types=types)
BOTH = dict(types=types, position=positions)

CASES = {
    "gpt2_model": case("GPT2Model", GPT2, "plain right types", inputs=TYPES),
    "gpt2_classify": case("GPT2ForSequenceClassification", dict(GPT2, num_labels=3, pad_token_id=0), "left right grad"),
    "gpt2_tokens": case("GPT2ForTokenClassification", dict(GPT2, num_labels=3), "right grad"),
    "gpt2_answers": case("GPT2ForQuestionAnswering", GPT2, "right grad"),
    "gpt1_base": case("OpenAIGPTLMHeadModel", GPT1, "plain right left grad types", GENERATION, inputs=TYPES, padded=False),
    "gpt1_relu": case("OpenAIGPTLMHeadModel", dict(GPT1, n_layer=1, afn="relu", tie_word_embeddings=False), "plain grad"),
    "gpt1_model": case("OpenAIGPTModel", dict(GPT1, n_layer=1), "plain right"),
    "gpt1_classify": case("OpenAIGPTForSequenceClassification", dict(GPT1, n_layer=1, num_labels=3, pad_token_id=0), "right grad"),
    "gpt_neo_base": case("GPTNeoForCausalLM", dict(NEO, num_layers=3, attention_types=[[["global", "local"], 1], [["local"], 1]]), "plain right grad types position",
                         GENERATION, inputs=BOTH),
    "gpt_neo_inner": case("GPTNeoForCausalLM", dict(NEO, intermediate_size=10, activation_function="relu", tie_word_embeddings=False), "plain grad"),
    "gpt_neo_classify": case("GPTNeoForSequenceClassification", dict(NEO, num_labels=3, pad_token_id=0), "right grad"),
    "gpt_neo_tokens": case("GPTNeoForTokenClassification", dict(NEO, num_labels=3), "right grad"),
    "gpt_neo_answers": case("GPTNeoForQuestionAnswering", dict(NEO, window_size=8), "right grad"),
    "opt_base": case("OPTForCausalLM", dict(OPT, num_hidden_layers=2), "plain right left grad position", GENERATION, inputs=dict(position=positions)),
    "opt_350m": case("OPTForCausalLM", dict(OPT, num_hidden_layers=2, do_layer_norm_before=False, word_embed_proj_dim=8), "plain right grad", GENERATION[:1]),
    "opt_plain": case("OPTForCausalLM", dict(OPT, enable_bias=False, activation_function="gelu", _remove_final_layer_norm=True,
                                             tie_word_embeddings=False), "plain grad"),
    "opt_model": case("OPTModel", OPT, "plain right"),
    "opt_classify": case("OPTForSequenceClassification", dict(OPT, num_labels=3, word_embed_proj_dim=8), "right grad"),
    "opt_answers": case("OPTForQuestionAnswering", OPT, "right grad"),
}

if __name__ == "__main__":
    main(CASES)
