"""BART and the families of its layers: mBART, Marian, Pegasus, M2M-100. See common.py."""
import os

from common import build, case, check_reload, main, randomise
from safetensors.torch import load_file, save_file

SMALL = dict(vocab_size=33, d_model=12, encoder_layers=2, decoder_layers=1, encoder_attention_heads=3, decoder_attention_heads=2, encoder_ffn_dim=17,
             decoder_ffn_dim=19, max_position_embeddings=20)
ONE = dict(SMALL, encoder_layers=1)
RUNS = [dict(max_new_tokens=9), dict(max_new_tokens=8, num_beams=3, num_return_sequences=2, length_penalty=2.0, min_length=4, no_repeat_ngram_size=2)]
MBART = dict(ONE, decoder_start_token_id=2, scale_embedding=True)
MARIAN = dict(ONE, pad_token_id=32, decoder_start_token_id=32, scale_embedding=True, activation_function="swish")



def add_position_tables(folder):
    """Old files of Marian hold the tables of positions, which transformers reads and no longer writes."""
    name, path = os.path.basename(folder), os.path.join(folder, "model.safetensors")
    model = randomise(build(CASES[name]), name, 0.3, True)
    tables = {k: v for k, v in model.state_dict().items() if k.endswith("embed_positions.weight")}
    save_file({**load_file(path), **tables}, path, metadata={"format": "pt"})
    check_reload(folder, model, CASES[name], name)


CASES = {
    "bart_base": case("BartForConditionalGeneration", dict(SMALL, vocab_size=29), "plain right grad", RUNS),
    "bart_model": case("BartModel", dict(ONE, scale_embedding=True, activation_function="relu"), "plain right"),
    "bart_classify": case("BartForSequenceClassification", dict(ONE, num_labels=4), "right grad"),
    "bart_answers": case("BartForQuestionAnswering", ONE, "right grad"),
    "bart_decoder": case("BartForCausalLM", dict(ONE, is_decoder=True, is_encoder_decoder=False), "plain right grad"),
    "mbart_base": case("MBartForConditionalGeneration", dict(MBART, encoder_layers=2, vocab_size=29), "plain right grad",
                       [dict(max_new_tokens=9, forced_bos_token_id=7), dict(max_new_tokens=7, num_beams=4, early_stopping=True, forced_bos_token_id=9)]),
    "mbart_classify": case("MBartForSequenceClassification", dict(MBART, num_labels=3, activation_function="relu"), "right grad"),
    "mbart_answers": case("MBartForQuestionAnswering", MBART, "right grad"),
    "marian_base": case("MarianMTModel", dict(MARIAN, encoder_layers=2), "plain right grad",
                        [dict(max_new_tokens=9, bad_words_ids=[[32]]), dict(max_new_tokens=8, num_beams=4, bad_words_ids=[[32]], num_return_sequences=2)]),
    "marian_unshared": case("MarianMTModel", dict(MARIAN, share_encoder_decoder_embeddings=False, decoder_vocab_size=33), "plain grad"),
    "marian_model": case("MarianModel", dict(MARIAN, d_model=18), "plain right"),
    "pegasus_base": case("PegasusForConditionalGeneration", dict(ONE, d_model=8, encoder_attention_heads=2, scale_embedding=True, activation_function="relu"), "plain right grad",
                         [dict(max_new_tokens=8, num_beams=3, length_penalty=0.8)]),
    "pegasus_table": case("PegasusForConditionalGeneration", dict(ONE, scale_embedding=True), "plain right grad", [dict(max_new_tokens=8)], frozen=True),
    "marian_table": case("MarianMTModel", dict(MARIAN, encoder_layers=1), "plain", [dict(max_new_tokens=8, bad_words_ids=[[32]])], frozen=True,
                         edit=add_position_tables),
    "m2m_100_base": case("M2M100ForConditionalGeneration", dict(ONE, d_model=10, encoder_attention_heads=2, decoder_attention_heads=2), "plain left grad",
                         [dict(max_new_tokens=8, forced_bos_token_id=6), dict(max_new_tokens=8, num_beams=3, forced_bos_token_id=6)]),
}

if __name__ == "__main__":
    main(CASES)
