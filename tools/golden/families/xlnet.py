"""XLNet: both streams, memories, segments, directions, every head. See common.py."""
import torch

from common import BATCH, LENGTH, case, main, masks, seeded

SMALL = dict(vocab_size=33, d_model=12, n_layer=2, n_head=3, d_inner=17, mem_len=5)
ONE = dict(SMALL, n_layer=1)


def ids(name, rows=BATCH):
    return torch.randint(6, 33, (rows, LENGTH), generator=seeded(name))


def mems(model, rows=BATCH, length=4):
    return [torch.randn(length, rows, model.config.d_model, generator=seeded(f"memory {i}")) for i in range(model.config.n_layer)]


def factorised(model, rows=BATCH):
    """A random order of prediction: perm_mask, and target_mapping of three positions."""
    generator = seeded("order")
    perm = torch.zeros(rows, LENGTH, LENGTH)
    mapping = torch.zeros(rows, 3, LENGTH)
    for b in range(rows):
        order = torch.randperm(LENGTH, generator=generator)
        place = torch.empty(LENGTH, dtype=torch.long)
        place[order] = torch.arange(LENGTH)
        perm[b] = (place[None, :] >= place[:, None]).float()
        for g, last in enumerate((LENGTH - 2, LENGTH - 1, 0)):  # the first of an order sees nothing
            mapping[b, g, order[last]] = 1
    return dict(input_ids=ids("factorised", rows), perm_mask=perm, target_mapping=mapping)


def types(model):
    return dict(input_ids=ids("types"), token_type_ids=torch.randint(0, 3, (BATCH, LENGTH), generator=seeded("types")))


def all_at_once(model):
    """Order, memories, padding and segments together."""
    return types(model) | factorised(model) | dict(mems=mems(model), attention_mask=masks()[0])


def remembered(model):
    return dict(input_ids=ids("remembered"), mems=mems(model))


def remembered_labels(model):
    return dict(remembered(model), labels=torch.randint(0, 33, (BATCH, LENGTH), generator=seeded("labels")))


def even(model):
    return dict(input_ids=ids("even", 4), mems=mems(model, 4))


def predicted(model):
    labels = torch.randint(0, 33, (BATCH, 3), generator=seeded("labels"))
    labels[1, 1] = -100
    return dict(factorised(model), labels=labels)


def beams(model):
    """What run_qa_beam_search gives: which tokens are of no answer, and where the classifier's token is."""
    left = masks()[0]
    p_mask = 1 - left.float()
    p_mask[:, -2:] = 1  # which leaves as many tokens as starts are asked for, so that there is no choice among the impossible
    p_mask[:, -1] = 0
    return dict(input_ids=ids("beams"), attention_mask=left, token_type_ids=torch.tensor([[0] * 5 + [1] * 3 + [2]] * BATCH), p_mask=p_mask,
                cls_index=torch.tensor([8, 8, 7]))


def spans(model):
    return dict(input_ids=ids("spans"), start_positions=torch.tensor([1, 0, 7]), end_positions=torch.tensor([3, 2, 8]))


def spans_and_answerability(model):
    return beams(model) | dict(start_positions=torch.tensor([1, 2, 8]), end_positions=torch.tensor([3, 2, 8]), is_impossible=torch.tensor([0.0, 0.0, 1.0]))


CASES = {
    "xlnet_base": case("XLNetModel", SMALL, "plain left types order all", inputs=dict(types=types, order=factorised, all=all_at_once)),
    "xlnet_lm": case("XLNetLMHeadModel", ONE, "plain grad predicted", [dict(max_new_tokens=8), dict(max_new_tokens=7, num_beams=3)],
                     inputs=dict(predicted=predicted), padded=False),
    "xlnet_untied": case("XLNetLMHeadModel", dict(ONE, tie_word_embeddings=False, mem_len=None, ff_activation="relu"), "plain remembered grad",
                         [dict(max_new_tokens=12)], inputs=dict(remembered=remembered), padded=False),
    "xlnet_uni": case("XLNetLMHeadModel", dict(SMALL, attn_type="uni", same_length=True, clamp_len=3, reuse_len=4), "plain remembered labels",
                      inputs=dict(remembered=remembered, labels=remembered_labels)),
    "xlnet_uni_plain": case("XLNetLMHeadModel", dict(ONE, attn_type="uni", mem_len=0), "remembered", inputs=dict(remembered=remembered)),
    "xlnet_both_ways": case("XLNetModel", dict(SMALL, bi_data=True, clamp_len=4, use_mems_eval=False), "even", inputs=dict(even=even)),
    "xlnet_classify": case("XLNetForSequenceClassification", dict(ONE, num_labels=3), "left grad"),
    "xlnet_summary": case("XLNetForSequenceClassification", dict(ONE, num_labels=4, summary_type="mean", summary_use_proj=False,
                                                                 problem_type="multi_label_classification"), "grad"),
    "xlnet_tokens": case("XLNetForTokenClassification", dict(ONE, num_labels=5), "left grad"),
    "xlnet_answers": case("XLNetForQuestionAnsweringSimple", ONE, "left grad"),
    "xlnet_beams": case("XLNetForQuestionAnswering", dict(ONE, start_n_top=3, end_n_top=2), "plain left beams spans grad",
                        inputs=dict(beams=beams, spans=spans, grad=spans_and_answerability)),
    "xlnet_choice": case("XLNetForMultipleChoice", dict(ONE, summary_type="first", summary_activation="relu"), "left grad"),
}

if __name__ == "__main__":
    main(CASES)
