// Training from outside: runs repeated from the reference implementations' logs, checkpoints, refusals.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <regex>

#include "base/json.h"
#include "program.h"

namespace mynah::e2e {
namespace {

const fs::path kGolden = fs::path(MYNAH_TEST_DATA) / "golden" / "train";

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Json read_json(const fs::path& path) { return read_json_file(path); }

std::vector<Json> read_rows(const fs::path& path) {
  std::vector<Json> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) rows.push_back(Json::parse(line));
  return rows;
}

double tolerance(double expected) { return 1e-4 * std::max(1.0, std::abs(expected)); }

class Training : public Sandbox {
 protected:
  // Words of a golden case, its models and data by their full paths, its output in the sandbox.
  std::vector<std::string> command(const Json& words, const std::string& output, std::vector<std::string> more = {}) const {
    std::vector<std::string> all;
    for (const auto& word : words) {
      const auto text = word.get<std::string>();
      const bool path = text.starts_with("models/") || text.starts_with("data/") || text.starts_with("../");
      all.push_back(path ? (kGolden / text).string() : text);
    }
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), {"--output-dir", file(output).string()});
    return all;
  }
  Result run_to_end(const std::vector<std::string>& words) const {
    Result r = run(words);
    EXPECT_EQ(r.code, 0) << r.err;
    return r;
  }
  std::vector<Json> log(const std::string& output) const { return read_rows(file(output) / "log.jsonl"); }
  std::string bytes(const fs::path& path) const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Json sft_words() const { return read_json(kGolden / "sft_text.json")["arguments"]; }
};

void expect_weights(const fs::path& path, const Json& expected) {
  const NamedTensors weights = read_tensors(path);
  for (const auto& [name, value] : expected.items()) {
    const auto at = weights.find(name);
    ASSERT_NE(at, weights.end()) << name;
    const std::vector<float> got = at->second.to_vector();
    double squares = 0;
    for (const float x : got) squares += static_cast<double>(x) * x;
    const double norm = value["norm"].get<double>();
    EXPECT_NEAR(std::sqrt(squares), norm, tolerance(norm)) << name;
    for (size_t k = 0; k < value["first"].size(); ++k) EXPECT_NEAR(got[k], value["first"][k].get<double>(), 1e-4) << name;
  }
}

class GoldenRun : public Training, public testing::WithParamInterface<std::string> {};

TEST_P(GoldenRun, FollowsTheReference) {
  const Json expected = read_json(kGolden / (GetParam() + ".json"));
  run_to_end(command(expected["arguments"], "out"));
  const std::vector<Json> rows = log("out");
  ASSERT_EQ(rows.size(), expected["rows"].size());
  // Means over the padding of a batch are not computed here.
  const bool orpo = GetParam() == "orpo";
  for (size_t i = 0; i < rows.size(); ++i)
    for (const auto& [name, value] : expected["rows"][i].items()) {
      if (orpo && name.starts_with("logits/")) continue;
      ASSERT_TRUE(rows[i].contains(name)) << name;
      EXPECT_NEAR(rows[i][name].get<double>(), value.get<double>(), tolerance(value.get<double>())) << name << " of step " << i + 1;
    }
  const bool adapter = fs::exists(file("out") / "adapter_model.safetensors");
  expect_weights(file("out") / (adapter ? "adapter_model.safetensors" : "model.safetensors"), expected["weights"]);
  if (expected.contains("generator_weights")) expect_weights(file("out") / "generator" / "model.safetensors", expected["generator_weights"]);
}

INSTANTIATE_TEST_SUITE_P(Train, GoldenRun, testing::ValuesIn(case_names()), [](const auto& test) { return test.param; });

// All windows of some questions in one step, as the reference's run_qa_beam_search reads them; a head of answers stays what it is.
TEST_F(Training, SpansSearchedByBeams) {
  const fs::path model = fs::path(MYNAH_TEST_DATA) / "golden/tasks/xlnet_beams";
  const Json golden = read_json(model.parent_path() / "beam_training.json");
  std::ofstream rows(file("rows.jsonl"));
  for (const Json& row : golden["rows"]) rows << row.dump() << "\n";
  rows.close();
  run_to_end({"finetune", model.string(), "--train-file", file("rows.jsonl").string(), "--max-length", "32", "--doc-stride", "10", "--no-shuffle", "--max-steps", "1",
              "--per-device-train-batch-size", std::to_string(golden["windows"].get<int>()), "--logging-steps", "1", "--output-dir", file("out").string()});
  EXPECT_NEAR(log("out").at(0)["loss"].get<double>(), golden["loss"].get<double>(), tolerance(golden["loss"].get<double>()));
  EXPECT_EQ(read_json(file("out/config.json"))["architectures"][0], "XLNetForQuestionAnswering");
}

TEST_F(Training, ResumesToTheSameBytes) {
  const Json words = sft_words();
  run_to_end(command(words, "whole", {"--save-steps", "3"}));
  run_to_end(command(words, "parts", {"--save-steps", "3"}));
  fs::remove_all(file("parts") / "checkpoint-6");
  fs::remove_all(file("parts") / "checkpoint-8");
  run_to_end(command(words, "parts", {"--save-steps", "3", "--resume-from-checkpoint"}));
  EXPECT_EQ(bytes(file("whole") / "model.safetensors"), bytes(file("parts") / "model.safetensors"));
  const auto a = log("whole"), b = log("parts");
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i]["step"], b[i]["step"]);
    EXPECT_EQ(a[i]["loss"], b[i]["loss"]);
    EXPECT_EQ(a[i]["grad_norm"], b[i]["grad_norm"]);
  }
}

TEST_F(Training, SgdKeepsItsMomentumOverAStop) {
  const Json words = read_json(kGolden / "sft_momentum.json")["arguments"];
  run_to_end(command(words, "whole", {"--save-steps", "3"}));
  run_to_end(command(words, "parts", {"--save-steps", "3"}));
  for (const char* later : {"checkpoint-6", "checkpoint-8"}) fs::remove_all(file("parts") / later);
  run_to_end(command(words, "parts", {"--save-steps", "3", "--resume-from-checkpoint"}));
  EXPECT_EQ(bytes(file("whole") / "model.safetensors"), bytes(file("parts") / "model.safetensors"));
}

TEST_F(Training, RefusesSettingsThatAnOptimiserDoesNotHave) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& said) { expect_refused(command(sft_words(), "out", more), {2}, {said}); };
  refused({"--optim", "sgd", "--optim-args", "momentum=0.9,speed=1"}, "speed=1");
  refused({"--optim", "sgd", "--optim-args", "momentum=fast"}, "momentum=fast");
  refused({"--optim", "sgd", "--optim-args", "momentum=1.5"}, "momentum");
  refused({"--optim", "sgd", "--nesterov"}, "nesterov");
  refused({"--momentum", "0.9"}, "--momentum");
  refused({"--optim", "lion"}, "lion");
}

// Rows are kept in token files: shuffled, packed in every way, stopped and taken up by a run that reads them from there.
TEST_F(Training, KeptRowsGiveTheSameRun) {
  std::vector<std::string> words = command(sft_words(), "out");
  std::erase(words, "--no-shuffle");
  words.resize(words.size() - 2);
  const auto started = [&](const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> all = words;
    more.insert(more.end(), {"--save-steps", "3", "--output-dir", file(out).string()});
    all.insert(all.end(), more.begin(), more.end());
    return run_to_end(all);
  };
  for (const std::string strategy : {"", "bfd", "bfd_split", "wrapped"}) {
    const std::vector<std::string> more = strategy.empty() ? std::vector<std::string>{} : std::vector<std::string>{"--packing", "--packing-strategy", strategy};
    fs::remove_all(file("home") / "tokens");
    started("first" + strategy, more);
    EXPECT_TRUE(fs::exists(file("home") / "tokens")) << strategy;
    const std::string again = "again" + strategy;
    started(again, more);
    for (const char* later : {"checkpoint-6", "checkpoint-8"}) fs::remove_all(file(again) / later);
    std::vector<std::string> resumed = more;
    resumed.push_back("--resume-from-checkpoint");
    fs::remove_all(file("home") / "tokens");  // which may happen at any time
    started(again, resumed);
    EXPECT_EQ(bytes(file("first" + strategy) / "model.safetensors"), bytes(file(again) / "model.safetensors")) << strategy;
  }
}

TEST_F(Training, SaysOfKeptRowsWhatItSaidOfThem) {
  const fs::path rows = file("rows.jsonl");
  std::ofstream(rows) << "{\"prompt\": \"the cat\", \"completion\": \" sits\"}\n{\"prompt\": \"the cat sits under the tree and sings\", \"completion\": \" yes\"}\n";
  for (const char* out : {"one", "two"}) {
    const Result r = run_to_end({"finetune", (kGolden / "models" / "llama").string(), "--train-file", rows.string(), "--max-length", "8", "--max-steps", "1", "--output-dir", file(out).string()});
    EXPECT_NE(r.err.find("rows.jsonl: 1 rows have no target within --max-length 8"), std::string::npos) << r.err;
  }
}

TEST_F(Training, ResumesTwoNetworksThatLearnTogether) {
  const Json words = read_json(kGolden / "pretrain_rtd.json")["arguments"];
  run_to_end(command(words, "whole", {"--save-steps", "3"}));
  run_to_end(command(words, "parts", {"--save-steps", "3"}));
  fs::remove_all(file("parts") / "checkpoint-6");
  fs::remove_all(file("parts") / "checkpoint-8");
  run_to_end(command(words, "parts", {"--save-steps", "3", "--resume-from-checkpoint"}));
  for (const fs::path& name : {fs::path("model.safetensors"), fs::path("generator") / "model.safetensors"})
    EXPECT_EQ(bytes(file("whole") / name), bytes(file("parts") / name)) << name;
  std::ofstream(file("parts") / "checkpoint-8" / "generator" / "model.safetensors", std::ios::app) << "x";
  expect_refused(command(words, "parts", {"--resume-from-checkpoint", (file("parts") / "checkpoint-8").string()}), {5}, {"generator/model.safetensors"});
}

// A damaged row differs from pass to pass and is held out the same way every time.
TEST_F(Training, EveryObjectiveEvaluatesAndLearnsFromAConfigAlone) {
  const std::string text = (kGolden / "data" / "prose.txt").string(), models = (kGolden / "models").string();
  const std::vector<std::pair<std::string, std::string>> cases = {{"denoising", "pretrain_bart"}, {"rtd", "pretrain_electra"}, {"plm", "pretrain_xlnet"}, {"mlm", "pretrain_bert"}};
  for (const auto& [objective, model] : cases) {
    Json config = read_json(fs::path(models) / model / "config.json");
    if (objective == "rtd" || objective == "mlm") config.erase("architectures");  // then the objective chooses the head
    std::ofstream(file("config.json")) << config.dump();
    run_to_end({"pretrain", "--config", file("config.json").string(), "--tokenizer", models + "/" + model, "--objective", objective, "--train-file", text, "--validation-fraction", "0.3",
                "--block-size", "28", "--max-steps", "60", "--per-device-train-batch-size", "4", "--learning-rate", "5e-3", "--eval-steps", "20", "--logging-steps", "20", "--save-steps", "0",
                "--output-dir", file(objective).string()});
    std::vector<double> losses;
    for (const Json& row : log(objective))
      if (row.contains("eval_loss")) losses.push_back(row["eval_loss"].get<double>());
    ASSERT_EQ(losses.size(), 3u) << objective;
    EXPECT_LT(losses[2], losses[0]) << objective;
  }
}

TEST_F(Training, RefusesAnObjectiveThatTheNetworkCannotLearn) {
  const auto refused = [&](const std::string& model, const std::string& objective, const std::string& said) {
    expect_refused({"pretrain", "--model", (kGolden / "models" / model).string(), "--objective", objective, "--train-file", (kGolden / "data" / "prose.txt").string(), "--block-size", "16",
                    "--max-steps", "1", "--output-dir", file("out").string()},
                   {2}, {"--objective", said});
  };
  refused("pretrain_bert", "rtd", "ElectraForPreTraining");
  refused("pretrain_bert", "plm", "XLNetLMHeadModel");
  refused("pretrain_bert", "denoising", "encoder-decoder");
  refused("t5", "denoising", "mask");
  refused("pretrain_bart", "mlm", "masked");
  refused("gpt2", "jumble", "jumble");
}

TEST_F(Training, Bf16ProductsFollowF32) {
  const Json words = sft_words();
  run_to_end(command(words, "f32"));
  run_to_end(command(words, "bf16", {"--bf16"}));
  const auto a = log("f32"), b = log("bf16");
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i]["loss"].get<double>(), b[i]["loss"].get<double>(), 0.02);
    EXPECT_NE(a[i]["loss"], b[i]["loss"]);
  }
}

// Objectives that differ in how they come to their loss: the whole output, adapters, pairs, recorded completions, two streams.
TEST_F(Training, GradientCheckpointingChangesNoByte) {
  for (const std::string name : {"sft_text", "sft_adapter", "sft_dora", "dpo_sigmoid", "grpo_beta", "ppo", "pretrain_plm", "pretrain_denoising", "transforms", "sentences_ranked"}) {
    const Json words = read_json(kGolden / (name + ".json"))["arguments"];
    run_to_end(command(words, name));
    run_to_end(command(words, name + "_again", {"--gradient-checkpointing"}));
    const std::string file_name = fs::exists(file(name) / "adapter_model.safetensors") ? "adapter_model.safetensors" : "model.safetensors";
    EXPECT_EQ(bytes(file(name) / file_name), bytes(file(name + "_again") / file_name)) << name;
    const auto a = log(name), b = log(name + "_again");
    ASSERT_EQ(a.size(), b.size()) << name;
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i]["loss"], b[i]["loss"]) << name;
  }
  expect_refused(command(read_json(kGolden / "labels_resnet.json")["arguments"], "resnet", {"--gradient-checkpointing"}), {2}, {"--gradient-checkpointing"});
}

// Pairs of texts by turns with and against their order of meaning: what is trained is a folder of sentence-transformers again, and its vectors
// find what belongs together.
TEST_F(Training, VectorsOfTextsLearnWhatBelongsTogether) {
  const fs::path model = kGolden / "models" / "sentences";
  std::vector<std::string> words = {"finetune", model.string(), "--train-file", (kGolden / "data" / "anchors.jsonl").string(), "--validation-file", (kGolden / "data" / "anchors.jsonl").string(),
                                    "--output-dir", file("out").string(), "--per-device-train-batch-size", "9", "--per-device-eval-batch-size", "9", "--max-steps", "60", "--eval-steps", "30",
                                    "--learning-rate", "3e-3", "--save-steps", "0"};
  run_to_end(words);
  for (const char* name : {"modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config_sentence_transformers.json"})
    EXPECT_EQ(bytes(file("out") / name), bytes(model / name)) << name;
  double first = 0, last = 0;
  for (const Json& row : log("out"))
    if (row.contains("eval_loss")) (first == 0 ? first : last) = row["eval_loss"].get<double>();
  EXPECT_LT(last, first);
  const Json vectors = run({"embed", file("out").string(), "the bird", "a city", "--json"}).json()["embeddings"];
  ASSERT_EQ(vectors.size(), 2u);
  EXPECT_NE(vectors[0], vectors[1]);

  const std::string adapter = file("adapter").string();
  words[7] = adapter;
  words.insert(words.end(), {"--lora-r", "2"});
  run_to_end(words);
  run_to_end({"merge", adapter, "--output-dir", file("merged").string()});
  EXPECT_TRUE(fs::exists(file("merged") / "1_Pooling" / "config.json"));
}

TEST_F(Training, PreferencesAreLearntWithoutDropout) {
  const Json expected = read_json(kGolden / "dpo_chat.json");
  const fs::path model = file("gpt2");
  fs::copy(kGolden / "models" / "gpt2", model);
  Json config = read_json(model / "config.json");
  for (const char* key : {"attn_pdrop", "resid_pdrop", "embd_pdrop"}) config[key] = 0.5;
  std::ofstream(model / "config.json") << config.dump();
  std::vector<std::string> words = command(expected["arguments"], "without");
  std::replace(words.begin(), words.end(), (kGolden / "models" / "gpt2").string(), model.string());
  run_to_end(words);
  words.back() = file("with").string();
  words.insert(words.end() - 2, {"--disable-dropout", "false"});
  run_to_end(words);
  const auto without = log("without"), with = log("with");
  double most = 0;
  for (size_t i = 0; i < expected["rows"].size(); ++i) {
    const double loss = expected["rows"][i]["loss"].get<double>();
    EXPECT_NEAR(without[i]["loss"].get<double>(), loss, 1e-4) << i;
    most = std::max(most, std::abs(with[i]["loss"].get<double>() - loss));
  }
  EXPECT_GT(most, 1e-2);
}

TEST_F(Training, ShowsWhatTheModelAnswers) {
  const std::vector<std::string> more = {"--sample-prompt", "the cat", "--sample-prompt", "a dog", "--eval-steps", "4", "--sample-max-new-tokens", "6"};
  const Result first = run_to_end(command(sft_words(), "out", more));
  EXPECT_NE(first.err.find("step 4: \"the cat\" -> "), std::string::npos) << first.err;
  std::vector<Json> samples;
  for (const Json& row : log("out"))
    if (row.contains("samples")) samples.push_back(row);
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0]["step"], 4);
  EXPECT_EQ(samples[1]["step"], 8);
  ASSERT_EQ(samples[1]["samples"].size(), 2u);
  EXPECT_EQ(samples[1]["samples"][1]["prompt"], "a dog");
  run_to_end(command(sft_words(), "again", more));
  for (const Json& row : log("again"))
    if (row.contains("samples") && row["step"] == 8) {
      EXPECT_EQ(row["samples"], samples[1]["samples"]);
    }
  expect_refused(command(read_json(kGolden / "classes.json")["arguments"], "bert", {"--sample-prompt", "a"}), {2}, {"--sample-prompt"});
}

// PEFT keeps the names that "all-linear" came to.
TEST_F(Training, AdaptersNameTheirModules) {
  run_to_end(command(sft_words(), "out", {"--lora-r", "2", "--lora-target-modules", "all-linear"}));
  std::vector<std::string> names = read_json(file("out") / "adapter_config.json")["target_modules"].get<std::vector<std::string>>();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"}));
}

TEST_F(Training, AccumulationChangesNoLoss) {
  Json words = sft_words();
  run_to_end(command(words, "two"));
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--per-device-train-batch-size") words[i + 1] = "4";
    if (words[i] == "--gradient-accumulation-steps") words[i + 1] = "1";
  }
  run_to_end(command(words, "one"));
  const auto a = log("two"), b = log("one");
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i]["loss"].get<double>(), b[i]["loss"].get<double>(), 2e-6);
}

TEST_F(Training, PassesOverADamagedCheckpointAndRefusesItByName) {
  const Json words = sft_words();
  run_to_end(command(words, "out", {"--save-steps", "4"}));
  std::ofstream(file("out") / "checkpoint-8" / "optimizer.safetensors", std::ios::app) << "x";
  const Result r = run(command(words, "out", {"--save-steps", "4", "--resume-from-checkpoint"}));
  EXPECT_EQ(r.code, 0) << r.err;
  EXPECT_NE(r.err.find("checkpoint-8"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("checkpoint-4"), std::string::npos) << r.err;
  std::ofstream(file("out") / "checkpoint-4" / "model.safetensors", std::ios::app) << "x";
  expect_refused(command(words, "out", {"--resume-from-checkpoint", (file("out") / "checkpoint-4").string()}), {5}, {"model.safetensors"});
}

TEST_F(Training, KeepsTheNewestCheckpoints) {
  run_to_end(command(sft_words(), "out", {"--save-steps", "2", "--save-total-limit", "2"}));
  EXPECT_FALSE(fs::exists(file("out") / "checkpoint-4"));
  EXPECT_TRUE(fs::exists(file("out") / "checkpoint-6"));
  EXPECT_TRUE(fs::exists(file("out") / "checkpoint-8"));
}

// Checkpoints that a run finds of an earlier one are left, and named.
TEST_F(Training, SaysThatAnEarlierRunLeftCheckpoints) {
  EXPECT_EQ(run_to_end(command(sft_words(), "out", {"--save-steps", "3"})).err.find("earlier run"), std::string::npos);
  const std::string again = run_to_end(command(sft_words(), "out", {"--save-steps", "4"})).err;
  EXPECT_NE(again.find("3 checkpoints (checkpoint-3 to checkpoint-8) of an earlier run"), std::string::npos) << again;
  EXPECT_TRUE(fs::exists(file("out") / "checkpoint-3"));
  // Its own are no other's.
  EXPECT_EQ(run_to_end(command(sft_words(), "fresh", {"--save-steps", "3"})).err.find("earlier run"), std::string::npos);
  EXPECT_EQ(run_to_end(command(sft_words(), "fresh", {"--save-steps", "3", "--resume-from-checkpoint"})).err.find("earlier run"), std::string::npos);
}

TEST_F(Training, QuantisedWeightsAskForAdapters) {
  write_file(file("rows.jsonl"), R"({"text": "a bird sings"})" "\n");
  expect_refused({"finetune", golden("gguf_llama_q8_0").string(), "--train-file", file("rows.jsonl").string(), "--output-dir", file("out").string()}, {2},
                 {"gradients need weights stored as F32", "--lora-r", "QLoRA"});
}

TEST_F(Training, AMergedAdapterAnswersAsTheAdapterDoes) {
  const Json words = read_json(kGolden / "sft_adapter.json")["arguments"];
  run_to_end(command(words, "adapter"));
  expect_refused({"finetune", file("adapter").string(), "--train-file", (kGolden / "data" / "text.jsonl").string(), "--max-steps", "1", "--output-dir", file("more").string()}, {1},
                 {"adapter", "mynah merge"});
  run_to_end({"merge", file("adapter").string(), "--output-dir", file("merged").string()});
  EXPECT_TRUE(fs::exists(file("merged") / "config.json"));
  EXPECT_TRUE(fs::exists(file("merged") / "tokenizer.json"));
  const fs::path rows = kGolden / "data" / "text.jsonl";
  const double loss = run_to_end({"eval", file("merged").string(), "--file", rows.string(), "--json"}).json()["loss"].get<double>();
  const double before = run_to_end({"eval", (kGolden / "models" / "llama").string(), "--file", rows.string(), "--json"}).json()["loss"].get<double>();
  EXPECT_LT(loss, before);
}

TEST_F(Training, NamesFileAndLineOfARowThatCannotBeUsed) {
  const std::string model = (kGolden / "models" / "llama").string(), out = file("out").string();
  const auto refused = [&](const std::string& rows, const std::vector<std::string>& before, const std::string& said) {
    const fs::path data = file("rows.jsonl");
    std::ofstream(data) << rows;
    std::vector<std::string> words = before;
    words.insert(words.end(), {model, "--train-file", data.string(), "--output-dir", out, "--max-steps", "1"});
    expect_refused(words, {1, 5}, {"rows.jsonl:2", said});
    EXPECT_FALSE(fs::exists(file("out") / "model.safetensors"));
  };
  refused("{\"text\": \"a\"}\n{\"txt\": \"a\"}\n", {"finetune"}, "text");
  refused("{\"text\": \"a\"}\n{\"text\": 3}\n", {"finetune"}, "string");
  refused("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n{\"messages\": [{\"role\": \"user\"}]}\n", {"finetune"}, "content");
  refused("{\"text\": \"a\"}\n{\"text\": \"a\"\n", {"finetune"}, "");
  refused("{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"a\", \"completion\": \"\"}\n", {"finetune"}, "empty");
  refused("{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": \"a\", \"chosen\": \"b\"}\n", {"align", "dpo"}, "rejected");
  refused("{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}\n{\"prompt\": \"a\", \"completion\": \"b\", \"label\": 7}\n", {"align", "kto"}, "label");
}

TEST_F(Training, RefusesARunWithNothingToPredict) {
  const std::string rows = (kGolden / "data" / "text.jsonl").string(), model = (kGolden / "models" / "llama").string();
  expect_refused({"finetune", model, "--train-file", rows, "--max-length", "1", "--output-dir", file("out").string()}, {1}, {"text.jsonl", "nothing to learn"});
}

TEST_F(Training, RefusesALabelTheHeadDoesNotHave) {
  const fs::path data = file("rows.jsonl");
  std::ofstream(data) << "{\"text\": \"a\", \"label\": 0}\n{\"text\": \"a\", \"label\": 3}\n";
  expect_refused({"finetune", (kGolden / "models" / "bert_classes").string(), "--train-file", data.string(), "--output-dir", file("out").string()}, {1},
                 {"rows.jsonl:2", "0..2"});
}

TEST_F(Training, TokenizersHaveTheVocabulariesOfTheReference) {
  const fs::path folder = kGolden / "tokenizers";
  for (const std::string type : {"unigram", "bpe"}) {
    run_to_end({"tokenizer", "train", "--type", type, "--vocab-size", "120", "--output", file(type).string(), (folder / "text.txt").string()});
    const Json made = read_json(file(type) / "tokenizer.json")["model"], expected = read_json(folder / (type + ".json"));
    if (type == "unigram") {
      std::vector<std::string> pieces;
      for (const Json& piece : made["vocab"]) pieces.push_back(piece[0].get<std::string>());
      std::sort(pieces.begin(), pieces.end());
      EXPECT_EQ(Json(pieces), expected["vocab"]);
      continue;
    }
    using Vocabulary = std::map<std::string, int>;
    EXPECT_EQ(made["vocab"].get<Vocabulary>(), expected["vocab"].get<Vocabulary>());
    EXPECT_EQ(made["merges"], expected["merges"]);
  }
}

TEST_F(Training, MergesWhatEveryKindOfAdapterAdds) {
  for (const std::string name : {"sft_dora", "sft_patterns", "sft_biases"}) {
    const Json words = read_json(kGolden / (name + ".json"))["arguments"];
    run_to_end(command(words, name));
    run_to_end({"merge", file(name).string(), "--output-dir", file(name + "_merged").string()});
    // One more step at rate 0, from the adapter and from the merged model, sees the same loss.
    const auto first_loss = [&](const std::string& model, const std::vector<std::string>& more, const std::string& out) {
      std::vector<std::string> all = {"finetune", model, "--train-file", (kGolden / words[3].get<std::string>()).string(), "--max-length", "40", "--max-steps", "1",
                                      "--learning-rate", "0", "--no-shuffle", "--output-dir", file(out).string()};
      all.insert(all.end(), more.begin(), more.end());
      run_to_end(all);
      return log(out)[0]["loss"].get<double>();
    };
    const double with = first_loss((kGolden / words[1].get<std::string>()).string(), {"--adapter", file(name).string()}, name + "_a");
    EXPECT_NEAR(first_loss(file(name + "_merged").string(), {}, name + "_b"), with, 1e-5) << name;
  }
}

// A reward model of the same family scores what the policy says.
TEST_F(Training, LearnsFromARewardModel) {
  const std::string prompts = (kGolden / "data" / "completion.jsonl").string(), judge = (kGolden / "models" / "llama_reward").string();
  for (const std::string method : {"grpo", "ppo"}) {
    run_to_end({"align", method, (kGolden / "models" / "llama").string(), "--train-file", prompts, "--reward-model", judge, "--max-steps", "2", "--per-device-train-batch-size", "2",
                "--num-generations", "2", "--max-completion-length", "4", "--logging-steps", "1", "--output-dir", file(method).string()});
    EXPECT_TRUE(log(method)[1].contains("rewards/reward_model/mean")) << method;
  }
}

// The commands of docs/training.md, on tiny models and with few steps.
TEST_F(Training, TheDocumentedCommandsRun) {
  std::ifstream document(fs::path(MYNAH_TEST_DATA).parent_path() / "docs" / "training.md");
  const std::map<std::string, std::string> models = {{"classes", "bert_classes"}, {"tags", "bert_tags"}, {"answers", "bert_answers"}, {"transforms", "t5"},
                                                     {"anchors", "sentences"}};
  int ran = 0;
  for (std::string line; std::getline(document, line);) {
    if (line.find("choices.jsonl") != std::string::npos || line.find(" pictures-and-sounds/") != std::string::npos) continue;
    if (!line.starts_with("mynah finetune ") && !line.starts_with("mynah align ") && !line.starts_with("mynah eval MODEL")) continue;
    std::string model = "llama";
    for (const auto& [rows, name] : models)
      if (line.find(" " + rows + ".jsonl") != std::string::npos) model = name;
    std::vector<std::string> words;
    std::istringstream in(line.substr(6));
    for (std::string word; in >> word;) {
      std::erase(word, '\'');
      if (word == "MODEL") word = (kGolden / "models" / model).string();
      else if (word == "OUT") word = file("out" + std::to_string(ran)).string();
      else if (word.ends_with(".jsonl")) word = (kGolden / "data" / word).string();
      words.push_back(word);
    }
    if (words[0] != "eval") words.insert(words.end(), {"--max-steps", "1"});
    const Result r = run(words);
    EXPECT_EQ(r.code, 0) << line << "\n" << r.err;
    ++ran;
  }
  EXPECT_GE(ran, 15);
}

// examples/rlhf.sh from its tokenizer to its curves, a few steps a stage.
TEST_F(Training, TheWorkedExampleRuns) {
  const std::string script = std::string(MYNAH_TEST_DATA) + "/../examples/rlhf.sh", text = std::string(MYNAH_TEST_DATA) + "/e2e/rlhf.txt";
  const std::string line = "MYNAH='" MYNAH_PROGRAM "' sh '" + script + "' '" + text + "' '" + file("out").string() + "' short > '" + file("said").string() + "' 2> '" +
                           file("errors").string() + "'";
  EXPECT_EQ(std::system(line.c_str()), 0) << bytes(file("errors"));
  EXPECT_TRUE(bytes(file("out") / "curves.svg").starts_with("<svg"));
  EXPECT_TRUE(bytes(file("out") / "curves.png").starts_with("\x89PNG"));
  EXPECT_EQ(read_rows(file("out") / "ppo" / "log.jsonl").size(), 6u);
}

// A classifier of texts is scored by what the task answers.
TEST_F(Training, AccuracyOfTextsIsThatOfTheirLabels) {
  const std::string model = (kGolden / "models" / "bert_classes").string();
  const fs::path rows = kGolden / "data" / "classes.jsonl";
  const Json score = run_to_end({"eval", model, "--file", rows.string(), "--metric", "accuracy", "--json"}).json();
  const Result answers = run_to_end({"pipeline", "text-classification", "--model", model, "--input-file", rows.string()});
  const std::vector<Json> expected = read_rows(rows);
  ASSERT_EQ(score["rows"], expected.size());
  int right = 0, at = 0;
  for (const std::string& line : answers.lines()) right += Json::parse(line)["label"] == "LABEL_" + expected[at++]["label"].dump();
  EXPECT_EQ(score["accuracy"].get<double>(), static_cast<double>(right) / static_cast<double>(expected.size()));
}

// One color and one name for a run, whichever metrics it has and however its folder is spelt.
TEST_F(Training, APlottedRunKeepsItsColorAndItsName) {
  for (const char* run_name : {"first", "second"}) fs::create_directories(file(run_name));
  std::ofstream(file("first") / "log.jsonl") << R"({"step": 1, "loss": 2})" << "\n";
  std::ofstream(file("second") / "log.jsonl") << R"({"step": 1, "loss": 3, "reward": 1})" << "\n";
  const Result r = run({"plot", (file("first") / "log.jsonl").string(), file("second").string() + "/", "--output", file("p.svg").string()});
  EXPECT_NE(r.err.find("3 curves"), std::string::npos) << r.err;
  const std::string svg = bytes(file("p.svg"));
  std::vector<std::string> colors;
  const std::regex label("fill=\"([^\"]+)\">second</text>");
  for (auto it = std::sregex_iterator(svg.begin(), svg.end(), label); it != std::sregex_iterator(); ++it) colors.push_back((*it)[1]);
  ASSERT_EQ(colors.size(), 2u) << svg;
  EXPECT_EQ(colors[0], colors[1]);
  EXPECT_NE(svg.find(">first</text>"), std::string::npos);
}

TEST_F(Training, ScoresChoicesByTheirLikelihood) {
  const fs::path rows = file("choices.jsonl");
  const std::string model = (kGolden / "models" / "llama").string();
  std::ofstream(rows) << R"({"prompt": "the cat", "choices": ["sits", "sings on the tree"], "label": 0})" << "\n";
  const Json first = run_to_end({"eval", model, "--file", rows.string(), "--metric", "choices", "--json"}).json();
  EXPECT_EQ(first["rows"], 1);
  EXPECT_EQ(first["acc"], 1.0);  // a long choice cannot be likelier under a random model
  std::ofstream(rows) << R"({"prompt": "the cat", "choices": ["sits", "sings"], "label": 2})" << "\n";
  expect_refused({"eval", model, "--file", rows.string(), "--metric", "choices"}, {1}, {"choices.jsonl:1", "0..1"});
}

TEST_F(Training, EvaluatesOverAllTargetTokens) {
  run_to_end(command(sft_words(), "out", {"--validation-file", (kGolden / "data" / "text.jsonl").string(), "--eval-steps", "4"}));
  int count = 0;
  for (const Json& row : log("out")) count += row.contains("eval_loss");
  EXPECT_EQ(count, 2);
}

TEST_F(Training, MakesACharacterTokenizerAndAModelOfIt) {
  const fs::path text = file("text.txt");
  std::ofstream(text) << "to be or not to be, that is the question\nwhether tis nobler in the mind to suffer\n";
  run_to_end({"tokenizer", "train", "--type", "char", "--output", file("tokenizer").string(), text.string()});
  const Json made = read_json(file("tokenizer") / "tokenizer.json");
  EXPECT_EQ(made["model"]["vocab"]["\n"], 0);
  EXPECT_TRUE(made["model"]["merges"].empty());
  std::ofstream(file("config.json")) << R"({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16})";
  run_to_end({"pretrain", "--config", file("config.json").string(), "--tokenizer", file("tokenizer").string(), "--train-file", text.string(), "--output-dir",
              file("out").string(), "--max-steps", "60", "--per-device-train-batch-size", "4", "--block-size", "8", "--learning-rate", "1e-2", "--logging-steps", "1",
              "--validation-fraction", "0.1"});
  const auto rows = log("out");
  EXPECT_NEAR(rows.front()["loss"].get<double>(), std::log(made["model"]["vocab"].size()), 0.3);
  EXPECT_LT(rows[59]["loss"].get<double>(), rows.front()["loss"].get<double>() - 0.5);
  EXPECT_TRUE(rows.back().contains("eval_loss"));
  EXPECT_EQ(read_json(file("out") / "config.json")["vocab_size"], made["model"]["vocab"].size());
  run_well({"generate", file("out").string(), "--prompt", "to be", "--json"});
}

}  // namespace
}  // namespace mynah::e2e
