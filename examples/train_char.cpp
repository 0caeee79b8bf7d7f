// Trains a character-level GPT on a text file and writes a checkpoint that transformers loads:
//   train_char TEXT.txt OUT [steps]
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "mynah/autograd.h"
#include "mynah/model.h"
#include "mynah/train.h"

using mynah::Tensor;

namespace {

constexpr int kBatch = 12, kBlock = 64;

// `rows` random windows of the text; each character is an input and the label of the one before.
std::map<std::string, Tensor> random_batch(const std::vector<int64_t>& text, std::mt19937& random) {
  std::uniform_int_distribution<size_t> start(0, text.size() - kBlock);
  std::vector<int64_t> ids;
  for (int row = 0; row < kBatch; ++row) {
    const auto at = text.begin() + static_cast<long>(start(random));
    ids.insert(ids.end(), at, at + kBlock);
  }
  const Tensor t = Tensor::from(std::span<const int64_t>(ids), {kBatch, kBlock});
  return {{"input_ids", t}, {"labels", t}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: train_char TEXT.txt OUT [steps]\n");
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const int steps = argc > 3 ? std::stoi(argv[3]) : 500;
  if (text.size() <= kBlock) {
    std::fprintf(stderr, "train_char: %s: %zu characters, more than %d are needed\n", argv[1], text.size(), kBlock);
    return 1;
  }
  const std::set<char> alphabet(text.begin(), text.end());
  std::map<char, int64_t> id;
  for (const char c : alphabet) id.emplace(c, static_cast<int64_t>(id.size()));
  std::vector<int64_t> ids;
  for (const char c : text) ids.push_back(id[c]);

  const std::string config = "{\"model_type\": \"gpt2\", \"vocab_size\": " + std::to_string(id.size()) + ", \"n_positions\": " + std::to_string(kBlock) +
                             ", \"n_embd\": 128, \"n_layer\": 4, \"n_head\": 4, \"bos_token_id\": 0, \"eos_token_id\": 0}";
  const mynah::Model model = mynah::Model::create(config, 1337);
  const auto parameters = model.parameters();
  mynah::AdamW optimizer(parameters, {.learning_rate = 1e-3, .beta2 = 0.99, .weight_decay = 0.1});
  std::mt19937 random(1337);
  for (int step = 1; step <= steps; ++step) {
    const Tensor loss = model.forward(random_batch(ids, random)).at("loss");
    mynah::backward(loss);
    mynah::clip_grad_norm(parameters, 1.0);
    optimizer.step();
    optimizer.zero_grad();
    if (step == 1 || step % 10 == 0) std::printf("step %4d  loss %.4f\n", step, loss.item());
  }
  model.save(argv[2]);
  std::printf("saved to %s\n", argv[2]);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "train_char: %s\n", error.what());
  return 1;
}
