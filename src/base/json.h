// JSON read at the edges, where text may be hostile: limits, and errors that name their source.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "mynah/json.h"

namespace mynah {

// Parses UTF-8 JSON text; throws integrity with `where`, the position and the reason. Depth is limited to 128.
Json parse_json(std::string_view text, std::string_view where);
Json read_json_file(const std::filesystem::path& path);

// One line of JSON; invalid UTF-8 is replaced.
std::string to_text(const Json& value);

}  // namespace mynah
