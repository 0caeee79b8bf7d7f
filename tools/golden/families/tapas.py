"""TAPAS: tables, every head, every way to learn answers. See common.py."""
import torch

from common import case, main, seeded

ONE = dict(vocab_size=33, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=19, max_position_embeddings=24,
           type_vocab_sizes=[3, 7, 8, 2, 6, 6, 9], max_num_rows=4, max_num_columns=5)
TOKENS = 22
# Which tokens answer, by (column, row): nothing, one column, two columns of which one has more.
ANSWERS = [set(), {(2, 1), (2, 3)}, {(1, 1), (3, 1), (3, 2), (3, 4)}]


def table(model):
    """Three tables of 3 columns and 2 to 5 rows (one more than max_num_rows counts), two of them with padding."""
    generator = seeded("tables")
    types = torch.zeros(3, TOKENS, 7, dtype=torch.long)
    mask = torch.zeros(3, TOKENS, dtype=torch.long)
    for b, (asked, rows) in enumerate(((4, 3), (3, 3), (2, 5))):
        places = [(0, 0)] * asked + [(column, row) for row in range(rows + 1) for column in (1, 2, 3) for _ in range(2 if (b + column + row) % 4 == 0 else 1)]
        for i, (column, row) in enumerate(places[:TOKENS]):
            types[b, i, :3] = torch.tensor([int(i >= asked), column, row])
            mask[b, i] = 1
            if row > 0:
                types[b, i, 3:] = torch.tensor([int(torch.randint(0, n, (1,), generator=generator)) for n in (2, 6, 6, 9)])
    assert mask.sum() < 3 * TOKENS
    return dict(input_ids=torch.randint(3, 33, (3, TOKENS), generator=generator), attention_mask=mask, token_type_ids=types)


def unmasked(model):
    return dict(input_ids=table(model)["input_ids"], token_type_ids=table(model)["token_type_ids"])


def cells(model):
    inputs = table(model)
    places = inputs["token_type_ids"][:, :, 1:3].tolist()
    inputs["labels"] = torch.tensor([[int(tuple(place) in ANSWERS[b]) for place in row] for b, row in enumerate(places)])
    return inputs


def cells_of_any_column(model):
    inputs = cells(model)
    return dict(inputs, labels=inputs["labels"].float())  # the reference takes no others there


def known_aggregations(model):
    return dict(cells(model), aggregation_labels=torch.tensor([2, 0, 3]))


def answers_only(model):
    generator = seeded("answers")
    values = 3 * torch.randn(3, TOKENS, generator=generator)
    values[torch.rand(3, TOKENS, generator=generator) < 0.3] = float("nan")
    scale = torch.randint(1, 4, (3, TOKENS), generator=generator).float()
    return dict(cells(model), float_answer=torch.tensor([1.5, float("nan"), -4.0]), numeric_values=values, numeric_values_scale=scale)


def some_table(model):
    inputs = answers_only(model)
    return dict(inputs, table_mask=(inputs["token_type_ids"][:, :, 2] > 1).long())


def ids_and_labels(model):
    labels = torch.randint(0, 33, (3, TOKENS), generator=seeded("labels"))
    labels[0, 3] = labels[2, 5] = -100
    return dict(table(model), labels=labels)


def classes(model):
    return dict(table(model), labels=torch.tensor([2, 0, 1]))


INPUTS = dict(table=table, unmasked=unmasked)
WEAK = dict(ONE, num_aggregation_labels=4, use_answer_as_supervision=True, cell_selection_preference=0.9, huber_loss_delta=1.3, answer_loss_importance=0.7,
            aggregation_loss_weight=1.4, temperature=0.6, aggregation_temperature=0.8)


def answering(config, io="table grad", grad=cells, **more):
    return case("TapasForQuestionAnswering", config, io, inputs=dict(INPUTS, grad=grad, **more))


CASES = {
    "tapas_base": case("TapasModel", dict(ONE, num_hidden_layers=2), "plain right table unmasked", inputs=INPUTS),
    "tapas_plain_positions": case("TapasModel", dict(ONE, reset_position_index_per_cell=False), "table", inputs=INPUTS),
    "tapas_masked_lm": case("TapasForMaskedLM", ONE, "table grad", inputs=dict(INPUTS, grad=ids_and_labels)),
    "tapas_classify": case("TapasForSequenceClassification", dict(ONE, num_labels=3), "table grad", inputs=dict(INPUTS, grad=classes)),
    "tapas_cells": answering(ONE, "plain table unmasked grad"),
    "tapas_empty_columns": answering(dict(ONE, allow_empty_column_selection=True)),
    "tapas_any_column": answering(dict(ONE, select_one_column=False, positive_label_weight=3.0), "grad", cells_of_any_column),
    "tapas_known": answering(dict(ONE, num_aggregation_labels=4, average_logits_per_cell=True), grad=known_aggregations),
    "tapas_answers": answering(WEAK, "table grad masked", grad=answers_only, masked=some_table),
    "tapas_first_order": answering(dict(WEAK, average_approximation_function="first_order", use_normalized_answer_loss=True, cell_selection_preference=0.01), "grad", answers_only),
    "tapas_second_order": answering(dict(WEAK, average_approximation_function="second_order", answer_loss_cutoff=2.0, disable_per_token_loss=True), "grad", answers_only),
}

if __name__ == "__main__":
    main(CASES)
