// Turns data in the form of MNIST into folders of pictures, one for each label: what `mynah finetune --task image-classification` reads.
//
//   idx_pictures IMAGES LABELS DIR NAMES [MOST]
//
//   IMAGES, LABELS   idx3 and idx1 files of unsigned bytes, not compressed
//   NAMES            names of the labels 0, 1, ... between commas: DIR/NAME/00000.png
//   MOST             only so many pictures, from the beginning
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include "png.h"

namespace {

// An idx file of `dimensions` dimensions of unsigned bytes: its sizes and its values.
struct Idx {
  std::vector<size_t> sizes;
  std::string values;
};

[[noreturn]] void leave(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
  std::exit(1);
}

Idx read_idx(const char* path, size_t dimensions) {
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const size_t head = 4 + 4 * dimensions;
  if (bytes.size() < head || bytes.compare(0, 3, std::string("\0\0\x08", 3)) != 0 || static_cast<size_t>(bytes[3]) != dimensions)
    leave(std::string(path) + ": not an idx file of bytes in " + std::to_string(dimensions) + " dimensions; a .gz has to be unpacked first");
  Idx idx;
  size_t count = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(bytes[4 + 4 * d + i]);
    if (size == 0 || size > bytes.size()) leave(std::string(path) + ": a dimension of " + std::to_string(size) + " in a file of " + std::to_string(bytes.size()) + " bytes");
    idx.sizes.push_back(size);
    count *= size;
    if (count > bytes.size()) leave(std::string(path) + ": shorter than its header says");
  }
  if (bytes.size() < head + count) leave(std::string(path) + ": shorter than its header says");
  idx.values = bytes.substr(head, count);
  return idx;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) leave(std::string("usage: ") + argv[0] + " IMAGES LABELS DIR NAMES [MOST]");
  const Idx images = read_idx(argv[1], 3), labels = read_idx(argv[2], 1);
  const size_t side = images.sizes[1];
  if (labels.sizes[0] != images.sizes[0] || images.sizes[2] != side) leave("every picture needs a label, and as many columns as rows");
  std::vector<std::string> names;
  std::istringstream list(argv[4]);
  for (std::string name; std::getline(list, name, ',');) names.push_back(name);
  for (const std::string& name : names) std::filesystem::create_directories(std::filesystem::path(argv[3]) / name);
  const size_t count = argc > 5 ? std::min<size_t>(labels.sizes[0], std::strtoul(argv[5], nullptr, 10)) : labels.sizes[0];
  for (size_t i = 0; i < count; ++i) {
    const auto label = static_cast<uint8_t>(labels.values[i]);
    if (label >= names.size()) leave("label " + std::to_string(label) + " has no name");
    Picture picture{static_cast<int>(side), {}};
    for (size_t k = 0; k < side * side; ++k) picture.rgb.insert(picture.rgb.end(), 3, static_cast<uint8_t>(images.values[i * side * side + k]));
    char file[32];
    std::snprintf(file, sizeof file, "%05zu.png", i);
    write_png(std::filesystem::path(argv[3]) / names[label] / file, picture);
  }
  return 0;
}
