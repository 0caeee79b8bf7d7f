"""MPNet: every head; sequences longer than the exact buckets. See common.py."""
from common import case, main
from long import long_right

SMALL = dict(vocab_size=33, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=19, max_position_embeddings=48)
ONE = dict(SMALL, num_hidden_layers=1)

CASES = {
    "mpnet_base": case("MPNetModel", SMALL, "plain left right"),
    "mpnet_long": case("MPNetModel", dict(ONE, relative_attention_num_buckets=40), "long", inputs=dict(long=long_right)),
    "mpnet_masked_lm": case("MPNetForMaskedLM", ONE, "left grad"),
    "mpnet_classify": case("MPNetForSequenceClassification", dict(ONE, num_labels=3), "right grad"),
    "mpnet_tokens": case("MPNetForTokenClassification", dict(ONE, num_labels=5), "right grad"),
    "mpnet_answers": case("MPNetForQuestionAnswering", ONE, "right grad"),
    "mpnet_choice": case("MPNetForMultipleChoice", ONE, "right grad"),
}

if __name__ == "__main__":
    main(CASES)
