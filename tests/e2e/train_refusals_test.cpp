// What people get wrong when they train: each is one clear line, and nothing of theirs is lost.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/json.h"
#include "program.h"

namespace mynah::e2e {
namespace {

const fs::path kTrain = fs::path(MYNAH_TEST_DATA) / "golden" / "train";

class TrainRefusals : public Sandbox {
 protected:
  TrainRefusals() {
    fs::copy(kTrain / "models" / "llama", file("llama"));
    model_ = file("llama").string();
  }
  std::string data(const std::string& name) const { return (kTrain / "data" / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name).string();
  }
  std::string bytes(const fs::path& path) const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> finetune(std::vector<std::string> more, const std::string& rows = "") const {
    std::vector<std::string> words = {"finetune", model_, "--train-file", rows.empty() ? data("text.jsonl") : rows, "--max-steps", "2", "--output-dir", file("out").string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::string> align(const std::string& method, const std::string& rows, std::vector<std::string> more) const {
    std::vector<std::string> words = {"align", method, model_, "--train-file", data(rows), "--max-steps", "2", "--output-dir", file("out").string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  void refused(const std::vector<std::string>& more, const std::vector<std::string>& said) const { expect_refused(finetune(more), {2}, said); }
  Result trained(const std::vector<std::string>& words) const {
    Result r = run(words);
    EXPECT_EQ(r.code, 0) << r.err;
    return r;
  }
  std::string model_;
};

TEST_F(TrainRefusals, NumbersThatCannotBeMeant) {
  refused({"--learning-rate", "inf"}, {"--learning-rate: inf"});
  refused({"--weight-decay", "inf"}, {"--weight-decay: inf"});
  refused({"--warmup-ratio", "2"}, {"--warmup-ratio: 2", "0 to 1"});
  refused({"--save-steps", "-1"}, {"--save-steps: -1"});
  refused({"--eval-steps", "-1"}, {"--eval-steps: -1"});
  refused({"--seed", "1", "--save-steps", "1", "--train-file", "x"}, {"--train-file: given 2 times, expected once"});
}

TEST_F(TrainRefusals, FlagsOfAnEvaluationThatNeverComes) {
  refused({"--eval-steps", "1"}, {"--eval-steps", "--validation-file"});
  refused({"--load-best-model-at-end"}, {"--load-best-model-at-end", "--validation-file"});
  refused({"--early-stopping-patience", "2"}, {"--early-stopping-patience", "--validation-file"});
  refused({"--early-stopping-patience", "2", "--validation-file", data("text.jsonl")}, {"--early-stopping-patience", "--eval-steps"});
  expect_refused({"pretrain", "--model", model_, "--train-file", data("prose.txt"), "--block-size", "8", "--max-steps", "1", "--validation-fraction", "0.000001", "--output-dir", file("out").string()},
                 {2}, {"--validation-fraction", "holds out 1"});
}

TEST_F(TrainRefusals, ModulesThatTheModelDoesNotHave) {
  refused({"--lora-target-modules", "q_proj,v_prj"}, {"no module v_prj", "v_proj"});
  refused({"--lora-r", "2", "--lora-modules-to-save", "lm_haed"}, {"no module lm_haed", "lm_head"});
  refused({"--lora-alpha", "nan"}, {"--lora-alpha"});
  refused({"--lora-alpha", "0"}, {"--lora-alpha"});
  refused({"--lora-target-modules", ".*(q_proj"}, {".*(q_proj", "regular expression"});
}

TEST_F(TrainRefusals, PlacesOfAdaptersAreNamesOrAPattern) {
  trained(finetune({"--lora-r", "2", "--lora-target-modules", "q_proj, v_proj"}));
  EXPECT_EQ(read_json_file(file("out") / "adapter_config.json")["target_modules"], (Json{"q_proj", "v_proj"}));
  size_t both = read_tensors(file("out") / "adapter_model.safetensors").size();
  fs::remove_all(file("out"));
  trained(finetune({"--lora-r", "2", "--lora-target-modules", ".*\\.layers\\.0\\..*(q|v)_proj"}));
  EXPECT_EQ(read_json_file(file("out") / "adapter_config.json")["target_modules"], ".*\\.layers\\.0\\..*(q|v)_proj");
  EXPECT_EQ(read_tensors(file("out") / "adapter_model.safetensors").size(), 4u);
  EXPECT_GT(both, 4u);
  trained({"merge", file("out").string(), "--output-dir", file("merged").string()});
}

TEST_F(TrainRefusals, FlagsOfNewAdaptersBesideAnOldOne) {
  refused({"--adapter", (kTrain / "models" / "llama_adapter").string(), "--lora-r", "16"}, {"--lora-r", "--adapter"});
}

TEST_F(TrainRefusals, NothingIsWrittenOverWhatIsRead) {
  const std::string before = bytes(file("llama") / "model.safetensors");
  expect_refused({"finetune", model_, "--train-file", data("text.jsonl"), "--max-steps", "1", "--output-dir", model_ + "/"}, {2}, {"the same"});
  expect_refused({"align", "sft", model_, "--train-file", data("text.jsonl"), "--max-steps", "1", "--output-dir", model_}, {2}, {"the same"});
  expect_refused({"pretrain", "--model", model_, "--train-file", data("prose.txt"), "--block-size", "8", "--max-steps", "1", "--output-dir", model_}, {2}, {"the same"});
  trained(finetune({"--lora-r", "2"}));
  expect_refused({"merge", file("out").string(), "--output-dir", model_}, {2}, {"the same"});
  expect_refused({"merge", file("out").string(), "--output-dir", file("out").string()}, {2}, {"the same"});
  expect_refused({"merge", file("out").string(), "--output-dir", file("all.gguf").string()}, {2}, {"mynah convert"});
  EXPECT_FALSE(fs::exists(file("all.gguf")));
  EXPECT_EQ(bytes(file("llama") / "model.safetensors"), before);
}

TEST_F(TrainRefusals, ABaseThatMovedIsNamed) {
  trained(finetune({"--lora-r", "2"}));
  fs::rename(file("llama"), file("elsewhere"));
  const Result r = run({"merge", file("out").string(), "--output-dir", file("merged").string()});
  EXPECT_NE(r.code, 0);
  EXPECT_NE(r.err.find("its base model " + model_ + " is not found"), std::string::npos) << r.err;
  trained({"merge", file("out").string(), "--model", file("elsewhere").string(), "--output-dir", file("merged").string()});
}

TEST_F(TrainRefusals, FlagsOfAnotherMethod) {
  const auto foreign = [&](const std::string& method, const std::string& rows, const std::string& flag, const std::string& value) {
    std::vector<std::string> more = {flag};
    if (!value.empty()) more.push_back(value);
    expect_refused(align(method, rows, more), {2}, {method, flag});
  };
  foreign("dpo", "pairs.jsonl", "--packing", "");
  foreign("dpo", "pairs.jsonl", "--reward", "exact");
  foreign("grpo", "completion.jsonl", "--validation-file", data("completion.jsonl"));
  foreign("grpo", "completion.jsonl", "--response-length", "3");
  foreign("kto", "judged.jsonl", "--label-smoothing", "0.1");
  foreign("orpo", "pairs.jsonl", "--ref-model", model_);
  expect_refused(align("dpo", "pairs.jsonl", {"--beta", "-1"}), {2}, {"--beta: -1"});
  expect_refused(align("grpo", "completion.jsonl", {"--reward", "length:3", "--max-completion-length", "0"}), {2}, {"--max-completion-length"});
  expect_refused(align("dpo", "pairs.jsonl", {"--ref-model", "tiny"}), {2}, {"--ref-model", "tokens"});
}

TEST_F(TrainRefusals, AModelWithoutAScoreIsNoRewardModel) {
  expect_refused(align("grpo", "completion.jsonl", {"--reward-model", model_, "--num-generations", "2"}), {2}, {"--reward-model", "LlamaForCausalLM", "align reward"});
  refused({"--min-lr", "1e-5"}, {"--min-lr", "linear", "cosine_with_min_lr"});
}

TEST_F(TrainRefusals, RewardsAreNumbersAndOneForEachLine) {
  const auto judged = [&](const std::string& command) {
    return run(align("grpo", "completion.jsonl", {"--reward", "cmd:" + command, "--num-generations", "2", "--per-device-train-batch-size", "2", "--max-completion-length", "3"}));
  };
  for (const char* command : {"while read x; do echo nan; done", "while read x; do echo inf; done"}) {
    const Result r = judged(command);
    EXPECT_EQ(r.code, 1) << command;
    EXPECT_NE(r.err.find("expected a finite number"), std::string::npos) << r.err;
  }
  const Result more = judged("while read x; do printf '1\\n2\\n'; done");
  EXPECT_EQ(more.code, 1);
  EXPECT_NE(more.err.find("unasked"), std::string::npos) << more.err;
}

TEST_F(TrainRefusals, ARunThatGoesOnWithOtherRowsSaysSo) {
  const auto words = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--save-steps", "2"});
    return finetune(more);
  };
  trained(words({"--seed", "1"}));
  const std::string changed = trained(words({"--seed", "2", "--per-device-train-batch-size", "1", "--max-steps", "4", "--resume-from-checkpoint"})).err;
  EXPECT_NE(changed.find("--seed was 1 and is 2"), std::string::npos) << changed;
  EXPECT_NE(changed.find("--per-device-train-batch-size was 8 and is 1"), std::string::npos) << changed;
  fs::remove_all(file("out"));
  trained(words({"--seed", "1"}));
  EXPECT_EQ(trained(words({"--seed", "1", "--max-steps", "4", "--resume-from-checkpoint"})).err.find("--seed"), std::string::npos);
  const std::string done = trained(words({"--seed", "1", "--resume-from-checkpoint", "True"})).err;
  EXPECT_NE(done.find("nothing is left to train"), std::string::npos) << done;
}

TEST_F(TrainRefusals, LabelsThatAreNoClasses) {
  const auto classes = [&](const std::string& rows, const std::string& name = "rows.jsonl") { return finetune({"--task", "text-classification", "--max-steps", "1"}, write(name, rows)); };
  expect_refused(classes("{\"text\": \"a\", \"label\": \"x\"}\n"), {1}, {"rows.jsonl", "\"x\"", "two or more"});
  expect_refused(classes("{\"text\": \"a\", \"label\": [\"x\", \"y\"]}\n"), {1}, {"rows.jsonl:1", "a number for each label"});
  trained(classes("text,label\na,0.5\nb,1.5\n", "rows.csv"));
  EXPECT_EQ(read_json_file(file("out") / "config.json")["problem_type"], "regression");
}

TEST_F(TrainRefusals, AClassifierIsScoredByItsAccuracy) {
  const Result r = trained({"eval", (kTrain / "models" / "bert_classes").string(), "--file", data("classes.jsonl"), "--json"});
  EXPECT_TRUE(r.json().contains("accuracy")) << r.out;
}

TEST_F(TrainRefusals, RowsOfAnUnknownShapeAreToldWhatIsExpected) {
  expect_refused(finetune({}, write("alpaca.json", "[{\"instruction\": \"a\", \"output\": \"b\"}]")), {1}, {"alpaca.json:1 row 1", "\"messages\"", "\"completion\"", "instruction, output"});
}

TEST_F(TrainRefusals, FlagsOfAnotherTask) {
  const std::string classifier = (kTrain / "models" / "bert_classes").string();
  const auto foreign = [&](const std::string& model, const std::string& rows, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"finetune", model, "--train-file", data(rows), "--max-steps", "1", "--output-dir", file("out").string()};
    words.insert(words.end(), more.begin(), more.end());
    expect_refused(words, {2}, {more[0]});
  };
  foreign(classifier, "classes.jsonl", {"--packing"});
  foreign(classifier, "classes.jsonl", {"--doc-stride", "8"});
  foreign(model_, "text.jsonl", {"--doc-stride", "8"});
  foreign(model_, "text.jsonl", {"--augment", "flip"});
}

TEST_F(TrainRefusals, AnEncoderDecoderLearnsNoPlainText) {
  const std::string t5 = (kTrain / "models" / "t5").string();
  for (const auto& [method, rows] : {std::pair{"sft", "text.jsonl"}, {"dpo", "pairs.jsonl"}})
    expect_refused({"align", method, t5, "--train-file", data(rows), "--max-steps", "1", "--output-dir", file("out").string()}, {2}, {"encoder-decoder", "seq2seq"});
  expect_refused({"finetune", t5, "--task", "text-generation", "--train-file", data("text.jsonl"), "--max-steps", "1", "--output-dir", file("out").string()}, {2}, {"encoder-decoder"});
}

// A tokenizer of our own writes no end; the model learns it nevertheless.
TEST_F(TrainRefusals, AnEncoderDecoderLearnsToEnd) {
  const std::string rows = write("rows.jsonl", "{\"prompt\": \"the cat\", \"completion\": \"a dog\"}\n{\"prompt\": \"the bird\", \"completion\": \"a fish\"}\n");
  trained({"tokenizer", "train", "--type", "unigram", "--vocab-size", "80", "--special-tokens", "<pad>,</s>,<unk>,<extra_id_0>,<extra_id_1>,<extra_id_2>,<extra_id_3>,<extra_id_4>", "--output", file("words").string(), data("prose.txt")});
  const std::string config = write("config.json", R"({"model_type": "t5", "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 1, "num_heads": 4, "decoder_start_token_id": 0})");
  trained({"pretrain", "--config", config, "--tokenizer", file("words").string(), "--objective", "span", "--train-file", data("prose.txt"), "--block-size", "16", "--max-steps", "1", "--output-dir", file("t5").string()});
  trained({"finetune", file("t5").string(), "--task", "seq2seq", "--train-file", rows, "--max-steps", "120", "--learning-rate", "1e-2", "--output-dir", file("out").string()});
  const Result r = trained({"pipeline", "text2text-generation", "--model", file("out").string(), "--num-beams", "1", "--max-new-tokens", "20", "--json", "the cat"});
  EXPECT_EQ(r.json()[0]["generated_text"], "a dog") << r.out;
}

TEST_F(TrainRefusals, AnAnswerThatIsElsewhereIsSaid) {
  const std::string rows = write("rows.jsonl", R"({"question": "who?", "context": "ä anna lives in paris", "answers": {"text": ["paris"], "answer_start": [2]}})");
  const Result r = trained({"finetune", (kTrain / "models" / "bert_answers").string(), "--train-file", rows, "--max-length", "40", "--doc-stride", "8", "--max-steps", "1", "--output-dir", file("out").string()});
  EXPECT_NE(r.err.find("rows.jsonl:1: the context has \"anna \" at 2, and the answer is \"paris\""), std::string::npos) << r.err;
}

TEST_F(TrainRefusals, TokenizersReadTheTextOfRows) {
  const std::string rows = write("rows.jsonl", "{\"text\": \"the cat\\nsits\"}\n{\"text\": \"a dog\"}\n"), text = write("rows.txt", "the cat\nsits\na dog\n");
  trained({"tokenizer", "train", "--vocab-size", "40", "--output", file("a").string(), rows});
  trained({"tokenizer", "train", "--vocab-size", "40", "--output", file("b").string(), text});
  EXPECT_EQ(run({"tokenizer", "train", "--vocab-size", "40", "--output", file("c").string(), "-"}, bytes(text)).code, 0);
  for (const char* other : {"b", "c"}) EXPECT_EQ(bytes(file("a") / "tokenizer.json"), bytes(file(other) / "tokenizer.json")) << other;
  expect_refused({"tokenizer", "train", "--output", file("d").string()}, {2}, {"tokenizer train: files is required"});
  expect_refused({"tokenizer", "train", "--output", file("d").string(), "--lowercase", text}, {2}, {"--lowercase"});
  expect_refused({"tokenizer", "train", "--output", file("d").string(), "--min-frequency", "-1", text}, {2}, {"--min-frequency"});
}

TEST_F(TrainRefusals, TwoRunsInOneFolder) {
  fs::create_directories(file("out"));
  const int other = ::open(file("out").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  expect_refused(finetune({}), {8}, {"another run"});
  ::close(other);
  trained(finetune({}));
}

TEST_F(TrainRefusals, AMisspeltKeyOfAConfigIsNamed) {
  const auto made = [&](const std::string& change) {
    const std::string config = write("config.json", R"({"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 32, "rope_scaling": null, "use_cache": true, )" + change + "}");
    return trained({"pretrain", "--config", config, "--tokenizer", model_, "--train-file", data("prose.txt"), "--block-size", "16", "--max-steps", "1", "--save-steps", "0", "--output-dir", file("out").string()}).err;
  };
  EXPECT_NE(made("\"intermediate_siz\": 64").find("\"intermediate_siz\"; did you mean \"intermediate_size\"?"), std::string::npos);
  EXPECT_EQ(made("\"intermediate_size\": 64").find("config:"), std::string::npos);
}

// What is trained whole beside adapters is f32, whatever its file has.
TEST_F(TrainRefusals, WholeModulesOfAQuantisedBaseAreTrained) {
  for (const char* type : {"q8_0", "f16"}) {
    const std::string base = file(std::string(type) + ".gguf").string();
    ASSERT_EQ(run({"quantize", model_, base, "--type", type}).code, 0);
    const auto losses = [&](const std::vector<std::string>& more) {
      std::vector<std::string> words = {"finetune", base, "--train-file", data("text.jsonl"), "--max-steps", "3", "--logging-steps", "1", "--no-shuffle", "--lora-r", "2", "--lora-target-modules", "v_proj",
                                        "--save-steps", "0", "--output-dir", file("out").string()};
      words.insert(words.end(), more.begin(), more.end());
      fs::remove_all(file("out"));
      trained(words);
      std::vector<double> all;
      std::ifstream in(file("out") / "log.jsonl");
      for (std::string line; std::getline(in, line);) all.push_back(Json::parse(line)["loss"].get<double>());
      return all;
    };
    const double plain = losses({}).at(0);
    for (const char* modules : {"lm_head", "lm_head,embed_tokens", "q_proj"}) {
      const std::vector<double> whole = losses({"--lora-modules-to-save", modules, "--learning-rate", "1e-2"});
      EXPECT_NEAR(whole.at(0), plain, 2e-2) << type << " " << modules;
      EXPECT_LT(whole.back(), whole.at(0)) << type << " " << modules;
    }
  }
}

TEST_F(TrainRefusals, RowsOfTextsThatBelongTogether) {
  model_ = (kTrain / "models" / "sentences").string();
  const auto refused_rows = [&](const std::string& rows, const std::vector<std::string>& said) { expect_refused(finetune({}, write("rows.jsonl", rows)), {1}, said); };
  const std::string pair = R"({"anchor": "a bird", "positive": "a city"})", labelled = R"({"sentence1": "a bird", "sentence2": "a city", "label": 1})";
  refused_rows(pair + "\n" + labelled + "\n", {"rows.jsonl:2", "sentence1, sentence2 and label", "anchor and positive"});
  refused_rows(R"({"anchor": "a bird"})", {"rows.jsonl:1", "positive"});
  refused_rows(R"({"sentence1": "a bird", "sentence2": "a city", "label": 0.3})", {"rows.jsonl:1", "0.3", "score"});
  refused_rows(R"({"sentence1": "a bird", "sentence2": "a city", "score": 4})", {"rows.jsonl:1", "score 4", "-1 to 1"});
  model_ = (kTrain / "models" / "t5").string();
  expect_refused(finetune({"--task", "sentence-similarity"}, write("rows.jsonl", pair + "\n")), {2}, {"T5", "no vectors"});
  model_ = (fs::path(MYNAH_TEST_DATA) / "golden" / "tasks" / "sentences").string();  // the largest numbers of tokens, and linear maps behind
  expect_refused(finetune({}, write("rows.jsonl", pair + "\n")), {1}, {"1_Pooling", "largest"});
}

// GPT-2 has a place for each of its positions and no more.
TEST_F(TrainRefusals, RowsLongerThanTheModelAreCutOrLeftOutAndThatIsSaid) {
  const std::string gpt2 = (kTrain / "models" / "gpt2").string();
  const int64_t positions = read_json_file(kTrain / "models" / "gpt2" / "config.json")["n_positions"].get<int64_t>();
  std::string text;
  for (int64_t i = 0; i < positions; ++i) text += "the cat ";
  const auto words = [&](std::vector<std::string> first, const std::string& rows) {
    first.insert(first.end(), {"--train-file", rows, "--max-steps", "1", "--save-steps", "0", "--output-dir", file("out").string()});
    return first;
  };
  const Result sft = trained(words({"finetune", gpt2, "--max-length", "100000"}, write("texts.jsonl", Json{{"text", text}}.dump() + "\n{\"text\": \"a dog\"}\n")));
  EXPECT_NE(sft.err.find("1 rows are longer than " + std::to_string(positions) + " tokens"), std::string::npos) << sft.err;
  const Result reward = trained(words({"align", "reward", gpt2}, write("pairs.jsonl", Json{{"chosen", text}, {"rejected", "a"}}.dump() + "\n{\"chosen\": \"a dog\", \"rejected\": \"a\"}\n")));
  EXPECT_NE(reward.err.find("1 rows do not fit"), std::string::npos) << reward.err;
  const std::string prompts = write("prompts.jsonl", Json{{"prompt", text}}.dump() + "\n{\"prompt\": \"a dog\"}\n");
  const Result grpo = trained(words({"align", "grpo", gpt2, "--reward", "length:3", "--num-generations", "2", "--per-device-train-batch-size", "2", "--max-completion-length", "3"}, prompts));
  EXPECT_NE(grpo.err.find("1 prompts fill the model's"), std::string::npos) << grpo.err;
  const std::string classes = write("classes.jsonl", Json{{"text", text}, {"label", "x"}}.dump() + "\n{\"text\": \"a dog\", \"label\": \"y\"}\n");
  trained(words({"finetune", gpt2, "--task", "text-classification"}, classes));
  EXPECT_EQ(trained({"eval", file("out").string(), "--file", classes, "--json"}).json()["rows"], 2);
}

TEST_F(TrainRefusals, LossesOfAPartNeedRowsWithParts) {
  expect_refused(finetune({"--assistant-only-loss"}), {1}, {"text.jsonl:1", "--assistant-only-loss", "messages"});
  expect_refused(finetune({"--completion-only-loss"}), {1}, {"text.jsonl:1", "--completion-only-loss", "completion"});
  refused({"--packing-strategy", "wrapped"}, {"--packing-strategy", "--packing"});
}

// An adapter is asked beside its base, which stays as it is.
TEST_F(TrainRefusals, AnAdapterAnswersWithoutBeingMerged) {
  trained(finetune({"--lora-r", "4", "--use-dora", "--lora-target-modules", "all-linear", "--learning-rate", "1e-2", "--max-steps", "20", "--save-steps", "0"}));
  trained({"merge", file("out").string(), "--output-dir", file("merged").string()});
  const auto loss = [&](const fs::path& model) { return trained({"eval", model.string(), "--file", data("text.jsonl"), "--json"}).json()["loss"].get<double>(); };
  EXPECT_NEAR(loss(file("out")), loss(file("merged")), 1e-4);
  EXPECT_GT(std::abs(loss(file("out")) - loss(file("llama"))), 0.1);
  const auto answer = [&](const fs::path& model) { return trained({"generate", model.string(), "--prompt", "the cat", "--max-new-tokens", "8"}).out; };
  EXPECT_EQ(answer(file("out")), answer(file("merged")));
  trained({"run", file("out").string(), "the cat", "--max-tokens", "3"});
  const auto continued = [&](const fs::path& model) { return trained({"pipeline", "text-generation", "--model", model.string(), "the cat", "--max-new-tokens", "8"}).out; };
  EXPECT_EQ(continued(file("out")), continued(file("merged")));
  EXPECT_NE(trained({"show", file("out").string()}).out.find("LlamaForCausalLM"), std::string::npos);
  fs::rename(file("llama"), file("elsewhere"));
  const Result gone = run({"generate", file("out").string(), "--prompt", "the cat"});
  EXPECT_NE(gone.err.find("its base model " + model_ + " is not found"), std::string::npos) << gone.err;
}

// Most templates mark no answers; where text grows from message to message they are found all the same.
TEST_F(TrainRefusals, AnswersAreFoundInTemplatesWithoutMarks) {
  std::string marked = bytes(file("llama") / "chat_template.jinja"), plain = marked;
  for (const std::string mark : {"{% generation %}", "{% endgeneration %}"}) plain.erase(plain.find(mark), mark.size());
  const auto learnt = [&](const std::string& text) {
    write("llama/chat_template.jinja", text);
    fs::remove_all(file("out"));
    trained(finetune({"--assistant-only-loss"}, data("messages.jsonl")));
    return bytes(file("out") / "model.safetensors");
  };
  const std::string by_marks = learnt(marked);
  EXPECT_EQ(learnt(plain), by_marks);
  // One that writes a message otherwise when others follow says so.
  write("llama/chat_template.jinja", "{{ messages | length }}" + plain);
  expect_refused(finetune({"--assistant-only-loss"}, data("messages.jsonl")), {1}, {"messages.jsonl:1", "--assistant-only-loss", "generation"});
}

// ShareGPT's turns are the messages that they stand for.
TEST_F(TrainRefusals, TurnsOfShareGptAreMessages) {
  const std::string turns = write("turns.json", "[{\"conversations\": [{\"from\": \"human\", \"value\": \"the cat\"}, {\"from\": \"gpt\", \"value\": \"a dog\"}]}]");
  const std::string messages = write("messages.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"the cat\"}, {\"role\": \"assistant\", \"content\": \"a dog\"}]}\n");
  std::vector<std::string> weights;
  for (const std::string& rows : {turns, messages}) {
    fs::remove_all(file("out"));
    std::vector<std::string> words = finetune({}, rows);
    words[1] = (kTrain / "models" / "gpt2").string();
    trained(words);
    weights.push_back(bytes(file("out") / "model.safetensors"));
  }
  EXPECT_EQ(weights[0], weights[1]);
}

}  // namespace
}  // namespace mynah::e2e
