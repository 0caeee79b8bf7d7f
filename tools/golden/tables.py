"""Writes tests/golden/tasks/tapas*, tiny random models of tables, and table_cases.json: what the reference's pipeline answers with them; and
tests/golden/tokenizers/tables.json: what its tokenizer makes of hostile tables.

Run: python tools/golden/tables.py   (transformers 4.57.6, torch 2.15.0, pandas 2.3.3)
Cases have the form of tasks.py's. tables.json: [{"config", "table", "truncation", "asked": [{"query", "ids", "types"}]}], `config`
being members of tokenizer_config.json and types those of all tokens, seven each; exact. Its vocabulary is that of tasks/tapas.
"""
import copy
import json
import os
import shutil
import tempfile

import pandas
import transformers
from transformers import pipeline
from transformers.models.deprecated.tapex.tokenization_tapex import TapexTokenizer

from tasks import BART, LETTERS, OUT, WORDS, byte_level, plain, randomise

CASES = []
AGGREGATIONS = {0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"}
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=64, type_vocab_sizes=[3, 10, 70, 2, 70, 70, 10])
MODELS = {
    "tapas": dict(SIZES, num_aggregation_labels=4, aggregation_labels=AGGREGATIONS, no_aggregation_label_index=0),
    "tapas_sqa": dict(SIZES, allow_empty_column_selection=True, reset_position_index_per_cell=False, max_position_embeddings=200),
}
SEEDS = {"tapas": "tapas 23", "tapas_sqa": "tapas_sqa 37"}  # chosen so that the answers differ
BIRDS = {"bird": ["robin", "owl", "tit", "grey heron"], "weight": ["18", "450", "11.5", "1,500"], "seen": ["May 2010", "june 3, 2011", "2009", "1 May 2012"],
         "city": ["Paris", "London", "n/a", "Berlin"]}
CITIES = [{"city": "Paris", "people": "2,102,650", "river": "Seine"}, {"city": "Berlin", "people": "3,677,472", "river": ""}, {"city": "London", "people": "-", "river": "?"}]
QUERIES = ["what is the weight of the owl?", "how many birds are above 12.5?", "who was seen in May 2010 or before 2012?", "where?"]


def vocabulary():
    special = ["[PAD]", "[EMPTY]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return list(dict.fromkeys(special + LETTERS + ["##" + c for c in LETTERS[:36]] + ["##ing", "##ed", "##er", "##s"] + WORDS))


def tokenizer(folder, **config):
    path = os.path.join(folder, "vocab.txt")
    with open(path, "w") as f:
        f.write("".join(token + "\n" for token in vocabulary()))
    return transformers.TapasTokenizer(path, **{"model_max_length": 160, **config})


def emptied(name):
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


def save(folder, model, tok):
    model.save_pretrained(folder)
    os.chmod(f"{folder}/model.safetensors", 0o644)
    tok.save_pretrained(folder)
    for extra in ("special_tokens_map.json", "added_tokens.json"):
        if os.path.exists(f"{folder}/{extra}"):
            os.remove(f"{folder}/{extra}")


def make(name):
    folder = emptied(name)
    tok = tokenizer(folder)
    config = transformers.TapasConfig(vocab_size=len(vocabulary()), **MODELS[name])
    model = randomise(transformers.TapasForQuestionAnswering._from_config(config), SEEDS[name], 0.5)
    save(folder, model, tok)


def make_tapex():
    """The same task by an encoder-decoder that reads the table as a text."""
    folder = emptied("tapex")
    words = byte_level(transformers.BartTokenizerFast, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>", cls_token="<s>", sep_token="</s>")
    with tempfile.TemporaryDirectory() as files:
        words.save_vocabulary(files)
        tok = TapexTokenizer(f"{files}/vocab.json", f"{files}/merges.txt", add_prefix_space=True, max_cell_length=6)
    config = transformers.BartConfig(vocab_size=len(tok), **dict(BART, max_position_embeddings=600), pad_token_id=tok.pad_token_id, bos_token_id=tok.bos_token_id,
                                     eos_token_id=tok.eos_token_id, decoder_start_token_id=tok.eos_token_id, forced_eos_token_id=None)
    model = randomise(transformers.BartForConditionalGeneration._from_config(config), "tapex", 0.5)
    model.generation_config.update(max_length=9, num_beams=2)  # max_new_tokens would give way to the pipeline's 256
    save(folder, model, tok)


PIPES = {}


def add(model, inputs, **options):
    if model not in PIPES:
        PIPES[model] = pipeline("table-question-answering", model=os.path.join(OUT, model), device="cpu")
    given = [] if inputs is None else [copy.deepcopy(inputs)]
    CASES.append(dict(model=model, task="table-question-answering", inputs=inputs, options=options, output=plain(PIPES[model](*given, **copy.deepcopy(options)))))


def pipeline_cases():
    for model in MODELS:
        for query in QUERIES:
            add(model, {"table": BIRDS, "query": query})
        add(model, None, table=CITIES, query="people?")
        add(model, None, table=BIRDS, query=QUERIES)
        add(model, None, table=BIRDS, query=QUERIES, sequential=True)
        add(model, None, table=BIRDS, query=QUERIES[0], sequential=True)
        add(model, [{"table": BIRDS, "query": QUERIES[1]}, {"table": CITIES, "query": ["where?", "how many people?"]}])
        long = {"name": [f"bird {i} the happy one" for i in range(30)], "number": [str(7 * i % 11) for i in range(30)]}
        add(model, {"table": long, "query": QUERIES[1]})
        add(model, {"table": {"a": ["x" * 120, "bird sings in the park today and the tree is happy"] * 30}, "query": "what?"})


def tapex_cases():
    for query in QUERIES[:2]:
        add("tapex", {"table": BIRDS, "query": query})
    add("tapex", None, table=BIRDS, query=QUERIES)
    add("tapex", {"table": {"a": [" ", "x", "the bird sings in the park today and the tree is happy"], "B b": ["", "N\u00e9wville", "7"]}, "query": "Where?"})


HOSTILE = ["", " ", "-", "nan", "?", "N/A", "EMPTY", "[EMPTY]", "a [SEP] b", "12", "-3.5", "+7", " +.5", "1,234,567.89", "12,34", "1.", "1.2.3", "5 -6", "5 - 6", "21st", "2nd place",
           "twelve", "first", "one two", "1e5", "1e999", "9" * 400, "infinity", "nanth", "0x10", "1_000", "may", "May 5", "5 may", "february 29", "february 29, 2012", "february 30, 2012",
           "29 February 2011", "2016", "2017", "1990s", "1699", "12-31-1999", "13-31-1999", "1999-12-31", "1999-2-1", "1999-12", "31.12.1999", "Sept 2010", "sep 2010", "september 2010",
           "Monday, May 5", "monday, sep 12", "funday, may 5", "12 aug 1999", "aug 12, 1999", "10 may 2010 and 11", "\u0662\u0663", "\uff11\uff12", "x\u00b2", "\u00bd", "\u732b 3", "caf\u00e9 4",
           "E\u0301t\u00e9 5", "a\u00a0b", "a\tb\n6", "12 000", "$5", "5%", "3-4", "3/4", "may 32", "may 0", "05 may 2001", "00 may 2001", "x" * 101, "the birds, speaking: 7!", "2010 2011",
           "4 may 2010 - 6 may 2010", "- 5", "a-5", "(-5)", ".5", "5..6", "1,2,3", "1,000,000,0", "tenth 10th 10", "3rd of may 2001", "december", "december 12 2001", "12 december 2001"]


def tokenizer_cases():
    cases = []
    wide = {"model_max_length": 100000}
    tables = [({f"column {i}": [text, text, other] for i, text in enumerate(HOSTILE)}, wide, ["3 or -12", "5 may 2001, may or 2010"], False) for other in ("3", "5 may 2001")]
    values = {"a": ["5", "12", "-3"], "b": ["1999", "2001", "2010"], "c": ["may", "june", "may"], "d": ["5 may 2001", "12-31-1999", "feb 29, 2012"], "e": ["may 5", "sep 12", "monday, may 4"]}
    tables.append((values, {}, [text for text in HOSTILE if text], True))
    tables += [({"n": ["1", "2", "2", "ten", "", "-1"], "when": ["may 2010", "2009", "2011", "june", "2012", "2010"], "both": ["2010", "5", "2011", "7", "1999", "2001"]}, {},
                ["2", "2010", "may", "5 may 2010 and 7", "less than 2 or above 1"], True)]
    long = {"name": [f"the bird {i} is happy" for i in range(12)], "speaks": ["speaks and sings today"] * 12, "x" * 20: [str(i) for i in range(12)]}
    for config in ({"model_max_length": 40}, {"model_max_length": 90}, {"model_max_length": 90, "cell_trim_length": 3}, {"model_max_length": 60, "cell_trim_length": 2},
                   {"max_row_id": 6}, {"strip_column_names": True}, {"min_question_length": 3}, {"max_question_length": 4}, {"model_max_length": 12}):
        tables.append((long, config, ["who sings?", "what is 7 or below 3 of the birds in the park"], True))
    tables.append((long, {"model_max_length": 40}, ["who sings?"], False))
    for table, config, queries, truncation in tables:
        with tempfile.TemporaryDirectory() as folder:
            tok = tokenizer(folder, **config)
        for query in queries:
            e = tok(pandas.DataFrame(table), query, truncation=truncation)
            cases.append(dict(config=config, table=table, query=query, truncation=truncation, ids=e["input_ids"], types=e["token_type_ids"]))
    return cases


def tokenizer_files():
    """One table is written once, with all that is asked of it."""
    grouped = {}
    for case in tokenizer_cases():
        key = json.dumps([case["config"], case["table"], case["truncation"]])
        grouped.setdefault(key, dict(config=case["config"], table=case["table"], truncation=case["truncation"], asked=[]))
        grouped[key]["asked"].append(dict(query=case["query"], ids=case["ids"], types=[v for row in case["types"] for v in row]))
    with open(os.path.join(OUT, "../tokenizers/tables.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in grouped.values()) + "\n]\n")


def main():
    for name in MODELS:
        make(name)
    make_tapex()
    pipeline_cases()
    tapex_cases()
    with open(os.path.join(OUT, "table_cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES) + "\n]\n")
    tokenizer_files()


if __name__ == "__main__":
    main()
