// How fast a tokenizer encodes: mynah_bench_tokenizers FOLDER FILE [ids|encodings] [repeats]. FILE holds texts with a zero byte behind each.
// Prints the least time by the clock, the least time of the processor and a hash of all ids; bench/tokenizer_rates.py runs a peer beside it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/thread_pool.h"
#include "mynah/tokenizer.h"

using namespace mynah;

namespace {

std::vector<std::string_view> split(std::string_view all) {
  std::vector<std::string_view> texts;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\0', at), all.size());
    texts.push_back(all.substr(at, end - at));
    at = end + 1;
  }
  return texts;
}

// FNV-1a over the ids, a text's number of ids in front of them.
uint64_t hash(const std::vector<std::vector<int32_t>>& rows) {
  uint64_t h = 0xCBF29CE484222325u;
  const auto add = [&h](uint64_t v) { h = (h ^ v) * 0x100000001B3u; };
  for (const auto& row : rows) {
    add(row.size());
    for (const int32_t id : row) add(static_cast<uint32_t>(id));
  }
  return h;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: mynah_bench_tokenizers FOLDER FILE [ids|encodings] [repeats]\n");
    return 2;
  }
  const bool ids_only = argc <= 3 || std::string_view(argv[3]) == "ids";
  const int repeats = argc > 4 ? std::atoi(argv[4]) : 3;
  const auto tokenizer = Tokenizer::from_folder(argv[1]);
  const auto file = MappedFile::open(argv[2]);
  const std::vector<std::string_view> texts = split({reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()});
  std::vector<std::vector<int32_t>> ids(texts.size());
  std::vector<Encoding> encodings(texts.size());
  double least_wall = 1e30, least_cpu = 1e30;
  for (int i = 0; i < std::max(repeats, 1); ++i) {
    constexpr int64_t kTextsPerChunk = 16;
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t cpu = std::clock();
    parallel_for(static_cast<int64_t>(texts.size()), kTextsPerChunk, [&](int64_t begin, int64_t end) {
      for (auto at = static_cast<size_t>(begin); at < static_cast<size_t>(end); ++at) {
        if (ids_only)
          ids[at] = tokenizer->encode_ids(texts[at]);
        else
          encodings[at] = tokenizer->encode(texts[at]);
      }
    });
    least_wall = std::min(least_wall, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    least_cpu = std::min(least_cpu, static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
  }
  if (!ids_only)
    for (size_t i = 0; i < texts.size(); ++i) ids[i] = encodings[i].ids;
  fmt::print("{{\"texts\":{},\"bytes\":{},\"hash\":\"{:016x}\",\"wall_s\":{:.4f},\"cpu_s\":{:.4f}}}\n", texts.size(), file->bytes().size(), hash(ids), least_wall, least_cpu);
  return 0;
}
