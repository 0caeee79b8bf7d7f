// Pictures and sounds in requests: bytes of the body or base64 in its JSON, handed to tasks as files that have no name
// on disk.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/dialect.h"

namespace mynah::serve {

// Whether a task's input is a picture or a sound: by the words in its name.
bool reads_pictures(std::string_view task);
bool reads_sounds(std::string_view task);

// The task of families of sounds or pictures whose head does not say what they do, by their name in config.json; empty for others.
std::string task_of_media(std::string_view family);

// The bytes of a picture or sound that JSON holds in base64, with blanks, of either alphabet, bare or as a data: URL. Throws ApiError
// 400 about `field` for an address (nothing is fetched) and for what is no base64; `what` names it.
std::string decode_media(std::string_view text, const std::string& what, const std::string& field);

// The files of one request; they exist as long as it does.
class MediaFiles {
 public:
  MediaFiles() = default;
  ~MediaFiles();
  MediaFiles(const MediaFiles&) = delete;
  MediaFiles& operator=(const MediaFiles&) = delete;
  // The path under which these bytes can be read. Throws ApiError 413 above 64 MB, 503 when there is no memory.
  std::string add(std::string_view bytes);
  // The same for base64, by decode_media.
  std::string add_base64(std::string_view text, const std::string& where);

 private:
  std::vector<int> files_;
};

}  // namespace mynah::serve
