// What curves are drawn on: a picture of vectors or one of pixels, with the same coordinates (x to the right, y down).
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "media/draw.h"

namespace mynah::app {

enum class Anchor { start, middle, end };

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual void line(const std::vector<std::pair<double, double>>& points, double thickness, const media::Color& color) = 0;
  // (x, y): the foot of the text's start, middle or end.
  virtual void text(double x, double y, Anchor anchor, const std::string& text, const media::Color& color, bool bold = false) = 0;
  // Whole or not at all.
  virtual void write(const std::filesystem::path& path) const = 0;
};

// By the file's ending: .svg, .png, .jpg. Throws usage for another one.
std::unique_ptr<Canvas> make_canvas(const std::filesystem::path& path, double width, double height);

}  // namespace mynah::app
