#include "text/gguf_pre_tokenizers.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/log.h"
#include "text/json_fields.h"
#include "text/split_patterns.h"

namespace mynah::text {
namespace {

#define MYNAH_SYMBOL_WORDS                                                                             \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" \
  " ?[\\p{P}\\p{S}]+[\\r\\n]*" MYNAH_SPACES

constexpr const char* kBloom = " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+";
constexpr const char* kHanKana = "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+";
constexpr const char* kHanHangul = "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+";

// DeepSeek LLM's list of letters with case.
constexpr const char* kDeepSeekLetters =
    "\\s?["
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}"
    "\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}"
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}"
    "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"
    "\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}"
    "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}"
    "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}"
    "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
    "]+";

struct Family {
  std::vector<std::string_view> names;
  GgufPreTokenizer meaning;
};

const std::vector<Family>& families() {
  static const std::vector<Family> all = {
      {{"", "default"}, {{"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2Split, "\\p{N}+", "[0-9][0-9][0-9]"}}},
      {{"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum",
        "modern-bert", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4"},
       {{kGpt2Split}}},
      {{"jina-v1-en", "jina-v2-code", "roberta-bpe"}, {.expressions = {kGpt2Split}, .add_sep = true}},
      {{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"},
       {{"\\p{N}", kGpt2Split}}},
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"},
       {.expressions = {MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}{1,3}")}, .ignore_merges = true, .add_bos = true}},
      {{"dbrx", "smaug-bpe", "chatglm-bpe"}, {{MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}{1,3}")}}},
      {{"glm4", "glm5"}, {.expressions = {MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}{1,3}")}, .ignore_merges = true}},
      {{"minicpm5"},
       {.expressions = {"\\p{N}{1,3}", MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}+")}, .ignore_merges = true}},
      {{"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"},
       {{MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}")}}},
      {{"laguna"}, {{"[^\\n]+|[\\n]+", MYNAH_ANY_CASE "|" MYNAH_LLAMA3("\\p{N}")}}},
      {{"ufakzeka"}, {{MYNAH_LLAMA3("\\p{N}")}}},
      {{"qwen35"},
       {{MYNAH_ANY_CASE
         "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" MYNAH_SPACES}}},
      {{"seed-coder"},
       {{MYNAH_ANY_CASE "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" MYNAH_SPACES}}},
      {{"bailingmoe", "bailingmoe2", "llada-moe"},
       {{"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|"
         "\\s+(?!\\S)|\\s+"}}},
      {{"exaone-moe"},
       {{MYNAH_ANY_CASE "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|"
                        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}}},
      {{"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"},
       {{MYNAH_GPT4O(MYNAH_ANY_CASE "?", "\\p{N}{1,3}")}}},
      {{"granite-embed-multi-97m"},
       {.expressions = {MYNAH_GPT4O(MYNAH_ANY_CASE "?", "\\p{N}{1,3}")}, .ignore_merges = true}},
      {{"tiny_aya", "cohere2moe"},
       {{"\\d{1,3}(?=(?:\\d{3})*\\b)", MYNAH_GPT4O(MYNAH_ANY_CASE "?", "\\p{N}{1,3}")}}},
      {{"tekken"}, {.expressions = {MYNAH_GPT4O("", "\\p{N}")}, .ignore_merges = true, .add_bos = true}},
      {{"deepseek-llm"},
       {{"[\\r\\n]", kDeepSeekLetters,
         "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+", "\\s+$",
         kHanHangul, "\\p{N}+"}}},
      {{"deepseek-coder"}, {{"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kHanHangul, "\\p{N}"}}},
      {{"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"}, {{"\\p{N}{1,3}", kHanKana, MYNAH_SYMBOL_WORDS}}},
      {{"falcon"}, {{"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2Split, "[0-9][0-9][0-9]"}}},
      {{"bloom", "poro-chat", "gpt3-finnish"}, {{kBloom}}},
      {{"viking"}, {{kBloom, "\\p{N}"}}},
      {{"chameleon"},
       {.expressions = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
                        "[\\p{P}!-/:-@\\[-`{-~]", kGpt2Split},
        .add_bos = true}},
      {{"superbpe"}, {{"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}}},
      {{"gemma4", "sarvam-moe", "granite-embed-multi-311m"},
       {.expressions = {"[^\\n]+|[\\n]+"}, .escapes_spaces = true}},
  };
  return all;
}

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(const std::string& name) {
  for (const Family& family : families())
    if (std::find(family.names.begin(), family.names.end(), name) != family.names.end()) return family.meaning;
  warn("tokenizer: pre-tokenizer '{}' of the GGUF file is not known; using 'default', ids may differ", shown(name));
  return families().front().meaning;
}

}  // namespace mynah::text
