"""Writes tests/golden/tasks: tiny random models with tiny tokenizers, and what the reference's pipelines answer with them.

Run: python tools/golden/tasks.py [model ...]   (transformers 4.57.6, tokenizers 0.22.2, torch 2.15.0)
- <model>/: a checkpoint with its tokenizer.
- cases.json: [{"model", "task", "inputs", "options", "output"}]; inputs and options as mynah::Pipeline takes them (question and
  context are options). "config": members that config.json gets for the case, "tokenizer_config" likewise.
Strings and integers are exact, other numbers within 1e-4.
"""
import copy
import json
import os
import shutil
import sys
import tempfile
import warnings

import numpy
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import pipeline

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "families"))
from common import randomise  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
OUT = os.path.join(os.path.dirname(__file__), "../../tests/golden/tasks")

WORDS = ("the a bird birds speak speaks in lives live works work at for paris london berlin anna peter smith sings sing today and is was not "
         "good bad very i you we it this example about sports what where who does name my city park tree happy sad urgent "
         "translate english to german summarize sst2 sentence hello world").split()
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789.,?!'-:|\u00e9")


def word_piece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocab = special + LETTERS + ["##" + c for c in LETTERS[:36]] + ["##ing", "##ed", "##er", "##ly", "##land", "##ville", "##son"] + WORDS
    tok = Tokenizer(models.WordPiece({t: i for i, t in enumerate(dict.fromkeys(vocab))}, unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                       special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tok.decoder = decoders.WordPiece()
    return transformers.BertTokenizerFast(tokenizer_object=tok, model_max_length=40, do_lower_case=True, strip_accents=False)


def byte_level(kind, **special):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    names = list(dict.fromkeys(special.values()))
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator([" ".join(WORDS), "The bird sings. The birds speak in Paris.", "Anna lives in London"], trainer)
    if kind is transformers.RobertaTokenizerFast or kind is transformers.BartTokenizerFast:
        tok.post_processor = processors.RobertaProcessing(("</s>", tok.token_to_id("</s>")), ("<s>", tok.token_to_id("<s>")))
    else:
        tok.post_processor = processors.ByteLevel(trim_offsets=False)
    return kind(tokenizer_object=tok, model_max_length=60, **special)


def unigram():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -4.0)]
    pieces += [("\u2581" + w, -5.0 - 0.01 * i) for i, w in enumerate(WORDS)]
    pieces += [(c, -8.0 - 0.01 * i) for i, c in enumerate(LETTERS)] + [("ing", -6.5), ("er", -6.6), ("s", -6.0)]
    seen, unique = set(), []
    for p, s in pieces:
        if p not in seen:
            seen.add(p)
            unique.append((p, s))
    tok = Tokenizer(models.Unigram(unique, unk_id=2, byte_fallback=False))
    tok.normalizer = normalizers.Lowercase()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return transformers.T5TokenizerFast(tokenizer_object=tok, eos_token="</s>", unk_token="<unk>", pad_token="<pad>", extra_ids=0, model_max_length=60)


BERT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, max_position_embeddings=48, type_vocab_size=2)
GPT2 = dict(n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0)
T5 = dict(d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=2, num_heads=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
          task_specific_params={"summarization": {"prefix": "summarize: ", "max_length": 12, "min_length": 3, "num_beams": 2, "length_penalty": 2.0, "early_stopping": True},
                                "translation_en_to_de": {"prefix": "translate english to german: ", "max_length": 14, "num_beams": 3}})
BART = dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24,
            max_position_embeddings=64)
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CHAT = ("{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}{{ '\\n' if not (loop.last and m['role'] == 'assistant') }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant> {% endif %}")


def labelled(names):
    return dict(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})


def gpt2_tokenizer():
    tok = byte_level(transformers.GPT2TokenizerFast, bos_token="<|end|>", eos_token="<|end|>", unk_token="<|end|>")
    tok.chat_template = CHAT
    return tok


MODELS = {
    "bert_classifier": ("BertForSequenceClassification", dict(BERT, **labelled(["bad", "good", "so-so"])), word_piece),
    "bert_one": ("BertForSequenceClassification", dict(BERT, num_labels=1), word_piece),
    "bert_nli": ("BertForSequenceClassification", dict(BERT, **labelled(["contradiction", "neutral", "ENTAILMENT"])), word_piece),
    "bert_tags": ("BertForTokenClassification", dict(BERT, **labelled(TAGS)), word_piece),
    "bert_mask": ("BertForMaskedLM", BERT, word_piece),
    "bert_answers": ("BertForQuestionAnswering", BERT, word_piece),
    "gpt2": ("GPT2LMHeadModel", GPT2, gpt2_tokenizer),
    "gpt2_tags": ("GPT2ForTokenClassification", dict(GPT2, n_layer=1, **labelled(TAGS)), gpt2_tokenizer),
    "t5": ("T5ForConditionalGeneration", T5, unigram),
    "mbart": ("MBartForConditionalGeneration", BART, "mbart"),
    "mbart50": ("MBartForConditionalGeneration", dict(BART, decoder_start_token_id=2), "mbart50"),
    "nllb": ("M2M100ForConditionalGeneration", dict(BART, decoder_start_token_id=2), "nllb"),
    "nllb_legacy": ("M2M100ForConditionalGeneration", dict(BART, decoder_start_token_id=2), "nllb_legacy"),
    "m2m_100": ("M2M100ForConditionalGeneration", dict(BART, decoder_start_token_id=2), "m2m_100"),
}


def make(name):
    kind, config, tokenizer = MODELS[name]
    folder = os.path.join(OUT, name)
    shutil.rmtree(folder, ignore_errors=True)
    files = os.path.join(OUT, "../tokenizers/folders", tokenizer) if isinstance(tokenizer, str) else None
    tok = transformers.AutoTokenizer.from_pretrained(files) if files else tokenizer()
    cls = getattr(transformers, kind)
    languages = getattr(tok, "lang_token_to_id", {}).values()  # which M2M-100 does not count
    config = cls.config_class(vocab_size=max(len(tok), *(i + 1 for i in languages), 0), **config)
    model = cls._from_config(config)
    randomise(model, name, 0.5)
    if kind == "GPT2LMHeadModel":
        with torch.no_grad():  # words rather than bytes, and no early end
            model.transformer.wte.weight[:257] *= 0.15
    model.save_pretrained(folder)
    os.chmod(f"{folder}/model.safetensors", 0o644)
    if files:
        shutil.copytree(files, folder, dirs_exist_ok=True)
        return
    tok.save_pretrained(folder)
    for extra in ("special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"):
        if os.path.exists(f"{folder}/{extra}"):
            os.remove(f"{folder}/{extra}")


TEXT = "Anna Smith lives in Paris and works in London"
LONG = ("Peter Smithson lives in Berlin and works at the park. Anna sings today in London and Peter speaks in Berlin. The bird is happy and the city is "
        "not sad, it was very good. We live in Newville and you work for the Peterson city in Eastland today.")
CONTEXT = "My name is Anna Smith and I live in Berlin. The bird lives in a tree at the park in London."
CHATS = [{"role": "user", "content": "hello bird"}, {"role": "assistant", "content": "the city"}]

CASES = []


def add(model, task, inputs, config=None, tokenizer_config=None, **options):
    case = dict(model=model, task=task, inputs=inputs, options=options)
    if config:
        case["config"] = config
    if tokenizer_config:
        case["tokenizer_config"] = tokenizer_config
    CASES.append(case)


def classification_cases():
    m, t = "bert_classifier", "text-classification"
    add(m, "sentiment-analysis", "I love the bird")
    add(m, t, ["good", "this is very bad, not good!", "a"])
    add(m, t, ["good"])
    add(m, t, "The bird sings", top_k=1)
    add(m, t, "The bird sings", top_k=2)
    add(m, t, ["The bird", "sings"], top_k=None)
    add(m, t, "The bird sings", return_all_scores=True)
    add(m, t, "The bird sings", top_k=None, function_to_apply="sigmoid")
    add(m, t, "The bird sings", top_k=None, function_to_apply="NONE")
    add(m, t, "The bird sings", top_k=None, function_to_apply="Softmax")
    add(m, t, {"text": "the bird", "text_pair": "a city"})
    add(m, t, [{"text": "the bird", "text_pair": "a city"}, {"text": "anna", "text_pair": "peter lives"}], top_k=2)
    add(m, t, LONG, truncation=True)
    add(m, t, LONG, truncation=True, max_length=12, top_k=None)
    add(m, t, LONG, max_length=9)
    add(m, t, {"text": LONG, "text_pair": "a city"}, truncation="only_first", top_k=None)
    add(m, t, "")
    add(m, t, "[MASK] [SEP] [CLS]")
    add(m, t, "the bird", top_k=None, config={"problem_type": "multi_label_classification"})
    add(m, t, "the bird", top_k=None, config={"problem_type": "regression"})
    add(m, t, "the bird", top_k=None, config={"id2label": None, "label2id": None, "num_labels": 3})
    add("bert_one", t, ["the bird", "a city"])
    add("bert_one", t, "the bird", top_k=None, config={"problem_type": "regression"})


def tag_cases():
    m, t = "bert_tags", "token-classification"
    add(m, "ner", TEXT)
    add(m, t, [TEXT, "Newville", "in \u00e9t\u00e9 \u732b \U0001f600 Paris"], ignore_labels=[])
    for strategy in ("none", "simple", "first", "average", "max"):
        add(m, t, "Petersonville Smithson speaks; Annaland \u732bbird parking \U0001f600 Eastlanding London", aggregation_strategy=strategy, ignore_labels=[])
        add("gpt2_tags", t, "Peter  Smithson's birds live in Paris, not in N\u00e9wville.", aggregation_strategy=strategy, ignore_labels=["B-LOC"])
    add(m, t, TEXT, aggregation_strategy="simple")
    add(m, t, TEXT, aggregation_strategy="first", ignore_labels=["O", "PER"])
    add(m, t, LONG, aggregation_strategy="simple")
    for stride in (0, 5, 20):
        add(m, t, LONG, aggregation_strategy="simple", stride=stride)
    add(m, t, [LONG, TEXT], aggregation_strategy="max", stride=8, ignore_labels=[])
    add(m, t, ["Anna", "Smithson", "in", "Newville"], is_split_into_words=True, ignore_labels=[])
    add(m, t, [["Anna", "Smithson"], ["in", "Newville"]], is_split_into_words=True, delimiter="--", aggregation_strategy="first", ignore_labels=[])
    add(m, t, TEXT, grouped_entities=True)
    add(m, t, TEXT, grouped_entities=True, ignore_subwords=True)
    add(m, t, "")


def mask_cases():
    m, t = "bert_mask", "fill-mask"
    add(m, t, "The [MASK] sings in Paris.")
    add(m, t, ["the [MASK]"])
    add(m, t, ["the [MASK]", "[MASK] is happy, not [MASK]!"], top_k=2)
    add(m, t, "a [MASK] bird [MASK]", top_k=3)
    add(m, t, "the [MASK] sings", targets=["bird", "city", "london", "tree"], top_k=3)
    add(m, t, "the [MASK] sings", targets=["bird", "Newville"])
    add(m, t, "the [MASK] [PAD] sings", targets="bird")
    add(m, t, "the [MASK] [MASK] sings", targets=["bird", "city"])
    add(m, t, "the [MASK] " + LONG, tokenizer_kwargs={"truncation": True}, top_k=1)
    add(m, "feature-extraction", "the bird")
    add(m, "feature-extraction", ["the bird sings", "a"])
    add(m, "feature-extraction", LONG, truncation=True, tokenize_kwargs={"max_length": 4})


def answer_cases():
    m, t = "bert_answers", "question-answering"
    ask = dict(question="Where do I live?", context=CONTEXT)
    add(m, t, None, **ask)
    add(m, t, None, **ask, top_k=3)
    add(m, t, None, **ask, topk=2)
    add(m, t, None, **ask, top_k=4, max_answer_len=3)
    add(m, t, None, **ask, top_k=3, align_to_words=False)
    add(m, t, None, **ask, top_k=3, handle_impossible_answer=True)
    add(m, t, None, **ask, top_k=2, max_seq_len=24, doc_stride=6)
    add(m, t, None, question="Who sings?", context=LONG, top_k=5, max_seq_len=30, doc_stride=10, handle_impossible_answer=True)
    add(m, t, None, question="Who sings?", context=LONG, top_k=3)
    add(m, t, None, question=["Who is it?", "where is the bird"], context=CONTEXT)
    add(m, t, None, question=["Who is it?", "where is the bird"], context=[CONTEXT, LONG], max_seq_len=32, top_k=2)
    add(m, t, None, question="Where?", context="Petersonville \u732b\u732b N\u00e9wville, Eastlanding \U0001f600 bird bird BIRD", top_k=6)
    add(m, t, None, question="Where?", context="Petersonville, Eastlanding bird", top_k=2, tokenizer_config={"padding_side": "left"})
    add(m, t, [{"question": "Who?", "context": "anna sings"}, {"question": "Where?", "context": "in the park"}])


def nli_cases():
    m, t = "bert_nli", "zero-shot-classification"
    add(m, t, "The bird sings", candidate_labels=["bird", "city", "sports"])
    add(m, t, "The bird sings", candidate_labels="bird, city ,sports,")
    add(m, t, ["The bird sings", "a sad city"], candidate_labels=["happy", "sad"], multi_label=True)
    add(m, t, "The bird sings", candidate_labels=["happy"])
    add(m, t, "The bird sings", candidate_labels=["happy", "urgent"], hypothesis_template="it is about {} {{!}}")
    add(m, t, ["The bird sings"], candidate_labels=["happy", "urgent"], config={"label2id": {"entail": 0, "b": 1, "c": 2}}, multi_label=True)
    add(m, t, "The bird sings", candidate_labels=["happy", "urgent", "sad"], config={"label2id": {"a": 0, "b": 1, "c": 2}}, multi_label=True)
    add(m, t, LONG, candidate_labels=["happy", "sad"])


def generation_cases():
    m, t = "gpt2", "text-generation"
    g = dict(do_sample=False, max_new_tokens=6)
    add(m, t, "The bird", **g)
    add(m, t, ["The bird", "Anna lives in"], **g)
    add(m, t, ["The bird"], **g, return_full_text=False)
    add(m, t, "The bird", **g, return_tensors=True)
    add(m, t, "The bird", **g, prefix="Anna and ")
    add(m, t, "The bird", do_sample=False, max_length=14, max_new_tokens=4)
    add(m, t, "The bird sings in Paris", do_sample=False, max_length=5, max_new_tokens=3)
    add(m, t, "The bird", **g, clean_up_tokenization_spaces=False)
    add(m, t, "", **g)
    add(m, t, "hi<|end|>you", **g)
    add(m, t, "hi<|end|>you", **g, skip_special_tokens=False)
    add(m, t, "The birds speak in London and Paris today", do_sample=False, max_new_tokens=56, handle_long_generation="hole", return_full_text=False)
    add(m, t, "The bird", do_sample=False, max_new_tokens=12, stop_sequence=" ")
    add(m, t, CHATS[:1], **g)
    add(m, t, CHATS, **g)
    add(m, t, [CHATS, CHATS[:1]], **g, return_full_text=False)
    add(m, t, CHATS, **g, continue_final_message=False)


def seq2seq_cases():
    g = dict(do_sample=False)
    add("t5", "text2text-generation", "the bird sings", max_new_tokens=6, num_beams=1)
    add("t5", "text2text-generation", ["the bird sings", "anna"], max_new_tokens=6)
    add("t5", "text2text-generation", ["the bird sings", "anna"], max_new_tokens=6, num_return_sequences=2)
    add("t5", "text2text-generation", "the bird sings", max_new_tokens=5, return_tensors=True)
    add("t5", "summarization", LONG[:60], max_new_tokens=9)
    add("t5", "summarization", [LONG[:60], "the bird"], min_length=2, max_length=8, max_new_tokens=7, num_beams=1)
    add("t5", "translation_en_to_de", "the bird sings", max_new_tokens=20)
    add("t5", "translation_en_to_de", ["the bird sings", "peter"], max_length=9, num_beams=1)
    add("t5", "translation", "the bird sings", max_new_tokens=4)
    add("t5", "summarization", LONG + LONG, truncation=True, max_new_tokens=8, return_tensors=True)
    add("t5", "text2text-generation", "the bird sings", max_new_tokens=8, num_beams=1, stop_sequence="was", return_tensors=True)


def language_cases():
    """Multilingual translators: the language of the text beside it, that of the answer at its beginning."""
    for model, first, second in (("mbart", "en_XX", "ro_RO"), ("mbart50", "de_DE", "fr_XX"), ("nllb", "eng_Latn", "deu_Latn"), ("nllb_legacy", "eng_Latn", "fra_Latn"),
                                 ("m2m_100", "en", "fr")):
        for source, target in ((first, second), (second, first)):
            add(model, "translation", "the bird sings", src_lang=source, tgt_lang=target, max_new_tokens=8)
            add(model, "translation", ["the bird sings in the park", "anna"], src_lang=source, tgt_lang=target, max_new_tokens=6, num_beams=1, return_tensors=True)
    add("m2m_100", "translation_de_to_en", "the bird sings", max_new_tokens=8, return_tensors=True)
    add("m2m_100", "translation_de_to_en", "the bird sings", src_lang="fr", tgt_lang="de", max_new_tokens=8, return_tensors=True)


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, (torch.Tensor, numpy.ndarray)):
        return plain(x.tolist())
    if isinstance(x, (numpy.integer,)):
        return int(x)
    if isinstance(x, (float, numpy.floating)):
        return round(float(x), 6)
    return x


def patch(path, changes):
    with open(path) as f:
        value = json.load(f)
    value.update(changes)
    value = {k: v for k, v in value.items() if v is not None}
    with open(path, "w") as f:
        json.dump(value, f)


PIPES = {}


def opened(case):
    key = json.dumps([case["model"], case["task"], case.get("config"), case.get("tokenizer_config")])
    if key not in PIPES:
        folder = tempfile.mkdtemp()
        shutil.copytree(os.path.join(OUT, case["model"]), folder, dirs_exist_ok=True)
        for member, file in (("config", "config.json"), ("tokenizer_config", "tokenizer_config.json")):
            if member in case:
                patch(os.path.join(folder, file), case[member])
        PIPES[key] = pipeline(case["task"], model=folder, device="cpu")
        shutil.rmtree(folder)
    return PIPES[key]


def answer(case):
    pipe = opened(case)
    inputs = [] if case["inputs"] is None else [case["inputs"]]
    return plain(pipe(*copy.deepcopy(inputs), **copy.deepcopy(case["options"])))


def main():
    os.makedirs(OUT, exist_ok=True)
    for name in sys.argv[1:] or MODELS:
        if name in MODELS:
            make(name)
    for group in (classification_cases, tag_cases, mask_cases, answer_cases, nli_cases, generation_cases, seq2seq_cases, language_cases):
        group()
    for case in CASES:
        try:
            case["output"] = answer(case)
        except Exception as error:
            print("FAILS", {k: v for k, v in case.items()}, "\n   ", type(error).__name__, error)
    with open(os.path.join(OUT, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in CASES if "output" in c) + "\n]\n")


if __name__ == "__main__":
    main()
