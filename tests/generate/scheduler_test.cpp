// Answers side by side: the same ids as alone, for models whose caches cannot be cut anywhere or change as the text grows.
#include "generate/scheduler.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <thread>

#include "base/json.h"
#include "generate/config.h"
#include "mynah/generate.h"

namespace mynah {
namespace {

namespace fs = std::filesystem;
using generation::Scheduler;

Model golden_model(const std::string& name) { return Model::open((fs::path(MYNAH_TEST_DATA) / "golden" / "models" / name).string()); }

GenerationConfig scheduler_settings(const char* json) {
  GenerationConfig c;
  generation::apply(parse_json(json, "test"), &c, true);
  return c;
}

std::future<Generated> submit(Scheduler& scheduler, const std::vector<int32_t>& prompt, const GenerationConfig& config) {
  auto promise = std::make_shared<std::promise<Generated>>();
  generation::Job job;
  job.prompt = prompt;
  job.config = config;
  job.on_end = [promise](generation::Ended&& ended) { ended.error ? promise->set_exception(ended.error) : promise->set_value(std::move(ended.generated)); };
  scheduler.submit(std::move(job));
  return promise->get_future();
}

std::vector<int32_t> joined(std::vector<int32_t> prompt, const std::vector<int32_t>& more) {
  prompt.insert(prompt.end(), more.begin(), more.end());
  return prompt;
}

class Side : public testing::TestWithParam<const char*> {};

// Prompts with common beginnings, below and above the length of 9 where the crossing models change; then prompts that go on from the answers.
TEST_P(Side, BySideAsAlone) {
  const Model model = golden_model(GetParam());
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":7,"eos_token_id":null})");
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t length = 3; length < 28; length += 3) {
    prompts.emplace_back();
    for (int32_t i = 0; i < length; ++i) prompts.back().push_back(3 + (i * 5 + (i > 10 ? length : 0)) % 17);
  }
  Scheduler scheduler(model, {.slots = 3});
  for (int round = 0; round < 2; ++round) {
    std::vector<std::future<Generated>> answers;
    for (const auto& prompt : prompts) answers.push_back(submit(scheduler, prompt, config));
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Generated together = answers[i].get();
      EXPECT_EQ(together.ids, Session(model).generate(prompts[i], config).ids) << round << " " << i;
      prompts[i] = joined(joined(prompts[i], together.ids), {static_cast<int32_t>(4 + i)});
    }
  }
}

TEST_P(Side, BySideAsInOneConversation) {
  const Model model = golden_model(GetParam());
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":6,"eos_token_id":null})");
  std::vector<int32_t> prompt = {5, 9, 12, 7};
  Session session(model);
  for (int turn = 0; turn < 4; ++turn) {
    const Generated answer = session.generate(prompt, config);
    EXPECT_EQ(answer.ids, Session(model).generate(prompt, config).ids) << turn;
    prompt = joined(joined(prompt, answer.ids), {8, static_cast<int32_t>(10 + turn)});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Side, testing::Values("mamba_base", "phi3_crossing", "llama_crossing", "llama_base", "xlnet_lm"));

// Where tokens see those behind them, a prompt that is cut into pieces gives another answer.
TEST(Ahead, LongPromptsAreReadInOneGo) {
  const Model model = golden_model("xlnet_lm");
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":7,"eos_token_id":null})");
  std::vector<std::vector<int32_t>> prompts(20);
  uint32_t state = 1;
  for (size_t p = 0; p < prompts.size(); ++p)
    for (size_t i = 0, length = p == 19 ? 514 : 65 + p % 3; i < length; ++i) prompts[p].push_back(3 + static_cast<int32_t>((state = state * 1664525 + 1013904223) >> 16) % 28);
  Scheduler scheduler(model, {.slots = 4});
  std::vector<std::future<Generated>> answers;
  for (const auto& prompt : prompts) answers.push_back(submit(scheduler, prompt, config));
  for (size_t p = 0; p < prompts.size(); ++p) EXPECT_EQ(answers[p].get().ids, Session(model).generate(prompts[p], config).ids) << p;
}

// Scores of prompts, with answers and other prompts in the same batch.
TEST(PromptScores, SideBySideAsAlone) {
  const Model model = golden_model("llama_base");
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":5,"eos_token_id":null})");
  const std::vector<std::vector<int32_t>> prompts = {{5, 9, 12}, {7, 3, 3, 8}, {11, 6}, {4, 10, 13, 5, 9}};
  using Scored = std::pair<std::vector<int32_t>, std::vector<float>>;
  const auto ask = [&](Scheduler& scheduler, const std::vector<int32_t>& prompt) {
    auto promise = std::make_shared<std::promise<Scored>>();
    generation::Job job;
    job.prompt = prompt;
    job.config = config;
    job.prompt_scores = true;
    job.top_scores = 0;
    job.on_end = [promise](generation::Ended&& ended) {
      Scored out{ended.generated.ids, {}};
      for (const auto& score : ended.prompt_scores) out.second.push_back(score.log_probability);
      promise->set_value(std::move(out));
    };
    scheduler.submit(std::move(job));
    return promise->get_future();
  };
  std::vector<Scored> alone;
  for (const auto& prompt : prompts) {
    Scheduler scheduler(model, {});
    alone.push_back(ask(scheduler, prompt).get());
    EXPECT_EQ(alone.back().second.size(), prompt.size() - 1);
  }
  Scheduler scheduler(model, {.slots = 4});
  std::vector<std::future<Scored>> together;
  for (const auto& prompt : prompts) together.push_back(ask(scheduler, prompt));
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(together[i].get(), alone[i]) << i;
}

// Counts follow the end of an answer.
bool comes_to_hold(const Scheduler& scheduler, size_t bytes) {
  for (int i = 0; i < 1000 && scheduler.counts().cache_bytes != bytes; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return scheduler.counts().cache_bytes == bytes;
}

TEST(Kept, EndedAnswersCountUntilTheyAreForgotten) {
  const Model model = golden_model("llama_base");
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":2,"eos_token_id":null})");
  size_t one = 0;  // a block for each layer
  {
    Scheduler scheduler(model, {});
    submit(scheduler, std::vector<int32_t>(12, 3), config).get();
    for (int i = 0; i < 1000 && one == 0; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(5))) one = scheduler.counts().cache_bytes;
    ASSERT_GT(one, 0u);
    for (int32_t first = 4; first < 7; ++first) submit(scheduler, std::vector<int32_t>(12, first), config).get();
    EXPECT_TRUE(comes_to_hold(scheduler, 4 * one)) << scheduler.counts().cache_bytes << " of " << one;
  }
  Scheduler scheduler(model, {.kept_bytes = 2 * one + 1});
  for (int32_t first = 3; first < 7; ++first) submit(scheduler, std::vector<int32_t>(12, first), config).get();
  EXPECT_TRUE(comes_to_hold(scheduler, 2 * one)) << scheduler.counts().cache_bytes << " of " << one;
}

// A recurrent state serves a conversation that goes on, and nothing that begins likewise and goes on otherwise.
TEST(Recurrent, StatesAreUsedAgainAsAWhole) {
  const Model model = golden_model("mamba_base");
  const GenerationConfig config = scheduler_settings(R"({"max_new_tokens":4,"eos_token_id":null})");
  const std::vector<int32_t> prompt = {5, 9, 12, 7, 3};
  Session session(model);
  const Generated first = session.generate(prompt, config);
  const std::vector<int32_t> said = joined(prompt, first.ids);
  const Generated more = session.generate(joined(said, {6, 7}), config);
  EXPECT_EQ(more.reused_tokens, static_cast<int64_t>(said.size()) - 1);  // the last one was not read yet
  EXPECT_EQ(session.generate(joined(prompt, {6, 7}), config).reused_tokens, 0);
}

}  // namespace
}  // namespace mynah
