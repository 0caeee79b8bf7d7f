// Decoding by properties: draws follow their distribution, speculation and shared caches change nothing, formats are kept.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "base/json.h"
#include "base/thread_pool.h"
#include "bundle/bundle.h"
#include "generate/config.h"
#include "generate/scores.h"
#include "mynah/autograd.h"
#include "mynah/error.h"
#include "mynah/generate.h"
#include "mynah/ops.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;
using Rows = std::vector<std::vector<int32_t>>;

Model model_of(const char* name) {
  fs::path path = fs::path(MYNAH_TEST_DATA) / "golden" / "models" / name;
  if (fs::exists(path / "model.gguf")) path /= "model.gguf";
  return Model::open(path.string());
}

GenerationConfig settings(const char* json) {
  GenerationConfig c;
  generation::apply(parse_json(json, "test"), &c, true);
  return c;
}

GenerateInputs inputs(Rows rows) {
  GenerateInputs in;
  in.input_ids = std::move(rows);
  return in;
}

// Longer than a block of the cache, so that beams share whole blocks.
Rows long_prompts(int32_t vocabulary) {
  Rows rows(2);
  for (int32_t i = 0; i < 70; ++i) {
    rows[0].push_back(3 + (i * 7) % (vocabulary - 3));
    rows[1].push_back(3 + (i * i) % (vocabulary - 3));
  }
  return rows;
}

TEST(Sampling, DrawsFollowTheScores) {
  const std::vector<float> scores = {0.5f, -1.0f, generation::kNever, 2.0f, 1.0f};
  GenerationConfig c;
  c.do_sample = true;
  c.seed = 11;
  constexpr int kDraws = 40000;
  std::vector<int> counts(scores.size());
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(generation::choose(c, scores, static_cast<uint64_t>(i % 7), i))];
  double total = 0, deviation = 0;
  for (const float s : scores) total += std::exp(s);
  for (size_t i = 0; i < scores.size(); ++i) {
    const double expected = kDraws * std::exp(scores[i]) / total;
    if (expected > 0) deviation += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_EQ(counts[2], 0);
  EXPECT_LT(deviation, 16.3);  // chi-squared with 3 degrees of freedom: 0.1 %
}

TEST(Sampling, FiltersKeepWhatTheReferenceKeeps) {
  // Probabilities 0.4, 0.3, 0.15, 0.1, 0.05.
  const std::vector<float> p = {0.4f, 0.3f, 0.15f, 0.1f, 0.05f};
  const auto kept = [&](const char* json, int64_t keep = 1) {
    std::vector<float> scores;
    for (const float v : p) scores.push_back(std::log(v));
    GenerationConfig c = settings(json);
    if (!parse_json(json, "test").contains("top_k")) c.top_k = 0;
    generation::warp(c, keep, scores);
    std::string out;
    for (size_t i = 0; i < scores.size(); ++i)
      if (scores[i] != generation::kNever) out += static_cast<char>('a' + i);
    return out;
  };
  EXPECT_EQ(kept("{}"), "abcde");
  EXPECT_EQ(kept(R"({"top_k":2})"), "ab");
  EXPECT_EQ(kept(R"({"top_k":1})", 3), "abc");
  EXPECT_EQ(kept(R"({"top_p":0.69})"), "ab");
  EXPECT_EQ(kept(R"({"top_p":0.71})"), "abc");
  EXPECT_EQ(kept(R"({"top_p":0.1})", 2), "ab");
  EXPECT_EQ(kept(R"({"min_p":0.3})"), "abc");
  EXPECT_EQ(kept(R"({"min_p":1.0})", 2), "ab");
  EXPECT_EQ(kept(R"({"typical_p":0.2})"), "b");  // -log 0.3 is nearest to the entropy, 1.39
  EXPECT_EQ(kept(R"({"typical_p":0.2})", 2), "ab");
  EXPECT_EQ(kept(R"({"epsilon_cutoff":0.12})"), "abc");
  EXPECT_EQ(kept(R"({"epsilon_cutoff":0.9})", 2), "ab");
  EXPECT_EQ(kept(R"({"eta_cutoff":0.2})"), "abc");  // sqrt(0.2) exp(-1.39) = 0.11
}

// The score of each returned beam is that of its tokens, computed without caches.
TEST(Beams, ScoresAreThoseOfTheirTokens) {
  for (const char* name : {"llama_base", "gpt2_base"}) {
    const Model model = model_of(name);
    const auto vocabulary = static_cast<int32_t>(model.bundle().causal_lm().vocabulary_size());
    Rows prompts = long_prompts(vocabulary);
    if (model.context_length() < 90)
      for (auto& row : prompts) row.resize(20);
    GenerationConfig c = settings(R"({"num_beams":5,"num_return_sequences":5,"max_new_tokens":12,"length_penalty":0.7})");
    const GenerateOutputs out = generate(model, inputs(prompts), c);
    ASSERT_EQ(out.sequences.size(), 10u);
    for (size_t i = 0; i < out.sequences.size(); ++i) {
      std::vector<int64_t> ids(out.sequences[i].begin(), out.sequences[i].end());
      const auto length = static_cast<int64_t>(ids.size()), prompt = static_cast<int64_t>(prompts[0].size());
      Tensor input = Tensor::empty({1, length}, DType::i64);
      std::copy(ids.begin(), ids.end(), input.data<int64_t>());
      NoGrad no_grad;
      const auto log_p = log_softmax(model.forward({{"input_ids", input}}).at("logits")).to_vector();
      double sum = 0;
      for (int64_t t = prompt; t < length; ++t) sum += log_p[static_cast<size_t>((t - 1) * vocabulary + ids[static_cast<size_t>(t)])];
      EXPECT_NEAR(out.sequences_scores[i], sum / std::pow(static_cast<double>(length - prompt), 0.7), 1e-3) << name << ", row " << i;
      if (i % 5 == 0) continue;
      EXPECT_LE(out.sequences_scores[i], out.sequences_scores[i - 1]);
    }
  }
}

TEST(Beams, SampledOnesDifferWithTheSeedOnly) {
  const Model model = model_of("llama_base");
  const GenerateInputs in = inputs({{5, 6, 7}, {8, 9, 10}});
  GenerationConfig c = settings(R"({"num_beams":3,"do_sample":true,"temperature":2.0,"max_new_tokens":8,"num_return_sequences":2,"seed":1})");
  const Rows first = generate(model, in, c).sequences;
  EXPECT_EQ(first, generate(model, in, c).sequences);
  c.seed = 2;
  EXPECT_NE(first, generate(model, in, c).sequences);
}

TEST(Threads, ChangeNothing) {
  const Model model = model_of("llama_base");
  const GenerateInputs in = inputs(long_prompts(60));
  const int before = thread_pool().threads();
  for (const char* json : {R"({"num_beams":4,"num_return_sequences":2,"max_new_tokens":10})", R"({"do_sample":true,"num_return_sequences":3,"max_new_tokens":10})"}) {
    std::vector<Rows> results;
    for (const int threads : {1, 2, 3}) {
      set_threads(threads);
      results.push_back(generate(model, in, settings(json)).sequences);
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
  set_threads(before);
}

// Copies of one prompt share its cache and are the same as if each had been given alone with its own stream.
TEST(Sequences, OfOnePromptAreTheSameAsGivenSeparately) {
  const Model model = model_of("llama_base");
  const auto prompt = long_prompts(60)[0];
  GenerationConfig c = settings(R"({"do_sample":true,"temperature":1.5,"num_return_sequences":4,"max_new_tokens":9,"seed":3})");
  const Rows together = generate(model, inputs({prompt}), c).sequences;
  c.num_return_sequences = 1;
  EXPECT_EQ(together, generate(model, inputs({prompt, prompt, prompt, prompt}), c).sequences);
  EXPECT_NE(together[0], together[1]);
}

TEST(Speculation, ChangesNothing) {
  const Model model = model_of("llama_gelu"), other = model_of("llama_bin");
  ASSERT_EQ(model.bundle().causal_lm().vocabulary_size(), other.bundle().causal_lm().vocabulary_size());
  Rows prompts = long_prompts(33);
  for (auto& row : prompts) row.resize(24);
  const GenerateInputs in = inputs(prompts);
  for (const char* json : {R"({"max_new_tokens":30})", R"({"max_new_tokens":30,"do_sample":true,"temperature":0.7,"seed":9,"num_return_sequences":2})",
                           R"({"max_new_tokens":25,"repetition_penalty":1.3,"eos_token_id":[4,9,17]})"}) {
    GenerationConfig c = settings(json);
    const Rows plain = generate(model, in, c).sequences;
    c.prompt_lookup_num_tokens = 4;
    EXPECT_EQ(generate(model, in, c).sequences, plain) << json;
    c.prompt_lookup_num_tokens = 0;
    c.assistant_confidence_threshold = 0;
    for (const Model& assistant : {model, other}) {
      c.assistant_model = std::make_shared<Model>(assistant);
      EXPECT_EQ(generate(model, in, c).sequences, plain) << json;
    }
  }
}

TEST(Speculation, ChangesNothingInASession) {
  const Model model = model_of("gguf_llama_f32");
  const auto prompt = model.tokenizer()->encode_ids("one two one two one");
  GenerationConfig c = settings(R"({"max_new_tokens":40})");
  const Generated plain = Session(model).generate(prompt, c);
  c.prompt_lookup_num_tokens = 5;
  Session session(model);
  EXPECT_EQ(session.generate(prompt, c).ids, plain.ids);
  // What the session keeps in its cache is what it has said.
  auto longer = prompt;
  longer.insert(longer.end(), plain.ids.begin(), plain.ids.end());
  longer.push_back(40);
  const Generated more = session.generate(longer, c);
  EXPECT_GE(more.reused_tokens, static_cast<int64_t>(prompt.size() + plain.ids.size()) - 1);
  EXPECT_EQ(more.ids, Session(model).generate(longer, c).ids);
}

TEST(Formats, AlwaysParse) {
  const Model model = model_of("gguf_llama_f32");
  const auto prompt = model.tokenizer()->encode_ids("Hello");
  const char* const kSchema = R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},"tags":{"type":"array","items":{"enum":["a","b"]}}},"required":["name","age"]})";
  for (uint64_t seed = 0; seed < 12; ++seed) {
    GenerationConfig c = generation_defaults(model);
    c.do_sample = true;
    c.temperature = 1.5f;
    c.seed = seed;
    c.max_new_tokens = 8 + 9 * static_cast<int64_t>(seed);
    c.format = "json";
    const Generated any = Session(model).generate(prompt, c);
    EXPECT_TRUE(Json::accept(any.text)) << any.text;
    c.format = kSchema;
    c.max_new_tokens = *c.max_new_tokens + 20;
    const Generated person = Session(model).generate(prompt, c);
    const auto json = Json::parse(person.text, nullptr, false);
    ASSERT_TRUE(json.is_object()) << person.text;
    EXPECT_TRUE(json["name"].is_string());
    EXPECT_LE(json["age"].get<int>(), 150);
    c.format.clear();
    c.regex = "(yes|no), [0-9]{2,4}!";
    const std::string text = Session(model).generate(prompt, c).text;
    EXPECT_TRUE(text.ends_with("!") && (text.starts_with("yes, ") || text.starts_with("no, "))) << text;
  }
}

TEST(Formats, HoldForBeams) {
  const Model model = model_of("gguf_llama_f32");
  GenerationConfig c = generation_defaults(model);
  c.num_beams = c.num_return_sequences = 3;
  c.max_new_tokens = 24;
  c.regex = "[a-d]{3,5}(-[0-9]+)?";
  const auto prompt = model.tokenizer()->encode_ids("Hello");
  for (const auto& row : generate(model, inputs({prompt}), c).sequences) {
    const std::string text = model.tokenizer()->decode(std::span(row).subspan(prompt.size()));
    EXPECT_TRUE(text.size() >= 3 && text.find_first_not_of("abcd-0123456789") == std::string::npos) << text;
  }
}

TEST(StopStrings, EndWithTheTokenThatCompletesThem) {
  const Model model = model_of("gguf_llama_f32");
  const auto prompt = model.tokenizer()->encode_ids("Hello");
  GenerationConfig c = generation_defaults(model);
  c.max_new_tokens = 30;
  const auto all = generate(model, inputs({prompt}), c).sequences[0];
  // The text of the fourth and fifth new tokens.
  const std::string stop = model.tokenizer()->token_bytes(all[prompt.size() + 3]) + model.tokenizer()->token_bytes(all[prompt.size() + 4]);
  c.stop_strings = {stop};
  const auto ended = generate(model, inputs({prompt}), c).sequences[0];
  ASSERT_LE(ended.size(), prompt.size() + 5);
  EXPECT_TRUE(std::equal(ended.begin(), ended.end(), all.begin()));
}

TEST(Settings, ThatContradictAreRefused) {
  const Model model = model_of("llama_base");
  const GenerateInputs in = inputs({{3, 4}});
  for (const char* json : {R"({"num_return_sequences":2})", R"({"num_beams":2,"num_return_sequences":3})", R"({"do_sample":true,"temperature":0})",
                           R"({"do_sample":true,"top_p":0})"}) {
    try {
      generate(model, in, settings(json));
      ADD_FAILURE() << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage) << error.what();
    }
  }
  for (const char* json : {R"({"num_beams":0})", R"({"early_stopping":"soon"})", R"({"watermarking_config":{"greenlist_ratio":2}})", R"({"top_p":1.5})", R"({"no_such":1})"})
    EXPECT_THROW(settings(json), Error) << json;
}

}  // namespace
}  // namespace mynah
