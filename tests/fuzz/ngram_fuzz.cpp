// Reads the bytes as an n-gram model in ARPA's format and scores words with it.
#include <cstdlib>
#include <string_view>

#include "fuzz/fuzz_bytes.h"
#include "mynah/error.h"
#include "text/ngram.h"

using namespace mynah;
using namespace mynah::text;

int ngram_fuzz(const uint8_t* data, size_t size) {
  const FuzzBytes bytes(data, size);
  const std::string_view all(reinterpret_cast<const char*>(bytes.span().data()), size);
  try {
    const auto model = NgramModel::parse(all, "fuzz");
    NgramModel::History history = model->start();
    // Words of the file's end: those of its longest n-grams.
    for (const size_t length : {1u, 2u, 3u, 5u})
      for (size_t at = size > 60 ? size - 60 : 0; at + length <= size; at += length) {
        const std::string_view word = all.substr(at, length);
        const double score = model->score(model->find(word), &history);
        if (score != score || static_cast<int64_t>(history.size()) >= model->order()) std::abort();
        model->begins_word(word);
      }
    model->score(model->end(), &history);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::internal) std::abort();
  }
  return 0;
}
