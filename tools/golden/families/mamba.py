"""Mamba. See common.py."""
from common import GENERATION, case, main

MAMBA = dict(vocab_size=21, hidden_size=12, state_size=5, num_hidden_layers=2, expand=2, conv_kernel=4, time_step_rank=3, pad_token_id=0, bos_token_id=1, eos_token_id=2)
BESIDES = dict(use_cache=False)  # the reference leaves recurrent states where they are when beams change places

CASES = {
    "mamba_base": case("MambaForCausalLM", MAMBA, "plain right left grad", GENERATION, besides=BESIDES),
    "mamba_biases": case("MambaForCausalLM", dict(MAMBA, use_bias=True, use_conv_bias=False, hidden_act="gelu", conv_kernel=3, expand=1.5, time_step_rank="auto",
                                                  tie_word_embeddings=False), "plain grad", GENERATION[:1], padded=False, besides=BESIDES),
    "mamba_model": case("MambaModel", dict(MAMBA, num_hidden_layers=1), "plain right"),
}

if __name__ == "__main__":
    main(CASES)
