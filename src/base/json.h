// JSON at the edges: nlohmann-json behind a parser with limits, so that hostile text costs one clear error.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace mynah {
using Json = nlohmann::ordered_json;

// Parses UTF-8 JSON text; throws integrity with `where`, the position and the reason. Depth is limited to 128.
Json parse_json(std::string_view text, std::string_view where);
Json read_json_file(const std::filesystem::path& path);

// Adds a member that the object does not have. object[key] would look at all of them first, which for the metadata of some files
// are very many.
void append_member(Json& object, std::string_view key, Json value);
}  // namespace mynah
