// Prefix beam search finds what enumerating every alignment finds; an n-gram model changes the choice of words as its numbers say.
#include "tasks/ctc_beams.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <random>

#include "mynah/error.h"

namespace mynah::tasks {
namespace {

// log_probs of random logits.
std::vector<float> random_rows(size_t frames, size_t tokens, uint32_t seed, double spread = 2) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, spread);
  std::vector<float> rows(frames * tokens);
  for (size_t f = 0; f < frames; ++f) {
    std::vector<double> logits(tokens);
    double total = 0;
    for (double& v : logits) total += std::exp(v = normal(random));
    for (size_t v = 0; v < tokens; ++v) rows[f * tokens + v] = static_cast<float>(logits[v] - std::log(total));
  }
  return rows;
}

// Every text with its probability, by going through all alignments.
std::map<std::vector<int32_t>, double> enumerate(const std::vector<float>& rows, size_t tokens, int32_t blank) {
  const size_t frames = rows.size() / tokens;
  std::map<std::vector<int32_t>, double> texts;
  std::vector<size_t> at(frames, 0);
  for (;;) {
    double p = 0;
    std::vector<int32_t> text;
    for (size_t f = 0; f < frames; ++f) {
      p += static_cast<double>(rows[f * tokens + at[f]]);
      if (static_cast<int32_t>(at[f]) != blank && (f == 0 || at[f] != at[f - 1])) text.push_back(static_cast<int32_t>(at[f]));
    }
    texts[text] += std::exp(p);
    size_t f = 0;
    while (f < frames && ++at[f] == tokens) at[f++] = 0;
    if (f == frames) return texts;
  }
}

std::vector<int32_t> ids(const CtcBeam& beam) {
  std::vector<int32_t> out;
  for (const CtcToken& t : beam.tokens) out.push_back(t.token);
  return out;
}

CtcBeamSettings exact() {
  CtcBeamSettings s;
  s.beam_width = 100000;
  s.token_min_logp = -1e9;
  s.beam_prune_logp = -1e9;
  return s;
}

TEST(CtcBeams, FindWhatEnumeratingFinds) {
  const CtcAlphabet alphabet{{"", "a", "b"}, 0, -1};
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto rows = random_rows(7, 3, seed);
    const auto texts = enumerate(rows, 3, 0);
    const auto beams = ctc_beams(rows, alphabet, exact(), 1000);
    ASSERT_EQ(beams.size(), texts.size());
    double before = 1;
    for (const CtcBeam& beam : beams) {
      const double expected = texts.at(ids(beam));
      EXPECT_NEAR(beam.log_probability, std::log(expected), 1e-5);
      EXPECT_LE(expected, before * (1 + 1e-6));
      before = expected;
    }
  }
}

TEST(CtcBeams, AFewBeamsFindTheBestText) {
  const CtcAlphabet alphabet{{"", "a", "b", "c"}, 0, -1};
  int better_than_greedy = 0;
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto rows = random_rows(7, 4, 100 + seed);
    const auto texts = enumerate(rows, 4, 0);
    double best = 0;
    for (const auto& [text, p] : texts) best = std::max(best, p);
    CtcBeamSettings settings;
    settings.beam_width = 30;
    settings.token_min_logp = -1e9;
    settings.beam_prune_logp = -1e9;
    const auto found = ctc_beams(rows, alphabet, settings);
    EXPECT_NEAR(texts.at(ids(found.at(0))), best, 1e-9) << seed;
    // The likeliest label of every frame, which is what one beam of labels amounts to.
    std::vector<int32_t> greedy;
    size_t last = 0;
    for (size_t f = 0; f < 7; ++f) {
      size_t top = 0;
      for (size_t v = 1; v < 4; ++v)
        if (rows[f * 4 + v] > rows[f * 4 + top]) top = v;
      if (top != 0 && (f == 0 || top != last)) greedy.push_back(static_cast<int32_t>(top));
      last = top;
    }
    better_than_greedy += texts.at(greedy) < best * (1 - 1e-9);
  }
  EXPECT_GT(better_than_greedy, 3);
}

TEST(CtcBeams, TokensHaveTheirFrames) {
  const CtcAlphabet alphabet{{"", "a", "b"}, 0, -1};
  // a a - b b b - -
  std::vector<float> rows;
  for (const int label : {1, 1, 0, 2, 2, 2, 0, 0})
    for (int v = 0; v < 3; ++v) rows.push_back(v == label ? -0.01f : -6);
  const auto beam = ctc_beams(rows, alphabet, {}).at(0);
  ASSERT_EQ(ids(beam), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(beam.tokens[0].begin, 0);
  EXPECT_EQ(beam.tokens[0].end, 2);
  EXPECT_EQ(beam.tokens[1].begin, 3);
  EXPECT_EQ(beam.tokens[1].end, 6);
}

TEST(CtcBeams, NothingSaidIsAnEmptyText) {
  const CtcAlphabet alphabet{{"", "a"}, 0, -1};
  EXPECT_TRUE(ctc_beams({}, alphabet, {}).at(0).tokens.empty());
  EXPECT_TRUE(ctc_beams(std::vector<float>{-0.01f, -5, -0.01f, -5}, alphabet, {}).at(0).tokens.empty());
}

constexpr const char* kArpa = R"(
\data\
ngram 1=6
ngram 2=3

\1-grams:
-2	<unk>
-99	<s>	-0.3
-1	</s>
-0.5	ab	-0.2
-1.5	b	-0.1
-0.7	a

\2-grams:
-0.1	<s> ab
-0.4	ab b
-0.2	b </s>

\end\
)";

TEST(Ngrams, BackOff) {
  const auto model = text::NgramModel::parse(kArpa, "a.arpa");
  EXPECT_EQ(model->order(), 2);
  auto history = model->start();
  EXPECT_NEAR(model->score(model->find("ab"), &history), -0.1, 1e-6);
  EXPECT_NEAR(model->score(model->find("b"), &history), -0.4, 1e-6);
  EXPECT_NEAR(model->score(model->find("a"), &history), -0.1 - 0.7, 1e-6);        // backoff of b
  EXPECT_NEAR(model->score(model->find("nonsense"), &history), 0 - 2, 1e-6);      // a has no backoff weight
  EXPECT_TRUE(model->begins_word("a"));
  EXPECT_FALSE(model->begins_word("ba"));
  EXPECT_FALSE(model->knows("nonsense"));
}

TEST(Ngrams, DamagedFilesAreRefusedByLine) {
  const std::string good = kArpa;
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    try {
      text::NgramModel::parse(text, "a.arpa");
      ADD_FAILURE() << from << " -> " << to;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("a.arpa: "), std::string::npos) << e.what();
    }
  };
  refused("\\end\\", "");
  refused("ngram 2=3", "ngram 2=4");
  refused("ngram 2=3", "ngram 3=3");
  refused("-0.4	ab b", "-0.4	ab c");
  refused("-0.4	ab b", "0.4	ab b");
  refused("-0.4	ab b", "x	ab b");
  refused("\\2-grams:", "\\3-grams:");
  EXPECT_THROW(text::NgramModel::parse(std::string("mmap lm http://kheafield.com\0\1\2", 31), "a.bin"), Error);
  EXPECT_THROW(text::NgramModel::parse("", "a"), Error);
}

TEST(CtcBeams, WordsOfTheModelWin) {
  // Frames that say "ab b" and "ba b" more or less.
  const CtcAlphabet alphabet{{"", "a", "b", " "}, 0, 3};
  std::vector<float> rows;
  const auto frame = [&](std::initializer_list<double> p) {
    for (const double v : p) rows.push_back(static_cast<float>(std::log(v)));
  };
  frame({0.01, 0.44, 0.54, 0.01});
  frame({0.01, 0.60, 0.38, 0.01});
  frame({0.01, 0.01, 0.01, 0.97});
  frame({0.01, 0.01, 0.97, 0.01});
  const auto words = [&](const CtcBeamSettings& s) {
    std::string out;
    for (const int32_t id : ids(ctc_beams(rows, alphabet, s).at(0))) out += alphabet.tokens[static_cast<size_t>(id)];
    return out;
  };
  CtcBeamSettings settings;
  EXPECT_EQ(words(settings), "ba b");
  settings.language_model = text::NgramModel::parse(kArpa, "a.arpa");
  EXPECT_EQ(words(settings), "ab b");
  // Its score is the text's probability, the words' and the end's.
  const CtcBeam best = ctc_beams(rows, alphabet, settings).at(0);
  const double words_score = settings.alpha * (-0.1 - 0.4 - 0.2) * std::numbers::ln10 + 2 * settings.beta;
  EXPECT_NEAR(best.score, best.log_probability + words_score, 1e-5);
}

}  // namespace
}  // namespace mynah::tasks
