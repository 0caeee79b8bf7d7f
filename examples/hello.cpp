// Loads a model and answers a prompt: hello MODEL "prompt".
#include <cstdio>
#include <exception>

#include "mynah/generate.h"
#include "mynah/model.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: hello MODEL PROMPT (MODEL is a .gguf file or a folder in Hugging Face layout)\n");
    return 2;
  }
  try {
    const mynah::Model model = mynah::Model::open(argv[1]);
    mynah::GenerationConfig config = mynah::generation_defaults(model);
    config.max_new_tokens = 64;

    mynah::Session session(model);
    const auto prompt = mynah::chat_prompt(model, {{"user", argv[2]}});
    const mynah::Generated answer = session.generate(prompt, config, [](const std::string& piece) {
      std::fputs(piece.c_str(), stdout);
      std::fflush(stdout);
      return true;  // false would end the answer
    });
    std::printf("\n");
    std::fprintf(stderr, "%zu tokens, %.1f per second\n", answer.ids.size(), static_cast<double>(answer.ids.size()) / answer.decode_seconds);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hello: %s\n", error.what());
    return 1;
  }
}
