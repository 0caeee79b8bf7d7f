// Renders pictures of coloured shapes to train on, with what is to be seen in them. No library is needed.
//
//   example_render_shapes DIR COUNT [SEED [SIDE]]
//
//   DIR/shapes/circle/0001.png ...   one shape each, a folder for each kind:  mynah finetune --task image-classification
//   DIR/objects.jsonl                pictures with one to four shapes and their boxes:            --task object-detection
//   DIR/captions.jsonl               one shape each and "a red circle":                           --task contrastive
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "png.h"

namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kKinds = {"circle", "cross", "square", "triangle"};
struct Colour {
  const char* name;
  std::array<int, 3> rgb;
};
constexpr std::array<Colour, 4> kColours = {{{"blue", {40, 70, 210}}, {"green", {30, 160, 60}}, {"red", {210, 40, 40}}, {"yellow", {225, 200, 40}}}};

bool covers(int kind, double x, double y) {  // x and y in -1..1
  switch (kind) {
    case 0: return x * x + y * y <= 1;
    case 1: return std::abs(x) <= 0.36 || std::abs(y) <= 0.36;
    case 2: return true;
    default: return std::abs(x) <= (y + 1) / 2;
  }
}

struct Shape {
  int kind, colour, left, top, size;
};

class Renderer {
 public:
  Renderer(int side, uint32_t seed) : side_(side), random_(seed) {}

  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }

  // A shape that touches none of the others, if there is room.
  bool place(const std::vector<Shape>& others, int least, int most, Shape* shape) {
    for (int tries = 0; tries < 50; ++tries) {
      const int size = least + below(most - least + 1);
      *shape = {below(4), below(4), below(side_ - size + 1), below(side_ - size + 1), size};
      bool free = true;
      for (const Shape& o : others)
        free = free && (shape->left > o.left + o.size || o.left > shape->left + size || shape->top > o.top + o.size || o.top > shape->top + size);
      if (free) return true;
    }
    return false;
  }

  Picture draw(const std::vector<Shape>& shapes) {
    Picture p{side_, std::vector<uint8_t>(static_cast<size_t>(side_) * side_ * 3)};
    const int ground = 90 + below(150);
    for (uint8_t& v : p.rgb) v = static_cast<uint8_t>(std::clamp(ground + below(31) - 15, 0, 255));
    for (const Shape& s : shapes)
      for (int y = 0; y < s.size; ++y)
        for (int x = 0; x < s.size; ++x) {
          if (!covers(s.kind, (2.0 * x + 1) / s.size - 1, (2.0 * y + 1) / s.size - 1)) continue;
          uint8_t* pixel = p.rgb.data() + (static_cast<size_t>(s.top + y) * side_ + s.left + x) * 3;
          for (int c = 0; c < 3; ++c) pixel[c] = static_cast<uint8_t>(std::clamp(kColours[static_cast<size_t>(s.colour)].rgb[static_cast<size_t>(c)] + below(21) - 10, 0, 255));
        }
    return p;
  }

 private:
  int side_;
  std::mt19937 random_;
};

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s DIR COUNT [SEED [SIDE]]\n", argv[0]);
    return 2;
  }
  const fs::path folder = argv[1];
  const int count = std::atoi(argv[2]), side = argc > 4 ? std::atoi(argv[4]) : 32;
  if (count < 1 || side < 16 || side > 2048) {
    std::fprintf(stderr, "COUNT must be 1 or more, SIDE 16 to 2048\n");
    return 2;
  }
  Renderer renderer(side, argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 1);
  for (const char* kind : kKinds) fs::create_directories(folder / "shapes" / kind);
  fs::create_directories(folder / "scenes");
  std::ofstream objects(folder / "objects.jsonl"), captions(folder / "captions.jsonl");
  for (int i = 0; i < count; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%05d.png", i);
    Shape shape;
    renderer.place({}, side * 2 / 5, side * 4 / 5, &shape);
    const std::string kind = kKinds[static_cast<size_t>(shape.kind)], one = "shapes/" + kind + "/" + name;
    write_png(folder / one, renderer.draw({shape}));
    captions << "{\"image\": \"" << one << "\", \"text\": \"a " << kColours[static_cast<size_t>(shape.colour)].name << " " << kind << "\"}\n";

    std::vector<Shape> shapes;
    for (int wanted = 1 + renderer.below(4); wanted > 0 && renderer.place(shapes, side / 6, side * 2 / 5, &shape); --wanted) shapes.push_back(shape);
    const std::string scene = std::string("scenes/") + name;
    write_png(folder / scene, renderer.draw(shapes));
    objects << "{\"image\": \"" << scene << "\", \"objects\": {\"bbox\": [";
    for (size_t k = 0; k < shapes.size(); ++k)
      objects << (k ? ", " : "") << "[" << shapes[k].left << ", " << shapes[k].top << ", " << shapes[k].size << ", " << shapes[k].size << "]";
    objects << "], \"category\": [";
    for (size_t k = 0; k < shapes.size(); ++k) objects << (k ? ", " : "") << "\"" << kKinds[static_cast<size_t>(shapes[k].kind)] << "\"";
    objects << "]}}\n";
  }
  return 0;
}
